package nats_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/nats"
)

// lapse makes a first consumer lose a job to a second one, which holds it then.
func lapse(t *testing.T, d *nats.Driver, q string) (first, second driver.Consumer, lost, held *driver.Delivery) {
	t.Helper()
	enqueue(t, d, q, message("job"))
	first = consume(t, d, q, time.Second)
	lost = receive(t, first, 1)[0]
	second = consume(t, d, q, 10*time.Second)
	held = receive(t, second, 1)[0]
	return first, second, lost, held
}

// TestLostHolderSettlesNothing: every outcome of a holder that lost its lease is
// refused, whatever the server would take, and the job stays with its new holder.
func TestLostHolderSettlesNothing(t *testing.T) {
	t.Parallel() // it waits for leases
	d := openURL(t, sharedURL(t))
	for _, outcome := range []driver.Outcome{driver.OutcomeDone, driver.OutcomeRetry, driver.OutcomeRelease, driver.OutcomeDead} {
		t.Run(outcome.String(), func(t *testing.T) {
			q := declare(t, d)
			first, second, lost, held := lapse(t, d, q)
			if held.Deliveries != 2 || held.Redeliveries != 1 {
				t.Errorf("the second delivery is %+v", held)
			}
			for range 2 {
				err := settle(t, first, driver.Settlement{Delivery: lost, Outcome: outcome, Failures: 1, Reason: driver.ReasonPermanent})
				if !errors.Is(err, driver.ErrLeaseLost) {
					t.Errorf("settling what was lost: %v", err)
				}
			}
			waitDepth(t, d, q, driver.Depth{Running: 1})
			if errs := second.Extend(testContext(t), []*driver.Delivery{held}); errs != nil {
				t.Errorf("extend what is held: %v", errs)
			}
			if err := settle(t, second, driver.Settlement{Delivery: held, Outcome: driver.OutcomeDone}); err != nil {
				t.Errorf("settle what is held: %v", err)
			}
			waitDepth(t, d, q, driver.Depth{})
		})
	}
}

// TestLateButUndisturbed: a holder whose lease ended, and whose job nobody took
// over, settles it, once.
func TestLateButUndisturbed(t *testing.T) {
	t.Parallel() // it waits for leases
	d := openURL(t, sharedURL(t))
	for _, outcome := range []driver.Outcome{driver.OutcomeDone, driver.OutcomeRetry, driver.OutcomeRelease, driver.OutcomeDead} {
		t.Run(outcome.String(), func(t *testing.T) {
			q := declare(t, d)
			enqueue(t, d, q, message("job"))
			c := consume(t, d, q, time.Second)
			got := receive(t, c, 1)[0]
			over := time.NewTimer(1200 * time.Millisecond)
			<-over.C
			s := driver.Settlement{Delivery: got, Outcome: outcome, Failures: 1, Reason: driver.ReasonPermanent}
			if err := settle(t, c, s); err != nil {
				t.Errorf("settling late: %v", err)
			}
			if err := settle(t, c, s); !errors.Is(err, driver.ErrLeaseLost) {
				t.Errorf("settling twice: %v", err)
			}
			want := driver.Depth{Waiting: 1}
			switch outcome {
			case driver.OutcomeDone:
				want = driver.Depth{}
			case driver.OutcomeDead:
				want = driver.Depth{Dead: 1}
			}
			waitDepth(t, d, q, want)
		})
	}
}

// TestOneOfManySettles: several holders of one entry settle it at the same time, as
// after a crash of the server that forgot deliveries: one may.
func TestOneOfManySettles(t *testing.T) {
	d := openURL(t, sharedURL(t))
	q := declare(t, d)
	const rounds, holders = 20, 4
	for round := range rounds {
		enqueue(t, d, q, message(fmt.Sprint("job-", round)))
		c := consume(t, d, q, 30*time.Second)
		got := receive(t, c, 1)[0]
		var all sync.WaitGroup
		results := make(chan error, holders)
		for range holders {
			all.Go(func() {
				results <- settle(t, c, driver.Settlement{Delivery: got, Outcome: driver.OutcomeDead, Reason: driver.ReasonPermanent})
			})
		}
		all.Wait()
		close(results)
		settled := 0
		for err := range results {
			if err == nil {
				settled++
			} else if !errors.Is(err, driver.ErrLeaseLost) {
				t.Error(err)
			}
		}
		if settled != 1 {
			t.Errorf("%d of %d settled the job", settled, holders)
		}
		if err := c.Close(testContext(t)); err != nil {
			t.Fatal(err)
		}
	}
	waitDepth(t, d, q, driver.Depth{Dead: rounds})
}

// TestTwoHoldersLoseNothing: two holders of one entry, both certain of it, settle
// it in every way, one after the other and at once.
func TestTwoHoldersLoseNothing(t *testing.T) {
	d := openURL(t, sharedURL(t))
	outcomes := []driver.Outcome{driver.OutcomeDone, driver.OutcomeRetry, driver.OutcomeRelease, driver.OutcomeDead}
	q := declare(t, d)
	c := consume(t, d, q, 30*time.Second)
	for _, one := range outcomes {
		for _, two := range outcomes {
			for _, together := range []bool{false, true} {
				enqueue(t, d, q, message("job"))
				first := receive(t, c, 1)[0]
				second := nats.Twin(first)
				end := func(g *driver.Delivery, o driver.Outcome) error {
					return settle(t, c, driver.Settlement{Delivery: g, Outcome: o, Failures: 1, Reason: driver.ReasonPermanent})
				}
				var errOne, errTwo error
				if together {
					var all sync.WaitGroup
					all.Go(func() { errOne = end(first, one) })
					all.Go(func() { errTwo = end(second, two) })
					all.Wait()
				} else {
					errOne, errTwo = end(first, one), end(second, two)
				}
				// A holder that acknowledges is not told that the other deleted the entry, and
				// it has run the job.
				if errOne != nil && errTwo != nil {
					t.Errorf("%s and %s: %v and %v", one, two, errOne, errTwo)
				}
				var want driver.Depth
				for _, s := range []struct {
					err     error
					outcome driver.Outcome
				}{{errOne, one}, {errTwo, two}} {
					switch {
					case s.err != nil && !errors.Is(s.err, driver.ErrLeaseLost):
						t.Errorf("%s and %s: %v", one, two, s.err)
					case s.err != nil || s.outcome == driver.OutcomeDone:
					case s.outcome == driver.OutcomeDead:
						want.Dead++
					default:
						want.Waiting++
					}
				}
				if want.Dead+want.Waiting > 1 {
					t.Errorf("%s and %s both settled the job", one, two)
				}
				waitDepth(t, d, q, want)
				for range want.Waiting {
					if err := end(receive(t, c, 1)[0], driver.OutcomeDone); err != nil {
						t.Error(err)
					}
				}
				if _, err := d.Discard(testContext(t), q, driver.Selection{All: true}); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// TestDeletedQueueIsAnother: a holder from before a queue was deleted and made
// again settles nothing of the new one.
func TestDeletedQueueIsAnother(t *testing.T) {
	d := openURL(t, sharedURL(t))
	q := declare(t, d)
	ctx := testContext(t)
	enqueue(t, d, q, message("one"), message("two"))
	c := consume(t, d, q, 30*time.Second)
	old := receive(t, c, 2)
	if err := d.DeleteQueue(ctx, q); err != nil {
		t.Fatal(err)
	}
	if err := d.Declare(ctx, q); err != nil {
		t.Fatal(err)
	}
	enqueue(t, d, q, message("new"), message("newer"))
	held := receive(t, c, 1)
	if err := settle(t, c, driver.Settlement{Delivery: old[0], Outcome: driver.OutcomeRetry}); !errors.Is(err, driver.ErrLeaseLost) {
		t.Errorf("retrying a job of a deleted queue: %v", err)
	}
	_ = settle(t, c, driver.Settlement{Delivery: old[1], Outcome: driver.OutcomeDone})
	waitDepth(t, d, q, driver.Depth{Waiting: 1, Running: 1})
	if err := settle(t, c, driver.Settlement{Delivery: held[0], Outcome: driver.OutcomeDone}); err != nil {
		t.Error(err)
	}
	waitDepth(t, d, q, driver.Depth{Waiting: 1})
}

// TestRestart stops the server under a driver: calls fail at once with what is
// known of them, and work again when it is back, where keys of jobs that have run
// are still known.
func TestRestart(t *testing.T) {
	ts := startServer(t)
	d := openURL(t, ts.url())
	q := declare(t, d)
	ctx := testContext(t)
	keyed := message("keyed")
	keyed.DedupKey = "key"
	enqueue(t, d, q, keyed)
	c := consume(t, d, q, 30*time.Second)
	if err := settle(t, c, driver.Settlement{Delivery: receive(t, c, 1)[0], Outcome: driver.OutcomeDone}); err != nil {
		t.Fatal(err)
	}
	enqueue(t, d, q, message("held"))
	held := receive(t, c, 1)[0]
	waiting := make(chan error, 1)
	go func() {
		_, err := c.Receive(ctx, 1)
		waiting <- err
	}()
	ts.stop()
	if err := <-waiting; !errors.Is(err, driver.ErrUnavailable) {
		t.Errorf("a Receive that waits when the server stops: %v", err)
	}
	if r := d.Enqueue(ctx, q, []*driver.Message{message("down")}); len(r) != 1 || !errors.Is(r[0].Err, driver.ErrUnavailable) || driver.FateOf(r[0].Err) != driver.FateNotStored {
		t.Errorf("an enqueue while the server is down: %+v", r)
	}
	for what, err := range map[string]error{
		"declare": d.Declare(ctx, q),
		"settle":  settle(t, c, driver.Settlement{Delivery: held, Outcome: driver.OutcomeDone}),
		"extend":  errors.Join(c.Extend(ctx, []*driver.Delivery{held})...),
	} {
		if !errors.Is(err, driver.ErrUnavailable) {
			t.Errorf("%s while the server is down: %v", what, err)
		}
	}
	if _, err := c.Receive(ctx, 1); !errors.Is(err, driver.ErrUnavailable) {
		t.Errorf("receive while the server is down: %v", err)
	}
	ts.start()
	waitDepth(t, d, q, driver.Depth{Running: 1})
	if r := d.Enqueue(ctx, q, []*driver.Message{keyed}); len(r) != 1 || !r[0].Duplicate || r[0].DuplicateOf != "keyed" {
		t.Errorf("the key of a job that ran before the restart: %+v", r)
	}
	again := message("again")
	again.DedupKey = "key"
	if err := d.EnqueueAtomic(ctx, q, []*driver.Message{message("other"), again}); !errors.Is(err, driver.ErrDuplicate) {
		t.Errorf("an atomic enqueue with that key: %v", err)
	}
	if err := settle(t, c, driver.Settlement{Delivery: held, Outcome: driver.OutcomeDone}); err != nil {
		t.Errorf("settling what was held over the restart: %v", err)
	}
	waitDepth(t, d, q, driver.Depth{})
}

// TestForeignConnection makes a driver on a connection that the test has, which
// stays open.
func TestForeignConnection(t *testing.T) {
	ts := startServer(t)
	nc, err := natsgo.Connect(ts.url(), natsgo.ReconnectBufSize(-1))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	ctx := testContext(t)
	d, err := nats.New(ctx, nc, nats.Options{Prefix: "mine", DedupWindow: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if d.DedupWindow() != time.Minute {
		t.Errorf("the window is %s", d.DedupWindow())
	}
	q := declare(t, d)
	exercise(t, d, q)
	if err := d.DeleteQueue(ctx, q); err != nil {
		t.Fatal(err)
	}
	closeDriver(t, d)
	if !nc.IsConnected() || nc.NumSubscriptions() != 0 {
		t.Errorf("the connection is %s with %d subscriptions", nc.Status(), nc.NumSubscriptions())
	}
	if _, err := nats.New(ctx, nil, nats.Options{}); !errors.Is(err, driver.ErrConfig) {
		t.Errorf("no connection: %v", err)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := nats.New(ended, nc, nats.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a ctx that ended: %v", err)
	}
}

// TestMixedLeases: consumers of one queue hold jobs for different times.
func TestMixedLeases(t *testing.T) {
	t.Parallel() // it waits for a lease
	d := openURL(t, sharedURL(t))
	q := declare(t, d)
	enqueue(t, d, q, message("short"))
	short := consume(t, d, q, time.Second)
	receive(t, short, 1)
	enqueue(t, d, q, message("long"))
	long := consume(t, d, q, time.Hour)
	held := receive(t, long, 1)[0]
	third := consume(t, d, q, 30*time.Second)
	begin := time.Now()
	if got := receive(t, third, 1)[0]; got.ID != "short" || time.Since(begin) > bound {
		t.Errorf("received %s after %s", got.ID, time.Since(begin))
	}
	if err := settle(t, long, driver.Settlement{Delivery: held, Outcome: driver.OutcomeDone}); err != nil {
		t.Error(err)
	}
}
