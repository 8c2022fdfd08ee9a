package batch

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/coalesce"
)

// settler owns the end of a lane's tasks. It tells the hooks and then the broker
// what was decided about a task, and gives back the task's lease and permit when
// the broker has confirmed that. Tasks that end at the same time share requests,
// and requests that fail are tried again. It is the counterpart of sender.
type settler struct {
	consumer  driver.Consumer
	queue     string
	keeper    *keeper
	buffer    *buffer
	hooks     *hooks
	tally     *tally
	timeout   time.Duration
	coalescer *coalesce.Coalescer[*task]
	// working is the context that hooks are called with. settling ends when there
	// is no point in telling the broker any more.
	working, settling context.Context
}

// tally counts, for all lanes of a worker, what a stop reports.
type tally struct {
	// returned is how many jobs were given back, and abandoned how many could not be
	// settled, so that they stay with the broker until their leases end.
	returned, abandoned atomic.Int64
}

// abandon counts tasks that could not be settled. Those that were to be given back were
// not.
func (t *tally) abandon(tasks []*task) {
	t.abandoned.Add(int64(len(tasks)))
	for _, abandoned := range tasks {
		if abandoned.settlement.Outcome == OutcomeRelease {
			t.returned.Add(-1)
		}
	}
}

// givenBack is how many jobs were given back since reset. One that was to be given back
// before that, and was abandoned since, must not make it less than none.
func (t *tally) givenBack() int { return int(max(t.returned.Load(), 0)) }

// reset begins to count anew.
func (t *tally) reset() {
	t.returned.Store(0)
	t.abandoned.Store(0)
}

// newSettler completes a settler whose other fields are set.
func newSettler(s settler, limits driver.Limits) *settler {
	s.coalescer = coalesce.New(coalesce.Limits{Items: limits.SettleBatch, Bytes: limits.SettleBatch, Flights: 1}, s.flush)
	return &s
}

// settle tells the hooks and then the broker what was decided about a task. It does
// not wait for the broker.
func (s *settler) settle(t *task, v Verdict, err error, started bool, took time.Duration) {
	if t.lost.Load() {
		v, err = Verdict{Failures: t.delivery.Failures, Bounces: t.delivery.Bounces, BouncedSince: t.delivery.BouncedSince}, ErrLeaseLost
	}
	// Deferred, as a hook may end this goroutine.
	defer s.conclude(t, v, err)
	s.hooks.onJobEnd(t.forHooks(s.working), JobEnd{Job: &t.job, Started: started, Duration: took, Verdict: v, Err: err})
}

// settleAside is settle for a caller whose goroutine a hook must not end.
func (s *settler) settleAside(t *task, v Verdict, err error, started bool, took time.Duration) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.settle(t, v, err, started, took)
	}()
	<-done
}

// conclude tells the broker what was decided about a task.
func (s *settler) conclude(t *task, v Verdict, err error) {
	if v.Outcome == 0 {
		s.finish(t)
		return
	}
	if v.Outcome == OutcomeRelease {
		s.tally.returned.Add(1)
	}
	t.settlement = driver.Settlement{
		Delivery: t.delivery, Outcome: v.Outcome, Delay: v.Delay, Reason: v.Reason,
		Failures: v.Failures, Bounces: v.Bounces, BouncedSince: v.BouncedSince,
	}
	if v.Outcome == OutcomeRetry || v.Outcome == OutcomeDead {
		t.settlement.Error = errorText(err, t.delivery.LastError)
	}
	s.coalescer.Add(t, 1)
}

// giveBack settles tasks that were not started, as released.
func (s *settler) giveBack(tasks []*task) {
	for _, t := range tasks {
		if !t.state.CompareAndSwap(taskBuffered, taskReturned) {
			s.finish(t)
			continue
		}
		v, err := decide(t.history(unstarted, nil))
		s.settleAside(t, v, err, false, 0)
	}
}

// finish ends the worker's responsibility for tasks: their leases are no longer
// extended, and their permits are free again.
func (s *settler) finish(tasks ...*task) {
	if len(tasks) == 0 {
		return
	}
	s.keeper.remove(tasks...)
	s.buffer.release(len(tasks))
}

// idle returns a channel that is closed when the broker has been told everything.
func (s *settler) idle() <-chan struct{} { return s.coalescer.Idle() }

// flush settles one batch. What failed is tried again until it succeeds, its lease
// is lost, or there is no point in trying any longer. The leases are extended
// meanwhile.
func (s *settler) flush(batch []*task) {
	ctx, cancel := context.WithTimeout(s.settling, s.timeout)
	defer cancel()
	left := batch
	var b backoff
	for {
		var err error
		left, err = s.send(ctx, left)
		if len(left) == 0 {
			s.hooks.answered(s.queue, OpSettle)
			return
		}
		d := b.next()
		deadline, _ := ctx.Deadline()
		if errors.Is(err, ErrClosed) || ctx.Err() != nil || time.Until(deadline) < d {
			d = 0
		}
		s.hooks.onFault(ctx, Fault{Queue: s.queue, Op: OpSettle, Jobs: len(left), Err: err, RetryIn: d})
		if d == 0 || !sleep(ctx, d) {
			// The broker still has the jobs. It hands them out again when their
			// leases end, which are no longer extended.
			s.tally.abandon(left)
			s.finish(left...)
			return
		}
	}
}

// send makes one request and returns the tasks to try again, with the first of
// their errors.
func (s *settler) send(ctx context.Context, tasks []*task) (again []*task, err error) {
	settlements := make([]driver.Settlement, len(tasks))
	for i, t := range tasks {
		settlements[i] = t.settlement
	}
	errs := s.consumer.Settle(ctx, settlements)
	if errs == nil {
		s.finish(tasks...)
		return nil, nil
	}
	settled := make([]*task, 0, len(tasks))
	for i, t := range tasks {
		switch e := errs[i]; {
		case e == nil:
			settled = append(settled, t)
		case errors.Is(e, ErrLeaseLost):
			if !t.uncertain {
				s.keeper.lose(t)
			}
			settled = append(settled, t)
		default:
			t.uncertain = t.uncertain || driver.FateOf(e) == FateUnknown
			again = append(again, t)
			if err == nil {
				err = e
			}
		}
	}
	s.finish(settled...)
	return again, err
}

// errorText is what is stored of an error: valid UTF-8 of bounded length. A snooze
// is not a failure, and keeps the text of the last one.
func errorText(err error, last string) string {
	return shorten(reasonText(err, last))
}

// reasonText is the whole text. The methods of the error may panic, although they did
// not before.
func reasonText(err error, last string) (text string) {
	defer func() {
		if r := recover(); r != nil {
			text = newPanicError("a method of an error that did not panic before", textOf(r)).Error()
		}
	}()
	if err == nil || OutcomeOf(err).Kind == ReturnSnooze {
		return last
	}
	return err.Error()
}
