package batch

import (
	"context"
	"time"

	"github.com/batch-go/batch/driver"
)

// settler owns the end of a lane's tasks. It tells the hooks and then the broker
// what was decided about a task, and gives back the task's lease and permit when
// the broker has confirmed that. It is the counterpart of sender.
type settler struct {
	*custody
	hooks *hooks
	// working is the context that hooks are called with.
	working context.Context
	backlog backlog
	// done has the tasks whose jobs are removed, and stored those of which the broker has
	// to keep something: a retry, a dead letter, a job that is given back. A broker may
	// refuse that or take long over it, when it is full for example, and what makes room
	// again must not wait for it.
	done, stored *teller
}

// newSettler makes the settler of a lane, with tellers like t.
func newSettler(t teller, working context.Context, limits driver.Limits) *settler {
	s := &settler{custody: t.custody, hooks: t.hooks, working: working}
	t.backlog = &s.backlog
	s.done, s.stored = newTeller(t, limits), newTeller(t, limits)
	return s
}

// settle tells the hooks and then the broker what was decided about a task. It does
// not wait for the broker.
func (s *settler) settle(t *task, v Verdict, err error, started bool, took time.Duration) {
	if t.lost.Load() {
		v, err = Verdict{Failures: t.delivery.Failures, Bounces: t.delivery.Bounces, BouncedSince: t.delivery.BouncedSince}, ErrLeaseLost
	}
	// Deferred, as a hook may end this goroutine.
	defer s.conclude(t, v, err)
	e := JobEnd{Job: &t.job, Started: started, Duration: took, Verdict: v, Err: err}
	if !t.owes(e) {
		s.hooks.onJobEnd(t.forHooks(s.working), e)
	}
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
	if t.inTx.Load() { // a commit may have ended it, which the broker says is a lost lease
		t.uncertain = true
	}
	if t.uncommitted != nil { // which the broker takes only if none has
		v, err = t.uncommitted.verdict, t.uncommitted.err
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
	if v.Outcome == OutcomeDone {
		s.done.tell(t)
	} else {
		s.stored.tell(t)
	}
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

// idle returns a channel that is closed when the broker has been told everything.
func (s *settler) idle() <-chan struct{} { return s.backlog.idle() }

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
