package conformance

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

var permitsCases = []Case{
	{Name: "permits-return", Rule: "However jobs end, the worker's whole concurrency is there again afterwards.", run: casePermitsReturn},
	{Name: "permits-lost", Rule: "Jobs whose leases were lost cost a worker no slot and no permit, are cancelled, and are not settled by it.", leases: true, run: casePermitsLost},
	{Name: "permits-bound", Rule: "A worker holds at most its concurrency and prefetch, and runs at most its concurrency.", run: casePermitsBound},
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
