// Package idempotency makes the effect of a job happen once although its
// delivery may happen twice. Brokers deliver at least once: a job comes again
// when its worker was lost before it could settle it, and a producer that does
// not know whether a job was stored enqueues it a second time.
//
//	store := idempotency.NewMemory(0)
//	w := batch.NewWorker(d, batch.WorkerConfig{
//		Queues:     []batch.WorkerQueue{{Name: "payments"}},
//		Middleware: []batch.Middleware{idempotency.Middleware(store)},
//	})
//
// The [Middleware] claims the job's key in a [Store] before the handler runs. If
// the key is done, the job is skipped and settled as done. If another worker
// holds the key, the job comes back a little later without spending an attempt.
// When the handler succeeds the key is made done before the broker is told; when
// it fails the claim is abandoned, so that the retry runs.
//
// # What is promised, and what is not
//
// The claim is renewed for as long as the handler runs, and expires if the
// process dies, so a job is not blocked for longer than the claim's TTL. Between
// the effect and its mark there is a moment: a process that dies in it leaves an
// effect without a mark, and the job runs again. There are two ways to close it:
//
//   - The effect and the mark are one transaction, in a store that is in the
//     same database: see [Store] and [ClaimOf].
//   - The effect is on a service that takes a key or a fencing token itself: see
//     [Token].
package idempotency

import (
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

// ByKey derives the key from the job instead of taking its ID: from a header, or
// from its args by JobInfo.DecodedArgs. Jobs with one key then have one effect,
// whichever of them is first. An error fails the job without running it, as does
// an empty key.
func ByKey(key func(*batch.JobInfo) (string, error)) Option {
	return Option{func(c *config) error {
		if key == nil {
			return errors.New("idempotency: ByKey needs a function")
		}
		c.key = key
		return nil
	}}
}

// TTL is how long a claim lives without being renewed, which is how long a job
// whose worker died waits before another can run it: 10 ms to 24 h. The claim is
// renewed at a third of that. Defaults to 30 s.
func TTL(d time.Duration) Option {
	return duration("TTL", d, 10*time.Millisecond, 24*time.Hour, func(c *config) { c.ttl = d })
}

// Retention is how long a key that is done is remembered: a second to ten years.
// It must be longer than the time in which a duplicate can come: that of all
// retries, and of dead letters that are redriven. Defaults to 7 days.
func Retention(d time.Duration) Option {
	return duration("Retention", d, time.Second, 10*365*24*time.Hour, func(c *config) { c.retention = d })
}

// Wait is how long a job is held back whose key another worker holds: 1 ms to an
// hour. Defaults to a second.
func Wait(d time.Duration) Option {
	return duration("Wait", d, time.Millisecond, time.Hour, func(c *config) { c.wait = d })
}

// duration is an option with bounds.
func duration(name string, d, least, most time.Duration, set func(*config)) Option {
	return Option{func(c *config) error {
		if d < least || d > most {
			return fmt.Errorf("idempotency: %s is %s: must be %s to %s", name, d, least, most)
		}
		set(c)
		return nil
	}}
}

// Middleware runs each job's handler once for each key. It is safe to share one
// store between any number of workers. An option out of its bounds or a nil store
// is a programming error and panics; [TryMiddleware] returns it instead.
func Middleware(store Store, options ...Option) batch.Middleware {
	m, err := TryMiddleware(store, options...)
	if err != nil {
		panic(err.Error())
	}
	return m
}

// TryMiddleware is [Middleware] with mistakes as errors.
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

// run runs one job.
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

// hold runs the handler under a claim.
func (c *config) hold(ctx context.Context, claim Claim, job *batch.JobInfo, next batch.Handler) error {
	handling, lost := context.WithCancelCause(context.WithValue(ctx, claimKey{}, claim))
	defer lost(nil)
	// The claim is renewed until the handler returns, even if its context ended:
	// a handler that goes on working must keep others off.
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

// renew extends the claim at a third of its life until ctx ends. When the claim
// is lost it calls lost and ends.
func (c *config) renew(ctx context.Context, claim Claim, lost context.CancelCauseFunc) {
	tick := time.NewTicker(c.ttl / 3)
	defer tick.Stop()
	until := time.Now().Add(c.ttl)
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		start := time.Now()
		calling, cancel := context.WithDeadline(ctx, until)
		err := c.store.Extend(calling, claim, c.ttl)
		cancel()
		switch {
		case err == nil:
			until = start.Add(c.ttl)
		case ctx.Err() != nil:
			return
		case errors.Is(err, ErrLost):
			lost(fmt.Errorf("%w: %q", ErrLost, claim.Key))
			return
		case !time.Now().Before(until):
			lost(fmt.Errorf("%w: %q could not be renewed: %w", ErrLost, claim.Key, err))
			return
		}
	}
}

// complete makes the key done. While the store does not answer it tries again for
// as long as a claim lives; after that the job fails, which leaves its effect
// without a mark.
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
			// Another holds the key or has made it done. The job comes back to
			// find out.
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

// claimKey is the key of the claim in the handler's context.
type claimKey struct{}

// ClaimOf is the claim that the handler of this context runs under. It is false
// outside of a handler that the [Middleware] wraps.
func ClaimOf(ctx context.Context) (Claim, bool) {
	claim, ok := ctx.Value(claimKey{}).(Claim)
	return claim, ok
}

// Token is the fencing token of the claim that the handler of this context runs
// under, or 0, which no claim has.
func Token(ctx context.Context) uint64 {
	claim, _ := ClaimOf(ctx)
	return claim.Token
}
