package outbox

import (
	"context"
	"errors"
	"time"
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
	var failing backoff
	for ctx.Err() == nil {
		before := r.Stats()
		err := r.lead(ctx, finishing)
		if errors.Is(err, errFollows) { // whether it could go on it does not know
			pause(ctx, r.idle(), r.wake)
			continue
		}
		r.note(ctx, err)
		if err == nil {
			failing = backoff{}
			continue
		}
		if after := r.Stats(); after.Relayed > before.Relayed || after.Parked > before.Parked {
			failing = backoff{}
		}
		if r.healthy() { // it is the database
			pause(ctx, failing.next(), nil)
			continue
		}
		pause(ctx, min(failing.next(), r.idle()), r.wake) // other queues may go on
	}
	return nil
}

// errFollows says that another relay has the lease.
var errFollows = errors.New("another relay has the lease")

// lead takes jobs to the broker for as long as the lease is the relay's, or until ctx ends. It returns errFollows if another has
// the lease. If nothing can be taken anywhere it gives the lease up, with an error: another relay may reach the broker.
func (r *Relay) lead(ctx, finishing context.Context) error {
	asking, cancel := context.WithTimeout(ctx, r.config.Lease)
	identity, err := "", r.box.lasts(asking, "take the lease")
	if err == nil {
		identity, err = r.box.id(asking)
	}
	cancel()
	if err != nil {
		return err
	}
	t, err := r.box.acquire(ctx, r.config.Lease)
	if err != nil {
		return err
	}
	if t == nil {
		return errFollows
	}
	r.config.Log.DebugContext(ctx, "outbox: the lease is this relay's", "table", r.box.name.String())
	r.count(func(s *Stats) { s.Leads = true })
	defer r.count(func(s *Stats) { s.Leads = false })
	defer t.release(ctx)
	for ctx.Err() == nil {
		if t.left() < r.config.Lease*2/3 {
			ours, err := t.renew(ctx)
			if err != nil {
				return err
			}
			if !ours {
				return errFollows
			}
		}
		n, broken, err := r.carry(finishing, t, identity)
		switch {
		case err != nil:
			return err
		case n > 0 && broken != nil:
			r.note(ctx, broken)
		case broken != nil:
			return broken
		case r.healthy():
			r.note(ctx, nil)
		}
		if n == 0 {
			pause(ctx, min(r.idle(), r.rest()), r.wake)
		}
	}
	return nil
}

// healthy tells whether no queue has failed at its last request.
func (r *Relay) healthy() bool {
	for _, o := range r.queues {
		if !o.until.IsZero() {
			return false
		}
	}
	return true
}

// rest is how long it is until the first queue that rests can be tried again, or an hour.
func (r *Relay) rest() time.Duration {
	d := time.Hour
	for _, o := range r.queues {
		if left := time.Until(o.until); left > 0 {
			d = min(d, left)
		}
	}
	return d
}
