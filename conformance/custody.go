package conformance

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

var custodyCases = []Case{
	{Name: "given-up-enqueue", Rule: "A caller that gives up learns whether its job may be stored; one that was not sent yet is never sent.", run: caseGivenUpEnqueue},
	{Name: "lost-extend-batch", Rule: "When some of the leases that a worker extends together are lost, it learns of exactly those.", leases: true, run: caseLostExtendBatch},
	{Name: "late-receive", Rule: "A job that a worker receives while it stops is given back at once, as if it had never been handed out.", run: caseLateReceive},
	{Name: "lease-crowd", Rule: "A worker that holds more jobs than one Extend takes keeps all of them.", leases: true, run: caseLeaseCrowd},
	{Name: "worker-declares", Rule: "A worker declares a queue again that was deleted, and so does an enqueue.", run: caseWorkerDeclares},
	{Name: "priority-buffer", Rule: "Of the jobs that a worker has prefetched, one of a higher level starts first.", Needs: prioritizer, run: casePriorityBuffer},
	{Name: "redeliveries-bound", Rule: "A job that was lost exactly MaxRedeliveries times is run once more.", leases: true, run: caseRedeliveriesBound},
	{Name: "timeout-success", Rule: "A handler that succeeds after its timeout has succeeded.", run: caseTimeoutSuccess},
	{Name: "wrapped-returns", Rule: "Permanent, Snooze and RetryAfter decide what becomes of a job inside of other errors, too.", run: caseWrappedReturns},
	{Name: "bounce-row", Rule: "A run ends a row of bounces: the time of the next row counts from its own first.", run: caseBounceRow},
}

// background enqueues a job, and returns where the error will be.
func background(ctx context.Context, q *portable, id string) <-chan error {
	ended := make(chan error, 1)
	go func() {
		_, err := q.Enqueue(ctx, task{}, batch.ID(q, id))
		ended <- err
	}()
	return ended
}

// gaveUp ends the case unless an enqueue ended because its caller gave up, with a fate.
func (s *stage) gaveUp(err error, want batch.Fate, when string) {
	var e *batch.EnqueueError
	if !errors.As(err, &e) || !errors.Is(err, context.Canceled) {
		s.failf("the error of an enqueue whose caller gave up %s is %v", when, err)
	}
	equal(s, e.Fate, want, "the fate of an enqueue whose caller gave up %s", when)
}

func caseGivenUpEnqueue(s *stage) {
	b := s.slowly()
	q := queueOf[driver.Driver](s, b, batch.WithHooks(b))
	first := background(s.ctx, q, "first")
	<-b.asked
	<-b.begun
	ctx, cancel := context.WithCancel(s.ctx)
	unsent := background(ctx, q, "unsent") // waits behind the first
	<-b.asked
	s.pass(waitsBy)
	cancel()
	s.gaveUp(<-unsent, batch.FateNotStored, "before it was sent")
	ctx, cancel = context.WithCancel(s.ctx)
	sent := background(ctx, q, "sent")
	<-b.asked
	s.pass(waitsBy)
	b.first.open()
	<-b.begun
	cancel()
	s.gaveUp(<-sent, batch.FateUnknown, "after it was sent")
	b.later.open()
	s.check(<-first, "the first enqueue")
	s.finish(s.open(), 2)
	equal(s, b.times("unsent"), 0, "times that a job was sent whose caller had given up before")
	equal(s, b.times("sent"), 1, "times that the job was sent whose caller gave up later")
}

func caseLostExtendBatch(s *stage) {
	const jobs = 6
	lost := map[string]bool{name(0): true, name(3): true}
	d := &flawed{Driver: s.open(), extend: func(all []*driver.Delivery, next func([]*driver.Delivery) []error) []error {
		return except(all, func(one *driver.Delivery) error {
			if lost[one.ID] {
				return negative(driver.ErrLeaseLost, driver.FateNotStored)
			}
			return nil
		}, next)
	}}
	q := s.portable()
	if s.lease() == 0 {
		s.untested("where the lease is the connection, workers extend too seldom to be waited for")
		return
	}
	var cancelled atomic.Int32
	s.work(d, func(ctx context.Context, job *batch.Job[task]) error {
		select {
		case <-time.After(s.threeLeases()):
			if lost[job.ID] && job.Deliveries == 1 {
				s.problem("%s, whose lease was lost, was not cancelled", job.ID)
			}
			return nil
		case <-ctx.Done():
			if !lost[job.ID] {
				s.problem("%s was cancelled, which lost nothing: %v", job.ID, context.Cause(ctx))
			}
			cancelled.Add(1)
			return nil
		}
	}, concurrency(jobs, batch.NoPrefetch))
	for n := range jobs {
		enqueue(s, q, n)
	}
	s.waitBy(s.threeLeases(), "the jobs that are held", func() bool { return s.history.Count(Done) >= jobs-len(lost) })
	for _, e := range s.history.Events() {
		if e.Op == Lost && !lost[e.ID] || e.Op == Done && lost[e.ID] {
			s.failf("%s is noted as %s", e.ID, e.Op)
		}
	}
	if n := cancelled.Load(); n < int32(len(lost)) {
		s.failf("%d handlers were cancelled, want %d", n, len(lost))
	}
}

func caseLateReceive(s *stage) {
	stopping := s.gate()
	got := make(chan int, 10)
	d := &flawed{Driver: s.open(), receive: func(next func() ([]*driver.Delivery, error)) ([]*driver.Delivery, error) {
		all, err := next()
		if len(all) > 0 {
			got <- len(all)
			<-stopping.done
		}
		return all, err
	}, stopped: stopping.open}
	q := s.portable()
	w := s.work(d, nothing, concurrency(2, 2))
	enqueue(s, q, 0)
	select {
	case <-got:
	case <-time.After(s.patience()):
		s.failf("the worker receives nothing")
	}
	s.check(w.Stop(s.ctx), "stop") // which stops the consumer, and that ends the Receive
	equal(s, s.history.Count(Started), 0, "jobs that a worker started which was stopped before")
	c := s.consume(s.open(), 1)
	again := s.receiveOne(c)
	equal(s, again.Failures, 0, "Failures of what came as the worker stopped")
	equal(s, again.Redeliveries, 0, "Redeliveries of what came as the worker stopped")
	s.settle(c, again, driver.OutcomeDone)
}

func caseLeaseCrowd(s *stage) {
	jobs := min(2*s.info.Limits.ExtendBatch+5, 60)
	q := s.portable()
	for n := range jobs {
		enqueue(s, q, n)
	}
	s.work(s.open(), func(ctx context.Context, _ *batch.Job[task]) error {
		select {
		case <-time.After(s.threeLeases()):
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}, concurrency(jobs, batch.NoPrefetch))
	other := s.open()
	s.waitCount(jobs, Started)
	s.receiveNone(s.consume(other, 1), s.threeLeases()*9/10, "its worker holds it")
	s.waitBy(s.threeLeases(), "all jobs", func() bool { return s.history.Count(Done, Failed, Lost) >= jobs })
	s.waitDepth(other, driver.Depth{})
	s.check(ExactCover(s.history.Events(), names(jobs)), "judge the history")
	equal(s, s.history.Count(Lost), 0, "leases lost")
}

func caseWorkerDeclares(s *stage) {
	q := s.portable()
	enqueue(s, q, 0)
	s.work(s.open(), nothing)
	s.waitCount(1, Done)
	d := s.open()
	s.check(d.DeleteQueue(s.ctx, s.queue), "delete the queue")
	s.eventually("looking for the queue that a worker works on", func() error {
		_, err := d.Depth(s.ctx, s.queue)
		return err
	})
	enqueue(s, q, 1)
	s.waitCount(2, Done)

	other := s.newQueue()
	again, err := batch.TryNewQueue(driver.Driver(s.open()), other)
	s.check(err, "make a queue's handle")
	_, err = again.Enqueue(s.ctx, task{})
	s.check(err, "enqueue")
	s.check(d.DeleteQueue(s.ctx, other), "delete the queue without a worker")
	s.gone(d, other)
	_, err = again.Enqueue(s.ctx, task{})
	s.check(err, "enqueue on a queue that was deleted behind the handle")
	s.eventually("counting the job of the queue that the enqueue has declared again", func() error {
		depth, err := d.Depth(s.ctx, other)
		if err == nil && depth.Waiting != 1 && depth.Waiting != driver.UnknownCount && s.harness.CoarseCounts == "" {
			err = fmt.Errorf("it has %+v, want one waiting job", depth)
		}
		return err
	})
}

// gone waits until a queue that was deleted is known to be, by all servers of a cluster.
func (s *stage) gone(d driver.Driver, queue string) {
	s.eventually("a queue that was deleted to be gone", func() error {
		if _, err := d.Depth(s.ctx, queue); !errors.Is(err, driver.ErrNotFound) {
			return fmt.Errorf("it is still there: %v", err)
		}
		return nil
	})
}

func casePriorityBuffer(s *stage) {
	const prefetch = 6 // a worker asks for more until it is more than half full
	b := s.declared()
	s.put(b, level("running", driver.Normal))
	gate := s.gate()
	// What the broker has handed out may still be on its way. A worker that asks for more has
	// what it got before in its buffer.
	var got atomic.Int32
	buffered := make(chan int32, 100)
	d := &flawed{Driver: s.open(), receive: func(next func() ([]*driver.Delivery, error)) ([]*driver.Delivery, error) {
		buffered <- got.Load()
		all, err := next()
		got.Add(int32(len(all)))
		return all, err
	}}
	s.work(d, func(context.Context, *batch.Job[task]) error { <-gate.done; return nil }, concurrency(1, prefetch))
	s.waitCount(1, Started)
	for i, l := range []driver.Level{driver.Low, driver.Trivial, driver.Critical} {
		s.put(b, level(name(i), l))
		s.reaches(buffered, int32(i+2), "jobs that the worker has received")
	}
	gate.open()
	s.waitCount(4, Done)
	var order []string
	for _, e := range s.history.Events() {
		if e.Op == Started {
			order = append(order, e.ID)
		}
	}
	equal(s, fmt.Sprint(order[1:]), fmt.Sprint([]string{name(2), name(0), name(1)}), "the order in which the prefetched jobs started")
}

func caseRedeliveriesBound(s *stage) {
	const most = 2
	d, _, _ := s.holder()
	for range most - 1 {
		d, _, _ = s.nextHolder(d)
	}
	after := s.vanish(d)
	before := s.history.Count(Started)
	s.work(s.open(), nothing, func(c *batch.WorkerConfig) { c.MaxRedeliveries = most })
	s.waitBy(after+s.overdue(), "the job", func() bool { return s.history.Count(Done, Died) > 0 })
	equal(s, s.history.Count(Died), 0, "deaths of a job that was lost %d times, which is the most", most)
	equal(s, s.history.Count(Started), before+1, "starts")
}

func caseTimeoutSuccess(s *stage) {
	q := s.portable()
	s.work(s.open(), func(ctx context.Context, _ *batch.Job[task]) error {
		<-ctx.Done()
		return nil
	})
	enqueue(s, q, 0, batch.Timeout(q, 50*time.Millisecond), batch.MaxAttempts(q, 1))
	s.waitCount(1, Done, Died, Failed)
	equal(s, s.history.Count(Done), 1, "jobs done")
	s.waitDepth(q.Driver(), driver.Depth{})
}

func caseWrappedReturns(s *stage) {
	wrap := func(err error) error { return fmt.Errorf("outer: %w", fmt.Errorf("inner: %w", err)) }
	q := s.portable()
	s.work(s.open(), func(_ context.Context, job *batch.Job[task]) error {
		switch {
		case job.Args.N == 0:
			return wrap(batch.Permanent(errors.New("for good")))
		case job.Args.N == 1 && job.Deliveries == 1:
			return wrap(batch.Snooze(0))
		case job.Args.N == 2 && job.Deliveries == 1:
			return wrap(batch.RetryAfter(0, errors.New("at once")))
		}
		return nil
	}, retryAfter(time.Hour))
	for n := range 3 {
		enqueue(s, q, n)
	}
	s.waitCount(3, Done, Died)
	equal(s, s.history.Count(Returned), 1, "jobs that came back without a failure")
	equal(s, s.history.Count(Failed), 1, "failures")
	dead := s.deadLetter(q)
	equal(s, dead.ID, name(0), "the dead letter")
	equal(s, dead.Reason, batch.ReasonPermanent, "its Reason")
	equal(s, dead.Failures, 1, "its Failures")
}

func caseBounceRow(s *stage) {
	d := s.declared()
	s.put(d, message(name(0)))
	c := s.consume(d, 1)
	b := someBounces(2)
	s.settleAs(c, b.retry(s.receiveOne(c), 0))
	s.check(c.Stop(s.ctx), "stop the consumer")
	s.check(c.Close(s.ctx), "close the consumer")
	w := s.work(s.open(), func(context.Context, *batch.Job[task]) error { return batch.Snooze(100 * time.Millisecond) })
	s.waitCount(1, Returned)
	s.check(w.Stop(s.ctx), "stop the worker")
	c = s.consume(s.open(), 1)
	got := s.receiveOne(c)
	equal(s, got.Bounces, b.n, "Bounces after a run")
	equal(s, got.BouncedSince.IsZero(), true, "whether BouncedSince is zero after a run")
	s.settle(c, got, driver.OutcomeDone)
}
