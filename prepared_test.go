package batch_test

import (
	"encoding/json"
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
)

// TestPreparedTravels sends a job by way of its stored form, with everything that a
// job can have, and looks at what arrives.
func TestPreparedTravels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := memory.New()
		q := batch.NewQueue(d, "tasks")
		p, err := q.Prepare(t.Context(), task{7}, batch.ID(q, "job"), batch.Header(q, "Tenant", "a\x00b"),
			batch.MaxAttempts(q, 3), batch.Timeout(q, time.Minute), batch.ExpiresIn(q, time.Hour),
			batch.Priority(q, batch.High), batch.UniqueWithin(q, "key", 5*time.Minute), batch.Delay(q, time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		if p.ID() != "job" || p.Kind() != (task{}).Kind() {
			t.Errorf("the prepared job is %s of kind %s", p.ID(), p.Kind())
		}
		form, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var read batch.Prepared
		if err := json.Unmarshal(form, &read); err != nil {
			t.Fatal(err)
		}
		time.Sleep(40 * time.Second) // in the outbox

		other := batch.NewQueue(d, "others")
		results, err := other.EnqueuePrepared(t.Context(), &read)
		if err != nil || results[0].ID != "job" {
			t.Fatalf("EnqueuePrepared = %+v, %v", results, err)
		}
		job, err := batch.FindJob(t.Context(), other, "job")
		if err != nil {
			t.Fatal(err)
		}
		if !job.EnqueuedAt.Equal(begun) || !job.ExpiresAt.Equal(begun.Add(time.Hour)) || !job.DueAt.Equal(begun.Add(time.Minute)) {
			t.Errorf("enqueued %s, expires %s, due %s: want all to count from %s", job.EnqueuedAt, job.ExpiresAt, job.DueAt, begun)
		}
		if job.MaxAttempts != 3 || job.Timeout != time.Minute || job.Level != batch.High || job.DedupKey != "key" ||
			job.Headers["Tenant"] != "a\x00b" || job.ContentType != "application/json" || string(job.Body) != `{"N":7}` {
			t.Errorf("the job is %+v", job)
		}
		again, err := other.EnqueuePrepared(t.Context(), &read)
		if err != nil || !again[0].Duplicate {
			t.Errorf("the second EnqueuePrepared = %+v, %v, want a duplicate", again, err)
		}
		if there, err := q.Exists(t.Context()); there || err != nil {
			t.Errorf("the queue that prepared it exists: %v, %v", there, err)
		}
	})
}

// TestPreparedIsRefusedWhereItDoesNotFit sends a job to a broker that lacks what it
// needs. The good one beside it is stored.
func TestPreparedIsRefusedWhereItDoesNotFit(t *testing.T) {
	d := memory.New()
	able := batch.NewQueue(d, "tasks")
	portable := batch.NewQueue(memory.NewPortable(), "tasks")
	plain, err := able.Prepare(t.Context(), task{1})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		missing string
		option  batch.Option[*memory.Driver]
	}{
		{"Prioritizer", batch.Priority(able, batch.Low)},
		{"Delayer", batch.Delay(able, time.Hour)},
		{"Deduplicator", batch.Unique(able, "key")},
		{"Grouper", batch.Group(able, "group")},
	} {
		p, err := able.Prepare(t.Context(), task{2}, c.option)
		if err != nil {
			t.Fatal(err)
		}
		results, err := portable.EnqueuePrepared(t.Context(), p, plain, nil)
		var lacks *batch.CapabilityError
		if !errors.As(results[0].Err, &lacks) || len(lacks.Missing) != 1 || lacks.Missing[0] != c.missing {
			t.Errorf("the error is %v, want a CapabilityError that misses %s", results[0].Err, c.missing)
		}
		var many *batch.ManyError
		if !errors.As(err, &many) || many.Refused != 2 || many.Unconfirmed != 2 {
			t.Errorf("EnqueuePrepared = %v, want 2 of 3 refused", err)
		}
		if results[1].Err != nil || !errors.Is(results[2].Err, batch.ErrInvalid) {
			t.Errorf("the plain job: %v, the nil one: %v", results[1].Err, results[2].Err)
		}
	}
}

// TestPreparedFormIsChecked reads forms that nothing may be sent from.
func TestPreparedFormIsChecked(t *testing.T) {
	good := `{"version":1,"id":"a","kind":"k","content_type":"t","enqueued_at":"2026-01-02T03:04:05Z"}`
	var p batch.Prepared
	if err := json.Unmarshal([]byte(good), &p); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"another version":  {`"version":1`, `"version":2`},
		"an unknown field": {`"id"`, `"extra":1,"id"`},
		"no ID":            {`"id":"a",`, ``},
		"a bad ID":         {`"id":"a"`, `"id":"a b"`},
		"a bad kind":       {`"kind":"k"`, `"kind":"k k"`},
		"no content type":  {`"content_type":"t",`, ``},
		"no time":          {`,"enqueued_at":"2026-01-02T03:04:05Z"`, ``},
		"a bad level":      {`"id"`, `"level":"huge","id"`},
		"a bad header":     {`"id"`, `"headers":{"batch-x":""},"id"`},
		"bad attempts":     {`"id"`, `"max_attempts":1001,"id"`},
		"a bad timeout":    {`"id"`, `"timeout_ms":-1,"id"`},
		"a bad key":        {`"id"`, `"unique_key":" ","id"`},
		"group and delay":  {`"id"`, `"group":"g","due_at":"2026-01-02T03:04:05Z","id"`},
		"no object":        {good, `[]`},
	} {
		err := json.Unmarshal([]byte(strings.Replace(good, change[0], change[1], 1)), &p)
		if !errors.Is(err, batch.ErrInvalid) {
			t.Errorf("%s: UnmarshalJSON = %v, want an error that wraps ErrInvalid", name, err)
		}
	}
	if p.ID() != "a" {
		t.Errorf("after the errors the job is %q, want it as it was", p.ID())
	}
	if text, err := json.Marshal(&batch.Prepared{}); err == nil {
		t.Errorf("the zero value as JSON = %s, want an error", text)
	}
}

// TestPreparedFormIsDocumented reads the example of docs/wire.md.
func TestPreparedFormIsDocumented(t *testing.T) {
	text, err := os.ReadFile("docs/wire.md")
	if err != nil {
		t.Fatal(err)
	}
	form := regexp.MustCompile("(?s)```json\n(\\{\n  \"version\".*?)```").FindSubmatch(text)
	if form == nil {
		t.Fatal("docs/wire.md has no example of a prepared job")
	}
	var p batch.Prepared
	if err := json.Unmarshal(form[1], &p); err != nil {
		t.Fatal(err)
	}
	if again, err := json.Marshal(&p); err != nil || strings.Join(strings.Fields(string(form[1])), "") != strings.Join(strings.Fields(string(again)), "") {
		t.Errorf("the example becomes %s, %v", again, err)
	}
}

// TestPreparedNamesAllThatIsMissing sends a job that needs two capabilities to a broker
// that has neither.
func TestPreparedNamesAllThatIsMissing(t *testing.T) {
	able := batch.NewQueue(memory.New(), "tasks")
	p, err := able.Prepare(t.Context(), task{}, batch.Priority(able, batch.High), batch.Group(able, "group"))
	if err != nil {
		t.Fatal(err)
	}
	results, _ := batch.NewQueue(memory.NewPortable(), "tasks").EnqueuePrepared(t.Context(), p)
	var lacks *batch.CapabilityError
	if !errors.As(results[0].Err, &lacks) || !slices.Equal(lacks.Missing, []string{"Prioritizer", "Grouper"}) {
		t.Errorf("the error is %v", results[0].Err)
	}
}

// TestEnqueuePreparedTx: prepared jobs that were stored and read again are part of a transaction, all or none
// of them, with the IDs and times that they had.
func TestEnqueuePreparedTx(t *testing.T) {
	d := memory.New()
	q := batch.NewQueue(d, "tasks")
	var outbox []*batch.Prepared
	for _, options := range [][]batch.Option[*memory.Driver]{
		{batch.Unique(q, "key"), batch.Priority(q, batch.High)}, {batch.Delay(q, time.Hour)}, {batch.Unique(q, "key")},
	} {
		p, err := q.Prepare(t.Context(), task{len(outbox)}, options...)
		if err != nil {
			t.Fatal(err)
		}
		row, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		read := new(batch.Prepared)
		if err := json.Unmarshal(row, read); err != nil {
			t.Fatal(err)
		}
		outbox = append(outbox, read)
	}
	for _, commit := range []bool{false, true} {
		tx, err := d.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, err = batch.EnqueuePreparedTx(t.Context(), tx, q, outbox[0], new(batch.Prepared), nil)
		if !errors.Is(err, batch.ErrInvalid) || !strings.Contains(err.Error(), "job 2 of 3") {
			t.Errorf("with one that is no job: %v", err)
		}
		receipts, err := batch.EnqueuePreparedTx(t.Context(), tx, q, outbox...)
		if err != nil || len(receipts) != 3 || receipts[0].ID != outbox[0].ID() || !receipts[2].Duplicate || receipts[2].ID != outbox[0].ID() {
			t.Fatalf("EnqueuePreparedTx = %+v, %v", receipts, err)
		}
		want := batch.Depth{}
		if commit {
			err, want = tx.Commit(t.Context()), batch.Depth{Waiting: 1, Scheduled: 1}
		} else {
			err = tx.Rollback(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		if depth, err := q.Depth(t.Context()); err != nil || depth.Waiting != want.Waiting || depth.Scheduled != want.Scheduled {
			t.Errorf("the depth is %+v, %v, want %+v", depth, err, want)
		}
	}
	job, err := batch.FindJob(t.Context(), q, outbox[0].ID())
	if err != nil || job.Level != batch.High || string(job.Body) != `{"N":0}` {
		t.Errorf("FindJob = %+v, %v", job, err)
	}
	far, err := batch.NewQueue(d, "others").Prepare(t.Context(), task{1}, batch.Priority(q, batch.Low))
	if err != nil {
		t.Fatal(err)
	}
	many := make([]*batch.Prepared, d.Info().Limits.EnqueueBatch+1)
	for i := range many {
		many[i] = far
	}
	tx, err := d.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := batch.EnqueuePreparedTx(t.Context(), tx, q, many...); !errors.Is(err, batch.ErrInvalid) {
		t.Errorf("too many: %v", err)
	}
}
