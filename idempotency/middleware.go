// Package idempotency makes the effect of a job happen once although the job may
// be delivered twice. Brokers deliver at least once: a job comes again if its
// worker died before it could settle the job, and a producer that does not know
// whether a job was stored enqueues it a second time.
//
//	store := idempotency.NewMemory(0)
//	w := batch.NewWorker(d, batch.WorkerConfig{
//		Queues:     []batch.WorkerQueue{{Name: "payments"}},
//		Middleware: []batch.Middleware{idempotency.Middleware(store)},
//	})
//
// The [Middleware] claims the job's key in a [Store] before the handler runs. If
// the key is done, the job is skipped and settled as done. If another worker holds
// the key, the job comes back a little later, without spending an attempt. When the
// handler succeeds, the key is marked as done before the broker is told. When it
// fails, the key is given up, so that the retry runs.
//
// # What is promised, and what is not
//
// The claim is renewed while the handler runs, and expires if the process dies, so
// a job is not blocked for longer than the claim's TTL. There is a gap between the
// effect and its mark: a process that dies in it leaves an effect without a mark,
// and the job runs again. There are two ways to close the gap:
//
//   - The effect and the mark are one transaction, because the store is in the
//     same database: see [Store] and [ClaimOf].
//   - The effect is in a service that itself takes a key or a fencing token: see
//     [Token].
package idempotency

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/batch-go/batch"
)

// Option configures a [Middleware].
type Option struct {
	apply func(*config) error
}

// config is what the options set.
type config struct {
	store     Store
	key       func(*batch.JobInfo) (string, error)
	ttl       time.Duration
	retention time.Duration
	wait      time.Duration
}

// ByKey derives the key from the job, for example from a header or from
// JobInfo.DecodedArgs, instead of using the job's ID. Jobs with the same key then
// have one effect, that of the first. If key returns an error or an empty key, the
// job fails without running.
func ByKey(key func(*batch.JobInfo) (string, error)) Option {
	return Option{func(c *config) error {
		if key == nil {
			return errors.New("idempotency: ByKey needs a function")
		}
		c.key = key
		return nil
	}}
}

// TTL is how long a claim lives without being renewed: 10 ms to 24 h. That is how
// long the job of a worker that died waits until another worker can run it. Claims
// are renewed at a third of their TTL. Defaults to 30 s.
func TTL(d time.Duration) Option {
	return duration("TTL", d, 10*time.Millisecond, 24*time.Hour, func(c *config) { c.ttl = d })
}

// Retention is how long the store remembers that a key is done: a second to ten
// years. It must be longer than the time in which a duplicate can arrive, including
// all retries and dead letters that are redriven. Defaults to 7 days.
func Retention(d time.Duration) Option {
	return duration("Retention", d, time.Second, 10*365*24*time.Hour, func(c *config) { c.retention = d })
}

// Wait is the delay after which a job comes back if another worker holds its key:
// 1 ms to an hour. Defaults to a second.
func Wait(d time.Duration) Option {
	return duration("Wait", d, time.Millisecond, time.Hour, func(c *config) { c.wait = d })
}

// duration is an option that sets a duration within bounds.
func duration(name string, d, least, most time.Duration, set func(*config)) Option {
	return Option{func(c *config) error {
		if d < least || d > most {
			return fmt.Errorf("idempotency: %s is %s: must be %s to %s", name, d, least, most)
		}
		set(c)
		return nil
	}}
}

// Middleware lets the handler succeed only once for each key. Any number of workers
// may share one store. An option that is out of bounds or a nil store is a
// programming error and panics; [TryMiddleware] returns it instead.
func Middleware(store Store, options ...Option) batch.Middleware {
	m, err := TryMiddleware(store, options...)
	if err != nil {
		panic(err.Error())
	}
	return m
}

// TryMiddleware is [Middleware], but returns mistakes as errors.
func TryMiddleware(store Store, options ...Option) (batch.Middleware, error) {
	c := config{
		store: store, key: func(job *batch.JobInfo) (string, error) { return job.ID, nil },
		ttl: 30 * time.Second, retention: 7 * 24 * time.Hour, wait: time.Second,
	}
	if store == nil {
		return nil, errors.New("idempotency: the store is nil")
	}
	for _, o := range options {
		if o.apply == nil {
			return nil, errors.New("idempotency: the zero Option: must be made by one of the option functions")
		}
		if err := o.apply(&c); err != nil {
			return nil, err
		}
	}
	return func(next batch.Handler) batch.Handler {
		return func(ctx context.Context, job *batch.JobInfo) error { return c.run(ctx, job, next) }
	}, nil
}

// run claims the key of one job and decides whether its handler is called.
func (c *config) run(ctx context.Context, job *batch.JobInfo, next batch.Handler) error {
	key, err := c.key(job)
	if err == nil && key == "" {
		err = errors.New("it is empty")
	}
	if err != nil {
		return fmt.Errorf("idempotency: the key of job %s: %w", job.ID, err)
	}
	claim, state, err := c.store.Begin(ctx, key, c.ttl)
	switch {
	case err != nil:
		return fmt.Errorf("idempotency: claim %q: %w", key, err)
	case state == Done:
		return nil
	case state == InProgress:
		return batch.Snooze(c.wait)
	case state != Fresh:
		return fmt.Errorf("idempotency: claim %q: the store's answer is %s", key, state)
	}
	return c.hold(ctx, claim, job, next)
}

// hold calls the handler while it holds a claim.
func (c *config) hold(ctx context.Context, claim Claim, job *batch.JobInfo, next batch.Handler) error {
	handling, lost := context.WithCancelCause(context.WithValue(ctx, claimKey{}, claim))
	defer lost(nil)
	// The claim is renewed until it ends, even if the handler's context ended
	// before: a handler that still works must keep others out.
	lasting, stop := context.WithCancel(context.WithoutCancel(ctx))
	renewed := make(chan struct{})
	go func() {
		defer close(renewed)
		c.renew(lasting, claim, lost)
	}()
	defer func() {
		stop()
		<-renewed
	}()

	returned := false
	defer func() {
		if !returned { // a panic, which goes on, or runtime.Goexit
			c.abandon(lasting, claim)
		}
	}()
	err := next(handling, job)
	returned = true
	if err == nil {
		return c.complete(lasting, claim)
	}
	if abandoning := c.abandon(lasting, claim); abandoning != nil {
		err = fmt.Errorf("%w; idempotency: give up %q, which is held for up to %s: %w", err, claim.Key, c.ttl, abandoning)
	}
	return err
}

// renew extends the claim at a third of its TTL until ctx ends. If the claim is lost
// it calls lost and returns.
func (c *config) renew(ctx context.Context, claim Claim, lost context.CancelCauseFunc) {
	tick := time.NewTicker(c.ttl / 3)
	defer tick.Stop()
	until := time.Now().Add(c.ttl)
	end := time.NewTimer(c.ttl)
	defer end.Stop()
	var err error // of the last try
	for {
		select {
		case <-tick.C:
		case <-end.C:
		case <-ctx.Done():
			return
		}
		start := time.Now()
		if !start.Before(until) { // also after the process was frozen
			lost(fmt.Errorf("%w: %q could not be renewed: %w", ErrLost, claim.Key, cmp.Or(err, context.DeadlineExceeded)))
			return
		}
		calling, cancel := context.WithDeadline(ctx, until)
		err = c.store.Extend(calling, claim, c.ttl)
		cancel()
		switch {
		case err == nil:
			until = start.Add(c.ttl)
			end.Reset(time.Until(until))
		case ctx.Err() != nil:
			return
		case errors.Is(err, ErrLost):
			lost(fmt.Errorf("%w: %q", ErrLost, claim.Key))
			return
		}
	}
}

// complete marks the key as done. If the store fails, it tries again for as long as
// the claim lives. After that the job fails, and its effect has no mark.
func (c *config) complete(ctx context.Context, claim Claim) error {
	ctx, cancel := context.WithTimeout(ctx, c.ttl)
	defer cancel()
	pause := time.NewTimer(0)
	defer pause.Stop()
	for wait := c.ttl / 100; ; wait *= 2 {
		err := c.store.Complete(ctx, claim, c.retention)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, ErrLost):
			// Another claim holds the key or has completed it. The job comes back
			// to find out.
			return batch.Snooze(c.wait)
		}
		pause.Reset(wait)
		select {
		case <-pause.C:
		case <-ctx.Done():
			return fmt.Errorf("idempotency: the job succeeded but %q could not be marked as done: %w", claim.Key, err)
		}
	}
}

// abandon gives up the claim.
func (c *config) abandon(ctx context.Context, claim Claim) error {
	ctx, cancel := context.WithTimeout(ctx, c.ttl)
	defer cancel()
	return c.store.Abandon(ctx, claim)
}

// claimKey is the key of the claim in a handler's context.
type claimKey struct{}

// ClaimOf returns the claim that the handler with this context holds, and false
// outside of a handler that the [Middleware] wraps.
func ClaimOf(ctx context.Context) (Claim, bool) {
	claim, ok := ctx.Value(claimKey{}).(Claim)
	return claim, ok
}

// Token returns the fencing token of the claim that the handler with this context
// holds, or 0, which no claim has.
func Token(ctx context.Context) uint64 {
	claim, _ := ClaimOf(ctx)
	return claim.Token
}
