package nats

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/brokers"
)

// plainMessage is a message that enqueuePlain takes.
func plainMessage(id string, size int) *driver.Message {
	return &driver.Message{ID: id, Kind: "test", ContentType: "application/json", EnqueuedAt: time.UnixMilli(1760000000000).UTC(),
		Body: make([]byte, size), Headers: map[string]string{"one": "1", "two": "\r\nNats-TTL: 1s"}}
}

// plainQueue is a driver with a queue of its own.
func plainQueue(t *testing.T) (context.Context, *Driver, string) {
	t.Helper()
	server := brokers.NATS(t, brokers.NATS2) // before the time begins: it may have to be started
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	d, err := Open(ctx, server.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close(ctx) })
	queue := fmt.Sprint("plain-", time.Now().UnixNano())
	if err := d.Declare(ctx, queue); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.DeleteQueue(ctx, queue) })
	return ctx, d, queue
}

// TestPlainIsWrittenByItsCaller: no goroutine of the client library has a part in publishing
// a job that comes alone but the first, there is one inbox for all that come one after the other, and what
// is stored is what the library would have sent.
func TestPlainIsWrittenByItsCaller(t *testing.T) {
	ctx, d, queue := plainQueue(t)
	want := make(map[string]*driver.Message)
	put := func(id string, size int) {
		m := plainMessage(id, size)
		want[id] = m
		if r := d.Enqueue(ctx, queue, []*driver.Message{m}); r != nil {
			t.Fatal(r[0].Err)
		}
	}
	nc := d.conn.nc()
	before := nc.Stats().OutMsgs
	if put("first", 10); nc.Stats().OutMsgs != before+1 {
		t.Error("the first job did not leave behind the subscription of its inbox, which the library sends")
	}
	sent, inboxes := nc.Stats().OutMsgs, nc.NumSubscriptions()
	for i := range 20 {
		put(fmt.Sprint("job-", i), 10*i)
	}
	put("largest", plainSize)
	if got := nc.Stats().OutMsgs; got != sent {
		t.Errorf("the client library published %d messages", got-sent)
	}
	if got := nc.NumSubscriptions(); got != inboxes {
		t.Errorf("there are %d inboxes, and were %d", got, inboxes)
	}
	put("larger", plainSize+1)

	c, err := d.Consume(ctx, queue, driver.ConsumeOptions{Lease: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(ctx) }()
	for len(want) > 0 {
		got, err := c.Receive(ctx, 100)
		if err != nil {
			t.Fatalf("%d are missing: %v", len(want), err)
		}
		for _, g := range got {
			if !reflect.DeepEqual(&g.Message, want[g.ID]) {
				t.Errorf("stored %+v, and read %+v", want[g.ID], g.Message)
			}
			delete(want, g.ID)
		}
	}
}

// TestPlainGivenUp: the answer to one that was given up is nobody else's.
func TestPlainGivenUp(t *testing.T) {
	ctx, d, queue := plainQueue(t)
	for i := range 200 {
		once, cancel := context.WithTimeout(ctx, time.Duration(i)*time.Microsecond)
		r := d.Enqueue(once, queue, []*driver.Message{plainMessage("given-up", 10)})
		cancel()
		if r != nil && !errors.Is(r[0].Err, context.DeadlineExceeded) {
			t.Fatal(r[0].Err)
		}
		// Another queue's answer would be refused.
		if r := d.Enqueue(ctx, queue+"-none", []*driver.Message{plainMessage("a", 10)}); r == nil || !errors.Is(r[0].Err, driver.ErrNotFound) {
			t.Fatalf("a queue that is not there: %v", r)
		}
	}
}

// TestPlainAnsweredTwice: a second answer to one, as of a stream of another domain, is not taken
// for that to the next.
func TestPlainAnsweredTwice(t *testing.T) {
	ctx, d, queue := plainQueue(t)
	nc, err := natsgo.Connect(brokers.NATS(t, brokers.NATS2).URL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	n := d.names(queue)
	published := make(chan *natsgo.Msg, 10)
	other, err := nc.ChanSubscribe(n.job, published)
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // by the library, and by the driver
		if r := d.Enqueue(ctx, queue, []*driver.Message{plainMessage("a", 10)}); r != nil {
			t.Fatal(r[0].Err)
		}
		m := <-published
		if err := nc.Publish(m.Reply, fmt.Appendf(nil, `{"stream":%q,"seq":1}`, n.stream)); err != nil {
			t.Fatal(err)
		}
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
		if err := d.conn.nc().Flush(); err != nil { // the answer is there
			t.Fatal(err)
		}
	}
	if err := other.Unsubscribe(); err != nil {
		t.Fatal(err)
	}
	if err := d.DeleteQueue(ctx, queue); err != nil {
		t.Fatal(err)
	}
	if r := d.Enqueue(ctx, queue, []*driver.Message{plainMessage("b", 10)}); r == nil || !errors.Is(r[0].Err, driver.ErrNotFound) {
		t.Errorf("a queue that is not there any more: %v", r)
	}
}

// TestPlainEnds: plain enqueues under way end with the connection, the driver and a refusal of
// their subject, and leave nothing behind.
func TestPlainEnds(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(d *Driver, subject string)
		kind error
		fate driver.Fate
	}{
		{"connection", func(d *Driver, _ string) { d.conn.down() }, driver.ErrUnavailable, driver.FateUnknown},
		{"driver", func(d *Driver, _ string) { d.conn.close() }, driver.ErrClosed, driver.FateUnknown},
		{"refusal", func(d *Driver, subject string) {
			d.conn.onError(fmt.Errorf("%w: Permissions Violation for Publish to %q", natsgo.ErrPermissionViolation, subject))
		}, driver.ErrUnauthorized, driver.FateNotStored},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, _, _ := plainQueue(t)
			nc, err := natsgo.Connect(brokers.NATS(t, brokers.NATS2).URL())
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			d, err := New(ctx, nc, Options{})
			if err != nil {
				t.Fatal(err)
			}
			// Somebody else takes what is published, and does not answer.
			n := d.names(fmt.Sprint("mute-", time.Now().UnixNano()))
			taken := make(chan *natsgo.Msg, 10)
			sub, err := nc.ChanSubscribe(n.job, taken)
			if err != nil {
				t.Fatal(err)
			}
			var all sync.WaitGroup
			errs := make([]error, cap(taken))
			for i := range errs {
				all.Go(func() { errs[i] = d.Enqueue(ctx, n.queue, []*driver.Message{plainMessage("a", 10)})[0].Err })
			}
			for range errs {
				select {
				case <-taken:
				case <-ctx.Done():
					t.Fatal("nothing was published")
				}
			}
			c.end(d, n.job)
			all.Wait()
			for _, err := range errs {
				if !errors.Is(err, c.kind) || driver.FateOf(err) != c.fate {
					t.Errorf("it ended with %v, fate %v", err, driver.FateOf(err))
				}
			}
			if err := d.Close(ctx); err != nil {
				t.Fatal(err)
			}
			if err := sub.Unsubscribe(); err != nil {
				t.Fatal(err)
			}
			if left := nc.NumSubscriptions(); left != 0 {
				t.Errorf("%d subscriptions are left", left)
			}
		})
	}
}
