package conformance

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

var handlerCases = []Case{
	{Name: "max-attempts", Rule: "A job that fails MaxAttempts times becomes a dead letter once, with its error, count, headers and body.", run: caseMaxAttempts},
	{Name: "permanent", Rule: "A permanent error makes a dead letter at once, and others go on.", run: casePermanent},
	{Name: "panic", Rule: "A panic is a failure that is retried, and the worker goes on.", run: casePanic},
	{Name: "timeout", Rule: "A handler that runs past its timeout is cancelled with ErrTimeout, which is a failure.", timed: true, run: caseTimeout},
	{Name: "stuck", Rule: "A handler that ignores its timeout is left behind: its slot runs other jobs, and its job fails.", run: caseStuck},
}

func caseMaxAttempts(s *stage) {
	q := s.portable()
	enqueue(s, q, 7, batch.MaxAttempts(q, 3), batch.Header(q, "Trace", "a\x00b"), batch.Timeout(q, time.Minute), batch.ExpiresIn(q, time.Hour))
	before := time.Now()
	s.work(s.open(), func(_ context.Context, job *batch.Job[task]) error {
		return fmt.Errorf("failure %d", job.Attempt)
	}, func(c *batch.WorkerConfig) { c.MaxAttempts = 25 })
	s.waitCount(1, Died)
	dead := s.deadLetter(q)
	equal(s, dead.ID, name(7), "ID of the dead letter")
	equal(s, dead.Kind, kind, "Kind of the dead letter")
	equal(s, dead.Reason, batch.ReasonAttempts, "Reason of the dead letter")
	equal(s, dead.Failures, 3, "Failures of the dead letter")
	equal(s, dead.Deliveries, 3, "Deliveries of the dead letter")
	equal(s, dead.LastError, "failure 3", "LastError of the dead letter")
	equal(s, string(dead.Body), `{"n":7}`, "Body of the dead letter")
	equal(s, len(dead.Headers), 1, "headers of the dead letter")
	equal(s, dead.Headers["Trace"], "a\x00b", "header of the dead letter")
	equal(s, dead.MaxAttempts, 3, "MaxAttempts of the dead letter")
	equal(s, dead.Timeout, time.Minute, "Timeout of the dead letter")
	equal(s, dead.ExpiresAt.Sub(dead.EnqueuedAt), time.Hour, "ExpiresAt less EnqueuedAt of the dead letter")
	if off := dead.DeadAt.Sub(before); off < -time.Minute || off > time.Minute {
		s.failf("DeadAt is %s, %s from when it died", dead.DeadAt, off)
	}
	equal(s, s.history.Count(Started), 3, "starts")
	s.check(AttemptCounts(s.history.Events()), "judge the history")
	s.waitDepth(q.Driver(), driver.Depth{Dead: 1})
	s.pass(100 * time.Millisecond)
	equal(s, s.history.Count(Started), 3, "starts after it died")
	equal(s, len(s.deadLetters(q.Driver(), 1)), 1, "dead letters")
}

func casePermanent(s *stage) {
	q := s.portable()
	for n := range 3 {
		enqueue(s, q, n)
	}
	s.work(s.open(), func(_ context.Context, job *batch.Job[task]) error {
		if job.Args.N == 1 {
			return batch.Permanent(errors.New("no use"))
		}
		return nil
	})
	s.waitCount(3, Done, Died, Failed)
	dead := s.deadLetter(q)
	equal(s, dead.ID, name(1), "ID of the dead letter")
	equal(s, dead.Reason, batch.ReasonPermanent, "Reason of the dead letter")
	equal(s, dead.Failures, 1, "Failures of the dead letter")
	equal(s, dead.LastError, "no use", "LastError of the dead letter")
	s.waitDepth(q.Driver(), driver.Depth{Dead: 1})
}

func casePanic(s *stage) {
	q := s.portable()
	enqueue(s, q, 0)
	enqueue(s, q, 1)
	s.work(s.open(), func(_ context.Context, job *batch.Job[task]) error {
		if job.Args.N == 0 && job.Attempt == 1 {
			panic("on purpose")
		}
		return nil
	})
	s.waitCount(2, Done)
	equal(s, s.history.Count(Failed), 1, "failures")
	for _, e := range s.history.Events() {
		if e.Op == Failed && !strings.Contains(e.Note, "on purpose") {
			s.failf("the error of the panic is %q", e.Note)
		}
	}
	s.check(AttemptCounts(s.history.Events()), "judge the history")
}

func caseTimeout(s *stage) {
	const timeout = 200 * time.Millisecond
	q := s.portable()
	enqueued := s.history.Now()
	enqueue(s, q, 0, batch.Timeout(q, timeout))
	s.work(s.open(), func(ctx context.Context, job *batch.Job[task]) error {
		if job.Attempt > 1 {
			return nil
		}
		// The time runs from when the worker has the job, or later: when that was, no hook
		// can tell. So what must be left is judged by how late the machine is, and the end
		// by the deadline.
		deadline, ok := ctx.Deadline()
		if left := time.Until(deadline); !ok || left > timeout || left < timeout-late-steps*s.machine.worst() {
			s.problem("a handler with a timeout of %s began with %s left", timeout, left)
		}
		<-ctx.Done()
		if early := time.Until(deadline); early > 0 {
			s.problem("the handler was cancelled %s before its deadline", early)
		}
		if !errors.Is(context.Cause(ctx), batch.ErrTimeout) || !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			s.problem("past its timeout the context's error is %v and its cause %v", ctx.Err(), context.Cause(ctx))
		}
		return ctx.Err()
	})
	s.waitCount(1, Done)
	events := s.history.Of(name(0))
	s.check(AttemptCounts(events), "judge the history")
	equal(s, s.history.Count(Failed), 1, "failures")
	var started, failed time.Duration
	for _, e := range events {
		if e.Op == Started && started == 0 {
			started = e.At
		}
		if e.Op == Failed {
			failed = e.At
			if !strings.Contains(e.Note, batch.ErrTimeout.Error()) {
				s.failf("the error of a handler that ran past its timeout is %q, which does not say so", e.Note)
			}
		}
		if strings.HasPrefix(e.Note, stuckNote) {
			s.failf("a handler that returned as it was cancelled counts as %s", e.Note)
		}
	}
	s.check(Within("the failure", enqueued, failed, timeout, failed), "measure")
	s.check(Within("the failure", started, failed, 0, timeout+s.lateness()), "measure")
}

func caseStuck(s *stage) {
	q := s.portable()
	gate := s.gate()
	enqueue(s, q, 0, batch.Timeout(q, 50*time.Millisecond))
	var calls atomic.Int32
	var count func() func()
	s.work(s.open(), func(ctx context.Context, job *batch.Job[task]) error {
		if job.Args.N == 0 && calls.Add(1) == 1 {
			<-gate.done // whatever its context says
		}
		if job.Args.N > 1 {
			defer count()()
			return busy(ctx, 5*time.Millisecond)
		}
		return nil
	}, func(c *batch.WorkerConfig) { c.StuckAfter = 50 * time.Millisecond })
	s.waitCount(1, Started)
	enqueue(s, q, 1)
	s.waitCount(2, Done)
	equal(s, s.history.Count(Failed), 1, "failures")
	var running, most atomic.Int32
	gate.open()
	s.pass(50 * time.Millisecond) // the handler returns, which counts for nothing
	equal(s, s.history.Count(Done, Failed, Died), 3, "ends of the jobs, after the stuck handler has returned")
	count = func() func() {
		n := running.Add(1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		return func() { running.Add(-1) }
	}
	for n := 2; n < 8; n++ {
		enqueue(s, q, n)
	}
	s.waitCount(8, Done)
	equal(s, most.Load(), 1, "the most that ran at the same time in the one slot, after the stuck handler has returned")
	s.waitDepth(q.Driver(), driver.Depth{})
	s.check(AttemptCounts(s.history.Events()), "judge the history")
}
