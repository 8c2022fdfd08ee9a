package batch

import (
	"context"
	"time"
)

// phases are the contexts of a worker's work. They end in the order of the fields,
// and what waits for anything in a worker waits for one of them too. So a stop needs
// nothing else to end whatever the worker does at that moment.
type phases struct {
	// fetching ends when the worker begins to stop.
	fetching context.Context
	// working is the parent of the handlers' contexts. It ends with ErrShutdown as
	// its cause when handlers have run for long enough.
	working context.Context
	// waiting ends when handlers that still run are left behind.
	waiting context.Context
	// settling ends when there is no point in telling the broker any more.
	settling context.Context
	// closing ends when consumers are not waited for any more.
	closing context.Context

	stopFetching, stopWaiting, stopSettling, stopClosing context.CancelFunc
	stopWorking                                          context.CancelCauseFunc
}

// newPhases begins the phases. They have the values of ctx, and do not end with it.
func newPhases(ctx context.Context) *phases {
	p := &phases{}
	base := context.WithoutCancel(ctx)
	p.fetching, p.stopFetching = context.WithCancel(base)
	p.working, p.stopWorking = context.WithCancelCause(base)
	p.waiting, p.stopWaiting = context.WithCancel(base)
	p.settling, p.stopSettling = context.WithCancel(base)
	p.closing, p.stopClosing = context.WithCancel(base)
	return p
}

// end ends the phases, each at its time in the plan, and all that are left when done
// is closed, for which it waits. If ctx ends before handlers are to be cancelled, the
// whole plan moves forward to that time.
func (p *phases) end(ctx context.Context, plan stopPlan, done <-chan struct{}) {
	p.stopFetching()
	await(done, ctx.Done(), plan.cancel)
	p.stopWorking(ErrShutdown)
	plan = plan.cancelAt(time.Now())
	await(done, nil, plan.detach)
	p.stopWaiting()
	await(done, nil, plan.settle)
	p.stopSettling()
	await(done, nil, plan.close)
	p.stopClosing()
	<-done
}

// await waits until one of the channels is closed, or for a time.
func await(done, early <-chan struct{}, until time.Time) {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-done:
	case <-early:
	case <-timer.C:
	}
}

// stopPlan says when the phases of a stop end at the latest: cancel those of the
// handlers, detach the waiting for them, settle the telling of the broker, and close
// all of it.
type stopPlan struct{ cancel, detach, settle, close time.Time }

// lastReserve is the most that is kept of a stop's time for the settlements that are
// left when the handlers have returned, and for closing the consumers. Both are a few
// round trips.
const lastReserve = 5 * time.Second

// planStop divides a total, which begins now. A fifth of it, 5 s at most, is for
// settling and closing, and grace of it, at most a half of the rest, for cancelled
// handlers to return. Until then jobs may finish.
func planStop(now time.Time, total, grace time.Duration) stopPlan {
	total = max(total, 0)
	reserve := min(total/5, lastReserve)
	grace = min(grace, (total-reserve)/2)
	end := now.Add(total)
	return stopPlan{
		cancel: end.Add(-reserve - grace),
		detach: end.Add(-reserve),
		settle: end.Add(-reserve * 2 / 5),
		close:  end,
	}
}

// cancelAt moves the plan so that it cancels handlers at a time, unless it would have
// done so before.
func (s stopPlan) cancelAt(t time.Time) stopPlan {
	early := s.cancel.Sub(t)
	if early <= 0 {
		return s
	}
	return stopPlan{cancel: t, detach: s.detach.Add(-early), settle: s.settle.Add(-early), close: s.close.Add(-early)}
}
