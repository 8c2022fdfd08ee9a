package outbox

import "context"

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
		r.note(ctx, err)
		if err == nil {
			failing = backoff{}
			pause(ctx, r.idle(), r.wake)
			continue
		}
		if after := r.Stats(); after.Relayed > before.Relayed || after.Parked > before.Parked {
			failing = backoff{}
		}
		pause(ctx, failing.next(), nil)
	}
	return nil
}

// lead takes jobs to the broker for as long as the lease is the relay's, or until ctx ends. It returns nil if another has the
// lease. If nothing can be taken anywhere it gives the lease up, with an error: another relay may reach the broker.
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
			pause(ctx, r.idle(), r.wake)
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
