package conformance

import (
	"context"
	"sync/atomic"
	"time"
)

// pulse measures how late this machine is, whatever a driver does: how long a timer
// that has come to its end keeps a goroutine waiting. On a machine that is busy with
// something else everything takes longer by several times that, because a call is several
// goroutines and processes that wait for each other.
type pulse struct {
	late  atomic.Int64 // the worst
	end   context.CancelFunc
	ended chan struct{}
}

// newPulse begins to measure, once in every beat, until stop is called.
func newPulse(beat time.Duration) *pulse {
	ctx, cancel := context.WithCancel(context.Background())
	p := &pulse{end: cancel, ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		for ctx.Err() == nil {
			began := time.Now()
			timer := time.NewTimer(beat)
			select {
			case <-timer.C:
				p.late.Store(max(p.late.Load(), int64(time.Since(began)-beat)))
			case <-ctx.Done():
				timer.Stop()
			}
		}
	}()
	return p
}

// worst is how late it was at most, so far. It is zero for no pulse.
func (p *pulse) worst() time.Duration {
	if p == nil {
		return 0
	}
	return time.Duration(p.late.Load())
}

// stop ends it, and returns the worst.
func (p *pulse) stop() time.Duration {
	p.end()
	<-p.ended
	return p.worst()
}

const (
	// caseBeat is how often the machine is looked at during a case, and callBeat during a
	// call whose time is judged closely.
	caseBeat = 20 * time.Millisecond
	callBeat = 5 * time.Millisecond
	// steps is of how many steps, each as late as the machine, something consists that
	// is promised at a time; manySteps of how many what has no bound does, and allSteps a
	// whole case.
	steps, manySteps, allSteps = 4, 40, 150
)

// slower is the harness for a machine that was found to be slow: with longer leases. What
// is promised at a time is not promised for later than before.
func (h Harness) slower(maxLease time.Duration) *Harness {
	h.Timeout *= 2
	h.Lease = min(2*h.Lease, maxLease)
	return &h
}

// deadlineOf makes a context that ends when a case has taken too long for a machine as late
// as this one is.
func deadlineOf(ctx context.Context, d time.Duration, p *pulse, cause error) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	begin := time.Now()
	var timer atomic.Pointer[time.Timer]
	check := func() {
		if left := time.Until(begin.Add(d + allSteps*p.worst())); left > 0 {
			timer.Load().Reset(left)
		} else {
			cancel(cause)
		}
	}
	made := make(chan struct{})
	timer.Store(time.AfterFunc(d, func() { <-made; check() }))
	close(made)
	return ctx, func() { timer.Load().Stop(); cancel(context.Canceled) }
}
