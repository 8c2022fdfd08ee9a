package dash

import (
	"context"
	"slices"
	"time"
)

// view is what is known of all queues at one moment.
type view struct {
	queues []status // by name, without their past
	// listErr is why the names may be old, and listed when they were told, zero for never.
	listErr error
	listed  time.Time
	// answered is when the broker told anything last, zero for never.
	answered time.Time
	// cut says that there are more queues than are shown.
	cut bool
}

// view returns what is known. Before the first look it waits a moment.
func (p *poll) view(ctx context.Context) view {
	p.attend(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	v := view{queues: make([]status, 0, len(p.order)), listErr: p.listErr, listed: p.listed, answered: p.answered, cut: p.cut}
	for _, name := range p.order {
		q := *p.queues[name]
		q.past = nil
		v.queues = append(v.queues, q)
	}
	return v
}

// attend notes that somebody looks. It waits a moment for the first look, and for the next after a long time.
func (p *poll) attend(ctx context.Context) {
	p.mu.Lock()
	late := time.Since(p.seen) > idleAfter
	p.seen = time.Now()
	if late {
		p.resumed = p.seen
		if p.fresh == nil {
			p.fresh = make(chan struct{})
		}
	}
	fresh := p.fresh
	p.mu.Unlock()
	if fresh == nil {
		return
	}
	if late {
		select {
		case p.wake <- struct{}{}:
		default:
		}
	}
	rest := time.NewTimer(firstWait)
	defer rest.Stop()
	select {
	case <-fresh:
	case <-rest.C:
		p.release(fresh)
	case <-ctx.Done():
	}
}

// release lets all go on that wait for a look which takes too long. The next do not wait for it.
func (p *poll) release(fresh chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fresh == fresh {
		close(fresh)
		p.fresh = nil
	}
}

// queue returns what is known of one queue, with its past, and whether it is one of those that are shown. Before the
// broker has told their names, every one may be.
func (p *poll) queue(ctx context.Context, name string) (status, bool) {
	p.attend(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	q := p.queues[name]
	if q == nil {
		return status{Name: name}, !p.fixed && p.listed.IsZero()
	}
	known := *q
	known.past = slices.Clone(q.past)
	return known, true
}

// addPast gives queues their past.
func (p *poll) addPast(queues []status) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range queues {
		if q := p.queues[queues[i].Name]; q != nil {
			queues[i].past = slices.Clone(q.past)
		}
	}
}

// silence is how long the broker has told nothing, and zero if that is no longer than it should be.
func (p *poll) silence() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.answered.IsZero() || len(p.order) == 0 {
		return 0
	}
	limit := 2*p.interval + time.Second
	if time.Since(p.answered) < limit || time.Since(p.resumed) < limit {
		return 0
	}
	return time.Since(p.answered)
}
