package conformance

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

var reuseCases = []Case{
	{Name: "slot-reuse", Rule: "A slot runs one job after the other as if each were the first, however the one before ended.", run: caseSlotReuse},
	{Name: "slot-timers", Rule: "Each job of a slot has its own timeout: that of the one before neither ends nor spares it.", timed: true, run: caseSlotTimers},
	{Name: "permits-return", Rule: "However jobs end, the worker's whole concurrency is there again afterwards.", run: casePermitsReturn},
	{Name: "permits-lost", Rule: "Jobs whose leases were lost cost a worker no slot and no permit, are cancelled, and are not settled by it.", leases: true, run: casePermitsLost},
	{Name: "permits-bound", Rule: "A worker holds at most its concurrency and prefetch, and runs at most its concurrency.", run: casePermitsBound},
	{Name: "lost-buffered", Rule: "A job that waits in a worker's buffer when its lease is lost is not started by it.", leases: true, run: caseLostBuffered},
	{Name: "goexit", Rule: "A handler that ends its goroutine is a failure that is retried, and costs no slot.", run: caseGoexit},
	{Name: "worker-queues", Rule: "A worker of two queues works on both: one that stands still does not hold up the other.", run: caseWorkerQueues},
}

func caseSlotReuse(s *stage) {
	q := s.portable()
	ends := []func(context.Context, *batch.Job[task]) error{
		nothing,
		func(context.Context, *batch.Job[task]) error { return errors.New("an error") },
		func(context.Context, *batch.Job[task]) error { panic("a panic") },
		func(context.Context, *batch.Job[task]) error { runtime.Goexit(); return nil },
		func(ctx context.Context, _ *batch.Job[task]) error { <-ctx.Done(); return ctx.Err() },
		func(context.Context, *batch.Job[task]) error { return batch.Snooze(0) },
		func(context.Context, *batch.Job[task]) error { return batch.RetryAfter(0, errors.New("later")) },
		func(context.Context, *batch.Job[task]) error { return batch.Permanent(errors.New("for good")) },
	}
	const jobs = 24
	var at int
	s.work(s.open(), func(ctx context.Context, job *batch.Job[task]) error {
		at++ // one slot: no two at the same time
		if ctx.Err() != nil {
			s.problem("the context of %s, the slot's job number %d, has ended at its start: %v", job.ID, at, context.Cause(ctx))
		}
		if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) <= 0 {
			s.problem("the deadline of %s, the slot's job number %d, is %s at its start", job.ID, at, time.Until(deadline))
		}
		if job.ID != name(job.Args.N) {
			s.problem("%s has the args of job %d", job.ID, job.Args.N)
		}
		if job.Deliveries > 1 {
			return nil
		}
		return ends[job.Args.N%len(ends)](ctx, job)
	})
	for n := range jobs {
		enqueue(s, q, n, batch.Timeout(q, 150*time.Millisecond), batch.MaxAttempts(q, 3))
	}
	const dead = jobs / 8
	s.wait("all jobs", func() bool { return s.history.Count(Done) >= jobs-dead && s.history.Count(Died) >= dead })
	events := s.history.Events()
	s.check(AttemptCounts(events), "judge the history")
	s.check(NoOverlap(events, 0), "judge the history")
	s.waitDepth(q.Driver(), driver.Depth{Dead: dead})
}

func caseSlotTimers(s *stage) {
	q := s.portable()
	const short = 150 * time.Millisecond
	s.work(s.open(), func(ctx context.Context, job *batch.Job[task]) error {
		switch {
		case job.Args.N%2 == 0 && job.Args.N < 8: // quick, with a short timeout that passes during the next
			return nil
		case job.Args.N < 8:
			select {
			case <-time.After(3 * short):
				return nil
			case <-ctx.Done():
				return fmt.Errorf("cancelled before its timeout of %s: %w", job.Timeout, context.Cause(ctx))
			}
		case job.Attempt > 1:
			return nil
		}
		<-ctx.Done()
		return context.Cause(ctx)
	}, func(c *batch.WorkerConfig) { c.StuckAfter = 2 * short })
	for n := range 8 {
		timeout := short
		if n%2 == 1 {
			timeout = time.Hour
		}
		enqueue(s, q, n, batch.Timeout(q, timeout))
	}
	// And one that is ended by its own, after one that had a long one.
	enqueue(s, q, 8, batch.Timeout(q, short))
	s.waitBy(4*3*short, "all jobs", func() bool { return s.history.Count(Done, Died) >= 9 })
	equal(s, s.history.Count(Failed), 1, "failures, one of a timeout")
	s.check(AttemptCounts(s.history.Events()), "judge the history")
}

// together ends the case unless a worker runs n more jobs at the same time, and holds as
// many more as it prefetches.
func (s *stage) together(q *portable, n, prefetch int, running *atomic.Int64) {
	for i := range n + prefetch {
		enqueue(s, q, 1000+i)
	}
	s.eventually(fmt.Sprintf("holding %d jobs at the same time", n+prefetch), func() error {
		depth, err := q.Driver().Depth(s.ctx, s.queue)
		if err == nil && s.harness.CoarseCounts == "" && depth.Running != driver.UnknownCount && depth.Running < int64(n+prefetch) {
			err = fmt.Errorf("it is %+v", depth)
		}
		return err
	})
	s.eventually(fmt.Sprintf("running %d jobs at the same time", n), func() error {
		if got := running.Load(); got != int64(n) {
			return fmt.Errorf("%d run", got)
		}
		return nil
	})
}

func casePermitsReturn(s *stage) {
	const slots, prefetch, each = 2, 2, 6
	q := s.portable()
	var running atomic.Int64
	gate := s.gate()
	w := func(ctx context.Context, job *batch.Job[task]) error {
		if job.Args.N >= 1000 {
			running.Add(1)
			<-gate.done
			return nil
		}
		switch job.Args.N % each {
		case 0:
			panic("on purpose")
		case 1:
			runtime.Goexit()
		case 2:
			return batch.Permanent(errors.New("for good"))
		case 3:
			<-ctx.Done()
			return ctx.Err()
		case 4:
			if job.Deliveries == 1 {
				return batch.Snooze(time.Millisecond)
			}
		case 5:
			<-gate.done // stuck, whatever its context says
		}
		return nil
	}
	s.work(s.open(), w, concurrency(slots, prefetch), func(c *batch.WorkerConfig) {
		c.MaxAttempts, c.StuckAfter, c.BounceTimeout = 2, 30*time.Millisecond, time.Millisecond
	})
	const jobs = each * 2 * (slots + prefetch)
	for n := range jobs {
		enqueue(s, q, n, batch.Timeout(q, 60*time.Millisecond))
	}
	d := q.Driver()
	for n := range 2 * (slots + prefetch) { // what does not start at all
		expired := message(fmt.Sprintf("expired-%d", n))
		expired.ExpiresAt = expired.EnqueuedAt.Add(-time.Minute)
		garbled := message(fmt.Sprintf("garbled-%d", n))
		garbled.Body = []byte("{")
		strange := message(fmt.Sprintf("strange-%d", n))
		strange.Kind = "conformance.unknown"
		s.put(d, expired, garbled, strange)
	}
	s.waitBy(30*time.Second, "all jobs", func() bool { return s.history.Count(Done, Died) >= jobs+6*(slots+prefetch) })
	s.together(q, slots, prefetch, &running)
	gate.open()
}

func casePermitsLost(s *stage) {
	if s.lease() == 0 {
		s.untested("where the lease is the connection, it is not lost while that lives")
		return
	}
	const slots, prefetch = 2, 1
	q := s.portable()
	var running, cancelled atomic.Int64
	gate := s.gate()
	first := s.open()
	d := &forgetful{Driver: first}
	s.work(d, func(ctx context.Context, job *batch.Job[task]) error {
		if job.Args.N >= 1000 {
			running.Add(1)
			<-gate.done
			return nil
		}
		<-ctx.Done()
		if !errors.Is(context.Cause(ctx), batch.ErrLeaseLost) {
			s.problem("the cause of the end of a context whose lease was lost is %v", context.Cause(ctx))
		}
		cancelled.Add(1)
		return nil // it counts for nothing
	}, concurrency(slots, prefetch))
	for round := range 2 {
		d.forget.Store(true)
		for n := range slots + prefetch {
			enqueue(s, q, 10*round+n)
		}
		s.wait("jobs to start", func() bool { return s.history.Count(Started) > 0 })
		// Another consumer takes what the worker no longer extends, and settles it.
		other := s.consume(s.open(), 1)
		for range slots + prefetch {
			s.settle(other, s.receiveBy(s.lease()+s.overdue(), other, 1)[0], driver.OutcomeDone)
		}
		s.check(other.Close(s.ctx), "close the other consumer")
		d.forget.Store(false)
	}
	s.eventually("cancelling handlers whose leases were lost", func() error {
		if n := cancelled.Load(); n < slots {
			return fmt.Errorf("%d were", n)
		}
		return nil
	})
	s.waitDepth(s.open(), driver.Depth{})
	s.together(q, slots, prefetch, &running)
	gate.open()
}

// forgetful is a handle whose consumers extend nothing for a while, and then find out.
type forgetful struct {
	driver.Driver
	forget atomic.Bool
}

// Consume opens such a consumer.
func (d *forgetful) Consume(ctx context.Context, queue string, o driver.ConsumeOptions) (driver.Consumer, error) {
	c, err := d.Driver.Consume(ctx, queue, o)
	return &forgetfulConsumer{c, d}, err
}

// forgetfulConsumer is a consumer of such a handle.
type forgetfulConsumer struct {
	driver.Consumer
	of *forgetful
}

// Receive takes nothing while it forgets what it has.
func (c *forgetfulConsumer) Receive(ctx context.Context, most int) ([]*driver.Delivery, error) {
	return c.Consumer.Receive(ctx, most)
}

// Extend says that all is well while it forgets.
func (c *forgetfulConsumer) Extend(ctx context.Context, deliveries []*driver.Delivery) []error {
	if c.of.forget.Load() {
		return nil
	}
	return c.Consumer.Extend(ctx, deliveries)
}

func casePermitsBound(s *stage) {
	const slots, prefetch, jobs = 3, 2, 20
	q := s.portable()
	for n := range jobs {
		enqueue(s, q, n)
	}
	var running, most atomic.Int64
	gate := s.gate()
	s.work(s.open(), func(context.Context, *batch.Job[task]) error {
		n := running.Add(1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		<-gate.done
		running.Add(-1)
		return nil
	}, concurrency(slots, prefetch))
	s.waitCount(slots, Started)
	s.pass(100 * time.Millisecond)
	equal(s, s.history.Count(Started), slots, "jobs started while all slots are taken")
	depth, err := q.Driver().Depth(s.ctx, s.queue)
	s.check(err, "count")
	if depth.Running != driver.UnknownCount && depth.Running > slots+prefetch {
		s.failf("a worker that may hold %d holds %d", slots+prefetch, depth.Running)
	}
	gate.open()
	s.waitCount(jobs, Done)
	equal(s, most.Load(), slots, "the most that ran at the same time")
	s.check(ExactCover(s.history.Events(), names(jobs)), "judge the history")
}

func caseLostBuffered(s *stage) {
	if s.lease() == 0 {
		s.untested("where the lease is the connection, it is not lost while that lives")
		return
	}
	q := s.portable()
	d := &forgetful{Driver: s.open()}
	gate := s.gate()
	var mu sync.Mutex
	ran := make(map[string]int)
	for n := range 3 {
		enqueue(s, q, n)
	}
	s.work(d, func(_ context.Context, job *batch.Job[task]) error {
		mu.Lock()
		ran[job.ID]++
		mu.Unlock()
		<-gate.done // whatever its context says: those behind it wait
		return nil
	}, concurrency(1, 2))
	s.waitCount(1, Started)
	s.eventually("counting what the worker holds", func() error {
		depth, err := q.Driver().Depth(s.ctx, s.queue)
		if err == nil && depth.Running != 3 && depth.Running != driver.UnknownCount {
			err = fmt.Errorf("it is %+v", depth)
		}
		return err
	})
	d.forget.Store(true)
	other := s.consume(s.open(), 3)
	var all []*driver.Delivery
	for range 3 {
		got := s.receiveBy(s.lease()+s.overdue(), other, 1)[0]
		all = append(all, got)
		s.settle(other, got, driver.OutcomeDone)
	}
	d.forget.Store(false)
	s.wait("the worker to learn of its lost leases", func() bool { return s.history.Count(Lost) >= 3 })
	gate.open()
	enqueue(s, q, 3)
	s.wait("the next job", func() bool { return len(s.history.Of(name(3))) >= 4 })
	mu.Lock()
	defer mu.Unlock()
	for _, got := range all {
		if got.ID != name(0) && ran[got.ID] > 0 {
			s.failf("%s was started by a worker that had lost its lease", got.ID)
		}
	}
	s.waitDepth(s.open(), driver.Depth{})
}

func caseGoexit(s *stage) {
	const slots = 2
	q := s.portable()
	var running atomic.Int64
	gate := s.gate()
	s.work(s.open(), func(_ context.Context, job *batch.Job[task]) error {
		if job.Args.N >= 1000 {
			running.Add(1)
			<-gate.done
			return nil
		}
		if job.Attempt < 3 {
			runtime.Goexit()
		}
		return nil
	}, concurrency(slots, batch.NoPrefetch))
	const jobs = 3 * slots
	for n := range jobs {
		enqueue(s, q, n)
	}
	s.waitCount(jobs, Done, Died)
	equal(s, s.history.Count(Failed), 2*jobs, "failures")
	equal(s, s.history.Count(Died), 0, "deaths")
	s.check(AttemptCounts(s.history.Events()), "judge the history")
	s.together(q, slots, 0, &running)
	gate.open()
}

func caseWorkerQueues(s *stage) {
	const jobs = 10
	d := s.declared()
	first, second := s.queue, s.newQueue()
	s.check(d.Declare(s.ctx, second), "declare")
	gate := s.gate()
	s.work(s.open(), func(_ context.Context, job *batch.Job[task]) error {
		if job.Queue == first {
			<-gate.done
		}
		return nil
	}, func(c *batch.WorkerConfig) {
		c.Queues = append(c.Queues, c.Queues[0])
		c.Queues[1].Name = second
	})
	s.put(d, message("held"), message("behind"))
	s.waitCount(1, Started)
	for n := range jobs {
		s.putOn(d, second, message(name(n)))
	}
	s.waitCount(jobs, Done)
	gate.open()
	s.waitCount(jobs+2, Done)
	s.check(ExactCover(s.history.Events(), append(names(jobs), "held", "behind")), "judge the history")
}
