package nats_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/nats"
	"github.com/batch-go/batch/internal/brokers"
)

// behind is a domain whose API is that of the server, but for some answers of one kind, which are
// those of a server of a cluster that does not know of the stream yet.
type behind struct {
	mu   sync.Mutex   // guards kind
	kind string       // as in "CONSUMER.CREATE."
	left atomic.Int32 // how many answers are of one that is behind
	// spared is which of them, counted from the last, is of the server that has it; 0 for none.
	spared atomic.Int32
	// twice makes the server that has the stream do what it is asked nevertheless, and answer later.
	twice atomic.Bool
	// after is called after each of these answers.
	after func()
	// refuses makes them those of a server that has the stream yet, to a pull that is none.
	refuses bool
	// guesses makes them those of a server that has no part of the consumer yet: with a configuration from before
	// any pause, and no counts.
	guesses bool
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
		n := int32(-1)
		if ours {
			n = b.left.Add(-1)
		}
		if n >= 0 && n != b.spared.Load()-1 {
			if b.refuses {
				_ = m.RespondMsg(&natsgo.Msg{Header: natsgo.Header{"Status": {"400"}, "Description": {"Bad Request"}}})
				return
			}
			if b.guesses {
				_ = m.Respond(guess(t, nc, call))
				return
			}
			if b.twice.Load() {
				_ = nc.Publish("$JS.API."+call, m.Data)
			}
			_ = m.Respond([]byte(`{"error": {"code": 404, "err_code": 10059, "description": "stream not found"}}`))
			if b.after != nil {
				_ = nc.Flush() // so that the answer is on its way: without, the call ends a step before
				b.after()
			}
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

// guess is what such a server tells of a consumer.
func guess(t *testing.T, nc *natsgo.Conn, call string) []byte {
	m, err := nc.Request("$JS.API."+call, nil, 10*time.Second)
	if err != nil {
		t.Error(err)
		return nil
	}
	var info map[string]any
	if err := json.Unmarshal(m.Data, &info); err != nil {
		t.Error(err)
		return nil
	}
	for _, of := range []string{"cluster", "paused", "pause_remaining", "num_pending"} {
		delete(info, of)
	}
	info["delivered"] = map[string]int{"consumer_seq": 0, "stream_seq": 0}
	data, err := json.Marshal(info)
	if err != nil {
		t.Error(err)
	}
	return data
}

// TestGuessesOfServersBehind: a server of a cluster that has no part of the queue's consumer yet tells of it what it does not
// know. No call believes that.
func TestGuessesOfServersBehind(t *testing.T) {
	url := harness(brokers.NATSCluster(t, brokers.NATS2).URL(), "").URL
	b := behind{kind: "CONSUMER.INFO.", guesses: true}
	b.serve(t, url)
	sure := openURL(t, url)
	q := declare(t, sure)
	enqueue(t, sure, q, message("a"))
	if err := sure.Pause(testContext(t), q); err != nil {
		t.Fatal(err)
	}
	for range 2 { // by handles that know nothing of the cluster at first
		d := openURL(t, url+"&domain=behind")
		b.left.Store(2)
		if paused, err := d.Paused(testContext(t), q); err != nil || !paused {
			t.Errorf("Paused of a paused queue: %t, %v", paused, err)
		}
		b.left.Store(2)
		if depth, err := d.Depth(testContext(t), q); err != nil || depth.Waiting != 1 {
			t.Errorf("Depth of a queue with a job: %+v, %v", depth, err)
		}
		b.left.Store(1 << 30)
		if paused, err := d.Paused(testContext(t), q); !errors.Is(err, driver.ErrUnavailable) {
			t.Errorf("Paused where only guesses come: %t, %v", paused, err)
		}
		b.left.Store(2)
		if err := d.Resume(testContext(t), q); err != nil {
			t.Error(err)
		}
		if paused, err := sure.Paused(testContext(t), q); err != nil || paused {
			t.Errorf("Paused of a queue that was resumed: %t, %v", paused, err)
		}
		b.left.Store(0)
		if err := d.Pause(testContext(t), q); err != nil {
			t.Error(err)
		}
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

// TestCallsOnServersBehind: a server of a cluster that does not know of the stream yet makes no lease
// lost, no dead letter missing and no queue that is there a missing one.
func TestCallsOnServersBehind(t *testing.T) {
	cluster := brokers.NATSCluster(t, brokers.NATS2)
	url := harness(cluster.URL(), "").URL
	b := behind{kind: "none"}
	b.serve(t, url)
	d := openURL(t, url+"&domain=behind")
	q := declare(t, openURL(t, url))
	c := consume(t, d, q, time.Minute)
	die := func() error { return errors.Join(c.Settle(testContext(t), deaths(t, d, c, q, "a"))...) }
	all := driver.Selection{All: true}
	for _, call := range []struct {
		kind, what string
		call       func() error
	}{
		{"STREAM.MSG.DELETE.", "Settle", die},
		{"STREAM.INFO.", "DeadLetters", func() error { _, _, err := d.DeadLetters(testContext(t), q, "", 10); return err }},
		{"STREAM.INFO.", "Redrive", func() error { _, err := d.Redrive(testContext(t), q, all); return err }},
		{"STREAM.INFO.", "Discard", func() error { _, err := d.Discard(testContext(t), q, all); return err }},
		{"STREAM.INFO.", "List", func() error { _, _, err := d.List(testContext(t), q, driver.StateWaiting, "", 10); return err }},
		{"STREAM.INFO.", "Delete", func() error { return d.Delete(testContext(t), q, "a") }},
		{"STREAM.INFO.", "Purge", func() error { _, err := d.Purge(testContext(t), q); return err }},
		{"STREAM.PURGE.", "Purge", func() error { _, err := d.Purge(testContext(t), q); return err }},
		{"CONSUMER.PAUSE.", "Pause", func() error { return errors.Join(d.Pause(testContext(t), q), d.Resume(testContext(t), q)) }},
		{"STREAM.MSG.GET.", "Depth", func() error {
			enqueue(t, d, q, message("b")) // so that Depth looks how old it is
			_, err := d.Depth(testContext(t), q)
			return err
		}},
		{"CONSUMER.CREATE.", "Depth", func() error {
			removeConsumer(t, cluster.Nodes[0].URL(), q)
			_, err := d.Depth(testContext(t), q)
			return err
		}},
	} {
		b.set(call.kind, 3)
		if err := call.call(); err != nil {
			t.Errorf("%s where %s is behind: %v", call.what, call.kind, err)
		}
	}
	b.set("STREAM.INFO.", 3)
	if err := d.DeleteQueue(testContext(t), q); err != nil {
		t.Fatal(err)
	}
	if _, err := openURL(t, url).Depth(testContext(t), q); !errors.Is(err, driver.ErrNotFound) {
		t.Errorf("the queue was deleted: %v", err)
	}
}

// TestRemovalThatTwoServersAnswer: one that is behind answers first, and another removes the entry
// nevertheless. The job is a dead letter then, and not lost: also where the second look at one of two
// brings an end, and that at the other does not.
func TestRemovalThatTwoServersAnswer(t *testing.T) {
	url := harness(brokers.NATSCluster(t, brokers.NATS2).URL(), "").URL
	b := behind{kind: "none"}
	b.serve(t, url)
	b.twice.Store(true)
	for name, test := range map[string]struct {
		ids          []string
		left, spared int32
	}{
		"one": {[]string{"a"}, 1, 0},
		// Both, and at the second look the last of them again.
		"two": {[]string{"a", "b"}, 4, 2},
	} {
		d := openURL(t, url+"&domain=behind")
		q := declare(t, d)
		c := consume(t, d, q, time.Minute)
		settlements := deaths(t, d, c, q, test.ids...)
		b.spared.Store(test.spared)
		b.set("STREAM.MSG.DELETE.", test.left)
		if errs := c.Settle(testContext(t), settlements); errors.Join(errs...) != nil {
			t.Errorf("%s: %v", name, errs)
		}
		letters, _, err := d.DeadLetters(testContext(t), q, "", 10)
		if err != nil || len(letters) != len(test.ids) {
			t.Errorf("%s: %d dead letters, %v", name, len(letters), err)
		}
	}
}

// TestRemovalThatIsGivenUp: a call that ends while it looks again does not know whether the entry was
// removed, and does not take the dead letter back.
func TestRemovalThatIsGivenUp(t *testing.T) {
	url := harness(brokers.NATSCluster(t, brokers.NATS2).URL(), "").URL
	ctx, cancel := context.WithCancel(testContext(t))
	b := behind{kind: "none", after: cancel}
	b.serve(t, url)
	b.twice.Store(true)
	d := openURL(t, url+"&domain=behind")
	q := declare(t, d)
	c := consume(t, d, q, time.Minute)
	settlements := deaths(t, d, c, q, "a")
	b.set("STREAM.MSG.DELETE.", 1<<30)
	err := errors.Join(c.Settle(ctx, settlements)...)
	if !errors.Is(err, context.Canceled) || driver.FateOf(err) != driver.FateUnknown {
		t.Errorf("%v (%s)", err, driver.FateOf(err))
	}
	if letters, _, err := d.DeadLetters(testContext(t), q, "", 10); err != nil || len(letters) != 1 {
		t.Errorf("%d dead letters, %v", len(letters), err)
	}
}

// deaths enqueues jobs, receives them and makes settlements by which they die.
func deaths(t *testing.T, d *nats.Driver, c driver.Consumer, q string, ids ...string) []driver.Settlement {
	t.Helper()
	for _, id := range ids {
		enqueue(t, d, q, message(id))
	}
	var all []driver.Settlement
	for _, got := range receive(t, c, len(ids)) {
		all = append(all, driver.Settlement{Delivery: got, Outcome: driver.OutcomeDead, Reason: driver.ReasonPermanent, Error: "e"})
	}
	return all
}

// removeConsumer removes what hands out the jobs of a queue, as somebody with the client library can.
func removeConsumer(t *testing.T, url, q string) {
	t.Helper()
	if err := rawJetStream(t, url).DeleteConsumer(testContext(t), "batch-"+q, "jobs"); err != nil {
		t.Fatal(err)
	}
}
