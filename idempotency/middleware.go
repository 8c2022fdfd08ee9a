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
//     same database: see InTx of packages sqlstore and pgxstore, and [ClaimOf].
//   - The effect is in a service that itself takes a key or a fencing token: see
//     [Token].
//
// # Stores
//
// [Memory] is for tests and for a single process. Package sqlstore keeps the keys in a
// table of PostgreSQL, MySQL, MariaDB or SQLite, package pgxstore in one of PostgreSQL by
// pgx, and package redisstore in Redis: each is a module of its own. Another store is
// four methods, which package storetest checks.
package idempotency

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/batch-go/batch"
)

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
	claim, until, state, err := c.begin(ctx, key)
	if err == nil && state == InProgress && c.inPlace > 0 {
		claim, until, state, err = c.await(ctx, key)
	}
	switch {
	case err != nil:
		return fmt.Errorf("idempotency: claim %q: %w", key, err)
	case state == Done:
		return nil
	case state == InProgress:
		return batch.Snooze(c.wait)
	case state != Fresh:
		return fmt.Errorf("idempotency: claim %q: the store's answer is %s", key, state)
	case !time.Now().Before(until):
		err := fmt.Errorf("idempotency: claim %q: the store took longer to answer than the TTL of %s", key, c.ttl)
		return errors.Join(err, c.abandon(context.WithoutCancel(ctx), claim))
	}
	return c.hold(ctx, claim, until, job, next)
}

// hold calls the handler while it holds a claim, which lasts until a time if it is not renewed.
func (c *config) hold(ctx context.Context, claim Claim, until time.Time, job *batch.JobInfo, next batch.Handler) error {
	renewals := newRenewals()
	handling, lost := context.WithCancelCause(context.WithValue(ctx, claimKey{}, held{claim, c.retention, renewals}))
	defer lost(nil)
	// The claim is renewed until it ends, even if the handler's context ended
	// before: a handler that still works must keep others out.
	lasting, stop := context.WithCancel(context.WithoutCancel(ctx))
	renewed := make(chan struct{})
	go func() {
		defer close(renewed)
		c.renew(lasting, claim, until, renewals, lost)
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
func (c *config) renew(ctx context.Context, claim Claim, until time.Time, renewals *renewals, lost context.CancelCauseFunc) {
	due := time.NewTimer(time.Until(until) - c.ttl*2/3)
	defer due.Stop()
	end := time.NewTimer(time.Until(until))
	defer end.Stop()
	var err error // of the last try
	for {
		select {
		case <-due.C:
		case <-end.C:
		case <-ctx.Done():
			return
		}
		start := time.Now()
		if !start.Before(until) { // also after the process was frozen
			lost(fmt.Errorf("%w: %q could not be renewed: %w", ErrLost, claim.Key, cmp.Or(err, context.DeadlineExceeded)))
			return
		}
		due.Reset(c.ttl / 3)
		if !renewals.enter(until.Sub(start) > c.ttl/2) {
			continue
		}
		calling, cancel := context.WithDeadline(ctx, until)
		err = c.store.Extend(calling, claim, c.ttl)
		cancel()
		renewals.leave()
		switch {
		case err == nil:
			until = start.Add(c.ttl)
			end.Reset(time.Until(until))
		case ctx.Err() != nil:
			return
		case errors.Is(err, ErrLost):
			if c.isComplete(ctx, claim) {
				return
			}
			lost(fmt.Errorf("%w: %q", ErrLost, claim.Key))
			return
		}
	}
}

// isComplete tells whether a claim that cannot be extended is complete, by a transaction
// of the handler, which then goes on undisturbed. Of a claim that has ended, Complete
// changes nothing.
func (c *config) isComplete(ctx context.Context, claim Claim) bool {
	asking, cancel := context.WithTimeout(ctx, c.ttl/3)
	defer cancel()
	return c.store.Complete(asking, claim, c.retention) == nil
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
