package postgres

import (
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/batch-go/batch/driver"
)

// spoiled are messages with a text that the server does not store, by what it is.
func spoiled() map[string]*driver.Message {
	all := make(map[string]*driver.Message)
	for name, bad := range map[string]string{"NUL": "a\x00b", "half": "a\xc3", "surrogate": "\xed\xa0\x80", "overlong": "\xc0\x80"} {
		all["ID, "+name] = message(bad)
		all["kind, "+name] = message("x", func(m *driver.Message) { m.Kind = bad })
		all["content type, "+name] = message("x", func(m *driver.Message) { m.ContentType = bad })
		all["key, "+name] = message("x", dedup(bad))
		all["group, "+name] = message("x", func(m *driver.Message) { m.Group = bad })
	}
	all["header"] = message("x", func(m *driver.Message) { m.Headers = map[string]string{"a\xff": "x"} })
	return all
}

// TestSpoiledText: a message with a text that the server does not store is refused, alone: the others of its call
// are stored, and the transaction of the application goes on.
func TestSpoiledText(t *testing.T) {
	t.Parallel()
	d := open(t)
	q := queue(t, d)
	stored := int64(0)
	refused := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, driver.ErrConfig) || driver.FateOf(err) != driver.FateNotStored {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, m := range spoiled() {
		results := d.Enqueue(testContext(t), q, []*driver.Message{message("before"), m, message("after")})
		refused("Enqueue, "+what, results[1].Err)
		if results[0].Err != nil || results[2].Err != nil {
			t.Errorf("beside one of Enqueue, %s: %+v", what, results)
		}
		refused("EnqueueAtomic, "+what, d.EnqueueAtomic(testContext(t), q, []*driver.Message{message("before"), m}))
		entry := func(m *driver.Message) *driver.Entry { return &driver.Entry{Message: *m, State: driver.StateWaiting} }
		results = d.Import(testContext(t), q, []*driver.Entry{entry(message("before")), entry(m), entry(message("after"))})
		refused("Import, "+what, results[1].Err)
		if results[0].Err != nil || results[2].Err != nil {
			t.Errorf("beside one of Import, %s: %+v", what, results)
		}
		stored += 4
	}
	for what, e := range map[string]*driver.Entry{
		"reason":     {Message: *message("x"), State: driver.StateDead, Reason: "a\x00"},
		"import key": {Message: *message("x"), State: driver.StateWaiting, ImportKey: "a\xff"},
	} {
		refused("Import, "+what, d.Import(testContext(t), q, []*driver.Entry{e})[0].Err)
	}
	// What is stored as bytes may be anything.
	all := &driver.Entry{Message: *message("bytes"), State: driver.StateDead, DeadAt: time.UnixMilli(time.Now().UnixMilli()), Reason: driver.ReasonPermanent, LastError: "a\x00\xff", Failures: 1}
	all.Body, all.Headers = []byte("\x00\xff"), map[string]string{"h": "\x00\xff"}
	if r := d.Import(testContext(t), q, []*driver.Entry{all})[0]; r.Err != nil {
		t.Error(r.Err)
	}
	letters, _, err := d.DeadLetters(testContext(t), q, "", 10)
	if err != nil || len(letters) != 1 || letters[0].LastError != all.LastError || letters[0].Headers["h"] != "\x00\xff" || string(letters[0].Body) != "\x00\xff" {
		t.Errorf("the dead letters are %+v, %v", letters, err)
	}
	tx := begin(t, pgx.ReadCommitted)
	for what, m := range spoiled() {
		_, err := d.EnqueueTx(testContext(t), tx, q, []*driver.Message{message("before"), m})
		refused("EnqueueTx, "+what, err)
	}
	if _, err := d.EnqueueTx(testContext(t), tx, q, []*driver.Message{message("after")}); err != nil {
		t.Errorf("after the refusals: %v", err)
	}
	if err := tx.Commit(testContext(t)); err != nil {
		t.Error(err)
	}
	if got := depth(t, d, q); got.Waiting != stored+1 || got.Dead != 1 {
		t.Errorf("%d jobs were stored, and the depth is %+v", stored+1, got)
	}
}
