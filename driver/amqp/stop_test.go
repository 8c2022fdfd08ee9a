package amqp

import (
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/driver"
)

func stop(t testing.TB, c driver.Consumer) {
	t.Helper()
	if err := c.Stop(testContext(t)); err != nil {
		t.Fatalf("Stop: %v", err)
	}
}

// refusesToReceive checks that a consumer has stopped.
func refusesToReceive(t testing.TB, c driver.Consumer) {
	t.Helper()
	if got, err := c.Receive(testContext(t), 1); !errors.Is(err, driver.ErrClosed) || len(got) > 0 {
		t.Errorf("Receive after Stop: %v, %v", got, err)
	}
}

// Stop and Close give back what was pushed and never received, without a count, and
// Stop leaves the rest with the consumer.
func TestStopGivesBackWhatWasNotReceived(t *testing.T) {
	const n = 5
	eachShape(t, func(t *testing.T, o opener) {
		d := o.open(t)
		for _, end := range []string{"stop", "close"} {
			q := queue(t, d)
			for i := range n {
				enqueue(t, d, q, message(fmt.Sprint(i)))
			}
			c := consume(t, d, q, n)
			held := receive(t, c)
			if end == "close" {
				settle(t, c, driver.Settlement{Delivery: held, Outcome: driver.OutcomeDone})
				if err := c.Close(testContext(t)); err != nil {
					t.Fatal(err)
				}
			} else {
				stop(t, c)
				refusesToReceive(t, c)
				stop(t, c)
				if errs := c.Extend(testContext(t), []*driver.Delivery{held}); errs != nil {
					t.Errorf("extend what was received before Stop: %v", errs)
				}
			}
			other := consume(t, o.open(t), q, n)
			for range n - 1 {
				got := receive(t, other)
				want := counts{deliveries: 1}
				if !d.replacesGivenBack {
					want.deliveries = 2 // it was returned, which counts as handed out
				}
				checkHistory(t, "given back by "+end, got, want, time.Time{})
				settle(t, other, driver.Settlement{Delivery: got, Outcome: driver.OutcomeDone})
			}
			if end == "close" {
				continue
			}
			settle(t, c, driver.Settlement{Delivery: held, Outcome: driver.OutcomeRetry, Failures: 1})
			if got := receive(t, other); got.ID != held.ID || got.Deliveries != 2 {
				t.Errorf("after the retry of %s came %s for the time %d", held.ID, got.ID, got.Deliveries)
			}
			if err := c.Close(testContext(t)); err != nil {
				t.Error(err)
			}
			stop(t, c)
		}
	})
}

// Stop ends a Receive that waits, and the one that was never begun.
func TestStopEndsReceive(t *testing.T) {
	d := open(t)
	q := queue(t, d)
	c := consume(t, d, q, 1)
	received := make(chan error, 1)
	go func() {
		_, err := c.Receive(testContext(t), 1)
		received <- err
	}()
	for ch := raw(t, testURL(t)); ; {
		main, err := lookUp(ch, newNames(q).main)
		if err != nil {
			t.Fatal(err)
		}
		if main.Consumers == 1 {
			break
		}
	}
	stop(t, c)
	if err := <-received; !errors.Is(err, driver.ErrClosed) {
		t.Errorf("a Receive that Stop ended: %v", err)
	}
	unconsumed(t, testURL(t), newNames(q).main)
	never := consume(t, d, q, 1)
	stop(t, never)
	refusesToReceive(t, never)
}

// Stop leaves nothing with the mover either, and no consumer that would take more.
func TestStopGivesBackDelayedJobs(t *testing.T) {
	d := open(t)
	q := queue(t, d)
	c := consume(t, d, q, 1)
	enqueue(t, d, q, message("a"), message("later", delay(time.Hour)))
	held := receive(t, c)
	stop(t, c)
	if got := takeRaw(t, testURL(t), newNames(q).hop); got.MessageId != "later" {
		t.Errorf("the hop queue has %s", got.MessageId)
	}
	unconsumed(t, testURL(t), newNames(q).hop)
	settle(t, c, driver.Settlement{Delivery: held, Outcome: driver.OutcomeDone})
}

// What cannot be replaced, here since there is no room for dead letters, is
// given back as well.
func TestStopGivesBackWhatCannotBeReplaced(t *testing.T) {
	d := open(t)
	q := queue(t, d)
	n := newNames(q)
	ch := raw(t, testURL(t))
	full(t, testURL(t), q)
	if err := ch.PublishWithContext(testContext(t), "", n.main, true, false, amqp091.Publishing{Body: []byte("no job")}); err != nil {
		t.Fatal(err)
	}
	if _, err := lookUp(ch, n.main); err != nil { // it was published before this
		t.Fatal(err)
	}
	enqueue(t, d, q, message("a"))
	c := consume(t, d, q, 2)
	held := receive(t, c)
	stop(t, c)
	if got := takeRaw(t, testURL(t), n.main); string(got.Body) != "no job" {
		t.Errorf("given back was %+v", got)
	}
	settle(t, c, driver.Settlement{Delivery: held, Outcome: driver.OutcomeDone})
}

// A consumer that has stopped learns that its queue was deleted.
func TestSettleAfterStopAndDelete(t *testing.T) {
	eachShape(t, func(t *testing.T, o opener) {
		d := o.open(t)
		for _, outcome := range []driver.Outcome{driver.OutcomeDone, driver.OutcomeRetry, driver.OutcomeRelease, driver.OutcomeDead} {
			q := queue(t, d)
			enqueue(t, d, q, message("a"))
			c := consume(t, d, q, 1)
			held := receive(t, c)
			stop(t, c)
			if err := o.open(t).DeleteQueue(testContext(t), q); err != nil {
				t.Fatal(err)
			}
			errs := c.Settle(testContext(t), []driver.Settlement{{Delivery: held, Outcome: outcome, Reason: driver.ReasonPermanent}})
			if len(errs) != 1 || !errors.Is(errs[0], driver.ErrLeaseLost) {
				t.Errorf("settle as %s on a queue that was deleted: %v", outcome, errs)
			}
			absent(t, o.url, q)
		}
	})
}

// A Stop while jobs arrive counts nothing of what the client was handed, whether a
// Receive returned it or not. Before 4.3 a quorum queue returns what was on its way as
// the subscription ended, and counts that, once: see the package comment. All else
// comes as if nobody had been there.
func TestStopUnderLoad(t *testing.T) {
	eachShape(t, func(t *testing.T, o opener) {
		d, producer, next := o.open(t), o.open(t), o.open(t)
		v, _ := parseVersion(d.info.Version)
		cut := 0
		for range 10 {
			q := queue(t, d)
			c := consume(t, d, q, 1000)
			sent, end := produce(t, producer, q)
			first := receive(t, c)
			handed := unsubscribeAt(t, c.(*consumer).session, 10)
			stop(t, c)
			close(end)
			jobs := <-sent
			settle(t, c, driver.Settlement{Delivery: first, Outcome: driver.OutcomeDone})
			other := consume(t, next, q, jobs)
			for range jobs - 1 {
				got := receive(t, other)
				n, err := strconv.Atoi(got.ID)
				if err != nil {
					t.Fatal(err)
				}
				want := counts{deliveries: 1}
				// What the client was handed are the first ones: there is one producer.
				if n >= handed && got.Redeliveries == 1 && d.config.shape == shapePlain && v.before(oldestPriority) {
					want = counts{deliveries: 2, redeliveries: 1}
					cut++
				}
				if d.config.shape != shapeClassic && !v.before(oldestPriority) {
					want.deliveries = min(got.Deliveries, 2) // counts also if it was on its way
				}
				checkHistory(t, fmt.Sprintf("job %d of %d, of which %d had come to the client", n, jobs, handed), got, want, time.Time{})
				settle(t, other, driver.Settlement{Delivery: got, Outcome: driver.OutcomeDone})
			}
		}
		t.Logf("%d jobs were cut off and counted", cut)
	})
}

// produce enqueues jobs one after the other until end is closed, and then says how
// many. Their IDs count from 0.
func produce(t testing.TB, d driver.Driver, q string) (sent <-chan int, end chan<- struct{}) {
	total, halt := make(chan int, 1), make(chan struct{})
	ctx := testContext(t)
	go func() {
		n := 0
		defer func() { total <- n }()
		for ; ; n++ {
			select {
			case <-halt:
				return
			default:
			}
			if r := d.Enqueue(ctx, q, []*driver.Message{message(strconv.Itoa(n))}); r != nil && r[0].Err != nil {
				t.Errorf("enqueue: %v", r[0].Err)
				return
			}
		}
	}()
	return total, halt
}

// unsubscribeAt ends the subscription of a session when some deliveries have come that
// were not received, as Stop does. It returns how many jobs have come in all: one was
// received before.
func unsubscribeAt(t testing.TB, s *session, enough int) int {
	t.Helper()
	for {
		s.mu.Lock()
		n := s.unread.size
		s.mu.Unlock()
		if n >= enough {
			break
		}
		runtime.Gosched()
	}
	s.mu.Lock()
	sub := s.current
	s.current = nil
	s.mu.Unlock()
	if err := s.cancelSubscription(sub); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return 1 + s.unread.size
}
