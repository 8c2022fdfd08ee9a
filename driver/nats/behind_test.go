package nats_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/brokers"
)

// behind is a domain whose API is that of the server, but for some answers of one kind, which are
// those of a server of a cluster that does not know of the stream yet.
type behind struct {
	mu   sync.Mutex   // guards kind
	kind string       // as in "CONSUMER.CREATE."
	left atomic.Int32 // how many answers are of one that is behind
	// twice makes the server that has the stream do what it is asked nevertheless, and answer later.
	twice atomic.Bool
	// refuses makes them those of a server that has the stream yet, to a pull that is none.
	refuses bool
}

// set makes the next answers of a kind those of one that is behind.
func (b *behind) set(kind string, left int32) {
	b.mu.Lock()
	b.kind = kind
	b.mu.Unlock()
	b.left.Store(left)
}

// serve answers the domain "behind" at url until the test ends.
func (b *behind) serve(t *testing.T, url string) {
	t.Helper()
	nc, err := natsgo.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	_, err = nc.Subscribe("$JS.behind.API.>", func(m *natsgo.Msg) {
		call := strings.TrimPrefix(m.Subject, "$JS.behind.API.")
		b.mu.Lock()
		ours := strings.HasPrefix(call, b.kind)
		b.mu.Unlock()
		if ours && b.left.Add(-1) >= 0 {
			if b.refuses {
				_ = m.RespondMsg(&natsgo.Msg{Header: natsgo.Header{"Status": {"400"}, "Description": {"Bad Request"}}})
				return
			}
			if b.twice.Load() {
				_ = nc.Publish("$JS.API."+call, m.Data)
			}
			_ = m.Respond([]byte(`{"error": {"code": 404, "err_code": 10059, "description": "stream not found"}}`))
			return
		}
		_ = nc.PublishRequest("$JS.API."+call, m.Reply, m.Data) // who asked hears nothing, and its context ends
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
}

// TestDeclareOnServersBehind: the servers of a cluster learn of a stream one after the other, and of
// its end. One that does not know yet what another has told fails no Declare.
func TestDeclareOnServersBehind(t *testing.T) {
	ts := startServer(t)
	for kind, declared := range map[string]bool{"CONSUMER.CREATE.": false, "CONSUMER.INFO.": true} {
		b := behind{kind: kind}
		b.serve(t, ts.url())
		d := openURL(t, ts.url()+"?domain=behind")
		q := "new"
		if declared {
			q = declare(t, d)
		}
		b.left.Store(4)
		if err := d.Declare(testContext(t), q); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		enqueue(t, d, q, message("a"))
		b.left.Store(1 << 30)
		ctx, cancel := context.WithCancel(testContext(t))
		ended := make(chan error, 1)
		go func() { ended <- d.Declare(ctx, q+"-never") }()
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) && !errors.Is(err, driver.ErrUnavailable) {
			t.Errorf("%s: a call that is canceled while it waits for a server: %v", kind, err)
		}
	}
}

// TestDeleteOnServersBehind: a queue of a cluster is deleted when no server takes pulls of it any more,
// which may be later than no server tells of it.
func TestDeleteOnServersBehind(t *testing.T) {
	url := harness(brokers.NATSCluster(t, brokers.NATS2).URL(), "").URL
	b := behind{kind: "CONSUMER.MSG.NEXT.", refuses: true}
	b.serve(t, url)
	q := declare(t, openURL(t, url))
	b.left.Store(3)
	if err := openURL(t, url+"&domain=behind").DeleteQueue(testContext(t), q); err != nil {
		t.Fatal(err)
	}
	if left := b.left.Load(); left >= 0 {
		t.Errorf("the queue was deleted while a server would have taken %d pulls more", left)
	}
}

// TestSettleOnServersBehind: a server of a cluster that does not know of the stream yet makes no lease
// lost, no dead letter missing and no queue that is there a missing one.
func TestSettleOnServersBehind(t *testing.T) {
	url := harness(brokers.NATSCluster(t, brokers.NATS2).URL(), "").URL
	b := behind{kind: "none"}
	b.serve(t, url)
	d := openURL(t, url+"&domain=behind")
	q := declare(t, openURL(t, url))
	c := consume(t, d, q, time.Minute)
	calls := map[string]func() error{
		"STREAM.MSG.DELETE.": func() error {
			enqueue(t, d, q, message("a"))
			got := receive(t, c, 1)[0]
			return errors.Join(c.Settle(testContext(t), []driver.Settlement{{Delivery: got, Outcome: driver.OutcomeDead, Reason: driver.ReasonPermanent, Error: "e"}})...)
		},
		"STREAM.PURGE.": func() error { _, err := d.Purge(testContext(t), q); return err },
		"CONSUMER.PAUSE.": func() error {
			return errors.Join(d.Pause(testContext(t), q), d.Resume(testContext(t), q))
		},
		"STREAM.MSG.GET.": func() error {
			enqueue(t, d, q, message("b")) // so that Depth looks how old it is
			_, err := d.Depth(testContext(t), q)
			return err
		},
	}
	for kind, call := range calls {
		b.set(kind, 3)
		if err := call(); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
	// The job is a dead letter, and neither lost nor there twice.
	before, _, err := d.DeadLetters(testContext(t), q, "", 10)
	if err != nil {
		t.Fatal(err)
	}
	b.twice.Store(true)
	b.set("STREAM.MSG.DELETE.", 1)
	if err := calls["STREAM.MSG.DELETE."](); err != nil {
		t.Errorf("a removal that two servers answered: %v", err)
	}
	b.twice.Store(false)
	after, _, err := d.DeadLetters(testContext(t), q, "", 10)
	if err != nil || len(after) != len(before)+1 {
		t.Errorf("%d dead letters before and %d after, %v", len(before), len(after), err)
	}
	b.set("STREAM.INFO.", 3)
	if err := d.DeleteQueue(testContext(t), q); err != nil {
		t.Fatal(err)
	}
	if _, err := openURL(t, url).Depth(testContext(t), q); !errors.Is(err, driver.ErrNotFound) {
		t.Errorf("the queue was deleted: %v", err)
	}
}
