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
	{Name: "lost-buffered", Rule: "A job that waits in a worker's buffer when its lease is lost is not started by it.", leases: true, run: caseLostBuffered},
	{Name: "goexit", Rule: "A handler that ends its goroutine is a failure that is retried, and costs no slot.", run: caseGoexit},
	{Name: "buffer-large", Rule: "A worker that prefetches hundreds of jobs runs each once.", run: caseBufferLarge},
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
	s.waitCount(jobs, Done, Died)
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
		// It asks, and does not wait: no timer but the slot's can tell it.
		for begin := s.history.Now(); ctx.Err() == nil && s.history.Now()-begin < s.patience()/2; {
			<-time.After(short / 20)
		}
		if !errors.Is(ctx.Err(), context.DeadlineExceeded) || !errors.Is(context.Cause(ctx), batch.ErrTimeout) {
			s.problem("past its timeout the context's error is %v and its cause %v", ctx.Err(), context.Cause(ctx))
		}
		return ctx.Err()
	}, func(c *batch.WorkerConfig) {
		c.StuckAfter = time.Minute
		c.Queues[0].Concurrency = 4 // those that run for longer fill it, and the last job has the slot of one of them
	})
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

func caseBufferLarge(s *stage) {
	const jobs = 260
	d := s.declared()
	s.put(d, messages(jobs)...)
	gate := s.gate()
	s.work(s.open(), func(context.Context, *batch.Job[task]) error {
		<-gate.done
		return nil
	}, concurrency(1, jobs))
	s.waitCount(1, Started)
	s.pass(200 * time.Millisecond) // in which it may prefetch
	gate.open()
	s.waitCount(jobs, Done)
	s.check(ExactCover(s.history.Events(), names(jobs)), "judge the history")
	s.waitDepth(d, driver.Depth{})
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
