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
}

// view returns what is known. Before the first look it waits a moment.
func (p *poll) view(ctx context.Context) view {
	p.attend(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	v := view{queues: make([]status, 0, len(p.order)), listErr: p.listErr, listed: p.listed, answered: p.answered}
	for _, name := range p.order {
		q := *p.queues[name]
		q.past = nil
		v.queues = append(v.queues, q)
	}
	return v
}

// attend notes that somebody looks. It waits for the first look for a moment, and for ctx.
func (p *poll) attend(ctx context.Context) {
	p.mu.Lock()
	late := time.Since(p.seen) > idleAfter
	p.seen = time.Now()
	p.mu.Unlock()
	if late {
		select {
		case p.wake <- struct{}{}:
		default:
		}
	}
	rest := time.NewTimer(firstWait)
	defer rest.Stop()
	select {
	case <-p.first:
	case <-rest.C:
	case <-ctx.Done():
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
	past := time.Since(p.answered)
	if past < 2*p.interval+time.Second || past < 2*idleInterval && time.Since(p.seen) > idleAfter {
		return 0
	}
	return past
}
