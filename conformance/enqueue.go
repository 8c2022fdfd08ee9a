package conformance

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

var enqueueCases = []Case{
	{Name: "enqueue-before-worker", Rule: "A job that was confirmed before any worker ever ran, by a producer that is gone, runs.", run: caseEnqueueBeforeWorker},
	{Name: "enqueue-wakes", Rule: "A Receive that waits gets a job that is enqueued meanwhile, at once.", timed: true, run: caseEnqueueWakes},
	{Name: "enqueue-concurrent", Rule: "Of many concurrent enqueues through one handle all are confirmed, and all run once.", run: caseEnqueueConcurrent},
	{Name: "enqueue-many", Rule: "One bad job among many is refused by itself; all others are stored and their results say so.", run: caseEnqueueMany},
	{Name: "enqueue-batch", Rule: "One Enqueue takes exactly EnqueueBatch messages and stores each once.", heavy: true, run: caseEnqueueBatch},
	{Name: "enqueue-bytes", Rule: "One Enqueue takes messages of EnqueueBytes together.", heavy: true, run: caseEnqueueBytes},
	{Name: "enqueue-ids", Rule: "Every job that comes without an ID gets one of its own, and arrives with it.", run: caseEnqueueIDs},
	{Name: "same-id", Rule: "Two jobs with one ID are two jobs.", run: caseSameID},
	{Name: "no-op", Rule: "A call with nothing to do returns without error and changes nothing.", run: caseNoOp},
}

func caseEnqueueBeforeWorker(s *stage) {
	producer := s.open()
	q := queueOf[driver.Driver](s, producer)
	for n := range 3 {
		enqueue(s, q, n)
	}
	s.check(producer.Close(s.ctx), "close the producer's handle")
	s.work(s.open(), nothing)
	s.waitCount(3, Done)
	s.check(ExactCover(s.history.Events(), names(3)), "judge the history")
}

func caseEnqueueWakes(s *stage) {
	d := s.declared()
	c := s.consume(s.open(), 1)
	for n := range 5 {
		got := make(chan error, 1)
		go func() {
			ctx, cancel := s.soon()
			defer cancel()
			deliveries, err := c.Receive(ctx, 1)
			received := s.history.Add(Event{Op: Noted, Note: "received"}).At
			if err == nil && (len(deliveries) != 1 || deliveries[0].ID != name(n)) {
				err = fmt.Errorf("received %d jobs, want %s", len(deliveries), name(n))
			}
			if err == nil {
				err = only(c.Settle(s.ctx, []driver.Settlement{{Delivery: deliveries[0], Outcome: driver.OutcomeDone}}))
			}
			var confirmed time.Duration
			for _, e := range s.history.Of(name(n)) {
				if e.Op == Enqueueing {
					confirmed = e.At
				}
			}
			if err == nil {
				err = Within("the job", confirmed, received, 0, s.lateness())
			}
			got <- err
		}()
		s.put(d, message(name(n)))
		s.check(<-got, "receive job %d", n)
	}
}

func caseEnqueueConcurrent(s *stage) {
	const producers, each = 50, 20
	q := s.portable()
	failed := make(chan error, producers*each)
	var all sync.WaitGroup
	for p := range producers {
		all.Go(func() {
			for i := range each {
				if err := tryEnqueue(s, q, p*each+i); err != nil {
					failed <- fmt.Errorf("%s: %w", name(p*each+i), err)
				}
			}
		})
	}
	all.Wait()
	close(failed)
	for err := range failed {
		s.failf("%d enqueues failed, one of them: %v", len(failed)+1, err)
	}
	s.work(s.open(), nothing, concurrency(8, 8), defaultLease)
	s.waitCount(producers*each, Done)
	s.check(ExactCover(s.history.Events(), names(producers*each)), "judge the history")
}

// unencodable are args that JSON refuses.
type unencodable struct{ C chan int }

// Kind names it.
func (unencodable) Kind() string { return "conformance.unencodable" }

func caseEnqueueMany(s *stage) {
	q := s.portable()
	requests := make([]batch.Request[driver.Driver], 6)
	for i := range requests {
		requests[i] = batch.Request[driver.Driver]{Args: task{N: i}, Options: []batch.Option[driver.Driver]{batch.ID(q, name(i))}}
	}
	requests[1].Args = unencodable{}
	requests[4].Options = append(requests[4].Options, batch.Header(q, "batch-reserved", "x"))
	results, err := q.EnqueueMany(s.ctx, requests)
	var many *batch.ManyError
	if !errors.As(err, &many) || many.Unconfirmed != 2 || many.Total != len(requests) {
		s.failf("the error of EnqueueMany with 2 bad jobs of 6 is %v", err)
	}
	equal(s, len(results), len(requests), "the number of results")
	var good []string
	for i, r := range results {
		if i == 1 || i == 4 {
			s.is(r.Err, batch.ErrInvalid, "the result of bad job %d", i)
			continue
		}
		s.check(r.Err, "the result of good job %d", i)
		equal(s, r.ID, name(i), "the ID of result %d", i)
		good = append(good, name(i))
	}
	s.work(s.open(), nothing)
	s.waitCount(len(good), Done)
	s.check(ExactCover(s.history.Events(), good), "judge the history")
}

func caseEnqueueBatch(s *stage) {
	d := s.declared()
	all := messages(s.info.Limits.EnqueueBatch)
	for _, m := range all {
		m.Body = nil
	}
	results := d.Enqueue(s.ctx, s.queue, all)
	if results != nil && len(results) != len(all) {
		s.failf("Enqueue of %d messages returned %d results", len(all), len(results))
	}
	for i, r := range results {
		s.check(r.Err, "message %d of %d", i, len(all))
	}
	s.finish(d, len(all))
	s.check(ExactCover(s.history.Events(), names(len(all))), "judge the history")
}

func caseEnqueueBytes(s *stage) {
	l := s.info.Limits
	// More than this takes long and shows nothing new.
	total := min(l.EnqueueBytes, 8<<20)
	n := min(l.EnqueueBatch, 10)
	all := messages(n)
	for _, m := range all {
		m.Body = make([]byte, min(total/n, l.MaxBody))
	}
	d := s.declared()
	for i, r := range d.Enqueue(s.ctx, s.queue, all) {
		s.check(r.Err, "message %d of %d", i, n)
	}
	s.finish(d, n)
	s.check(ExactCover(s.history.Events(), names(n)), "judge the history")
}

func caseEnqueueIDs(s *stage) {
	q := s.portable()
	const n = 50
	ids := make([]string, n)
	seen := make(map[string]bool)
	for i := range ids {
		receipt, err := q.Enqueue(s.ctx, task{N: i})
		s.check(err, "enqueue job %d", i)
		if receipt.ID == "" || seen[receipt.ID] {
			s.failf("receipt %d has the ID %q, which is empty or was there before", i, receipt.ID)
		}
		ids[i], seen[receipt.ID] = receipt.ID, true
	}
	s.work(s.open(), nothing, concurrency(8, 8))
	s.waitCount(n, Done)
	s.check(ExactCover(s.history.Events(), ids), "judge the history")
}

func caseSameID(s *stage) {
	d := s.declared()
	one, two := message("twin"), message("twin")
	one.Body, two.Body = []byte("one"), []byte("two")
	s.put(d, one)
	s.put(d, two)
	c := s.consume(d, 2)
	got := s.receive(c, 2)
	if string(got[0].Body) == string(got[1].Body) {
		s.failf("the body %q came twice", got[0].Body)
	}
	s.settle(c, got[0], driver.OutcomeDone)
	errs := c.Extend(s.ctx, got[1:])
	s.check(only(errs), "extend the second after the first was settled")
	s.settle(c, got[1], driver.OutcomeDone)
}

func caseNoOp(s *stage) {
	d := s.declared()
	s.put(d, message("job"))
	c := s.consume(d, 1)
	held := s.receiveOne(c)
	if results := d.Enqueue(s.ctx, s.queue, nil); len(results) != 0 {
		s.failf("Enqueue of nothing returned %d results", len(results))
	}
	if errs := c.Settle(s.ctx, nil); len(errs) != 0 {
		s.failf("Settle of nothing returned %v", errs)
	}
	if errs := c.Extend(s.ctx, nil); len(errs) != 0 {
		s.failf("Extend of nothing returned %v", errs)
	}
	s.settleDead(c, held)
	s.waitDeadLetters(d, 1)
	for what, call := range map[string]func() (int, error){
		"Redrive": func() (int, error) { return d.Redrive(s.ctx, s.queue, driver.Selection{}) },
		"Discard": func() (int, error) { return d.Discard(s.ctx, s.queue, driver.Selection{}) },
		"Redrive of an empty list": func() (int, error) {
			return d.Redrive(s.ctx, s.queue, driver.Selection{IDs: []string{}})
		},
		"Discard of an unknown ID": func() (int, error) {
			return d.Discard(s.ctx, s.queue, driver.Selection{IDs: []string{"nobody"}})
		},
		"Redrive of an unknown ID": func() (int, error) {
			return d.Redrive(s.ctx, s.queue, driver.Selection{IDs: []string{"nobody"}})
		},
	} {
		n, err := call()
		s.check(err, "%s", what)
		equal(s, n, 0, "%s", what)
	}
	q := queueOf[driver.Driver](s, d)
	for what, call := range map[string]func(context.Context, ...string) (int, error){"Redrive": q.DeadLetters().Redrive, "Delete": q.DeadLetters().Delete} {
		n, err := call(s.ctx)
		s.check(err, "%s of no dead letters", what)
		equal(s, n, 0, "%s of no dead letters", what)
	}
	results, err := q.EnqueueMany(s.ctx, nil)
	s.check(err, "EnqueueMany of nothing")
	equal(s, len(results), 0, "the results of EnqueueMany of nothing")
	equal(s, len(s.deadLetters(d, 10)), 1, "dead letters after calls that do nothing")
}
