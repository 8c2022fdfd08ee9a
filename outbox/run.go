package outbox

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	// The time between two tries of what failed.
	shortestWait = 100 * time.Millisecond
	longestWait  = 5 * time.Second
)

// Run takes jobs to the broker until ctx ends, and returns nil then. Whatever fails is tried again, as long as it takes:
// a database or a broker that is away, and one that lacks a right or a table. [Stats].Err and the log say so.
// When ctx ends, what is under way is finished, for ten seconds at most. A relay runs once at a time: a second
// Run returns an error that wraps [batch.ErrInvalid].
func (r *Relay) Run(ctx context.Context) error {
	if !r.runs.CompareAndSwap(false, true) {
		return invalid("relay", "running", "one that does not run: make another with NewRelay")
	}
	defer r.runs.Store(false)
	finishing, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	defer context.AfterFunc(ctx, func() {
		pause(finishing, grace, nil)
		cut()
	})()
	wait := shortestWait
	for ctx.Err() == nil {
		before := r.Stats()
		err := r.lead(ctx, finishing)
		r.note(ctx, err)
		if err == nil {
			pause(ctx, r.idle(), r.wake)
			continue
		}
		if after := r.Stats(); after.Relayed > before.Relayed || after.Parked > before.Parked {
			wait = shortestWait
		}
		pause(ctx, wait/2+rand.N(wait/2+1), nil)
		wait = min(2*wait, longestWait)
	}
	return nil
}

// lead takes jobs to the broker for as long as the lease is the relay's, or until ctx ends. It returns nil if
// another has the lease.
func (r *Relay) lead(ctx, finishing context.Context) error {
	identity, err := r.box.id(ctx)
	if err != nil {
		return err
	}
	t, err := r.box.acquire(ctx, r.config.Lease)
	if err != nil || t == nil {
		return err
	}
	r.config.Log.DebugContext(ctx, "outbox: the lease is this relay's", "table", r.box.name)
	r.count(func(s *Stats) { s.Leads = true })
	defer r.count(func(s *Stats) { s.Leads = false })
	defer t.release(ctx)
	for ctx.Err() == nil {
		if t.left() < r.config.Lease*2/3 {
			ours, err := t.renew(ctx)
			if err != nil || !ours {
				return err
			}
		}
		n, err := r.carry(finishing, t, identity)
		if err != nil {
			return err
		}
		r.note(ctx, nil)
		if n == 0 {
			pause(ctx, r.idle(), r.wake)
		}
	}
	return nil
}
