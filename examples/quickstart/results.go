package main

import (
	"context"
	"os"
	"sync"
	"time"

	"github.com/batch-go/batch/idempotency"
)

// results is the file that the jobs' results go to: JSON, one line a file that
// was digested, only ever appended to. It is the effect of the jobs and also the
// memory of which have had theirs, an [idempotency.Store]: a result and the mark
// that its job is done are one line, written by one call, so that a crash leaves
// both or neither. A last line that a crash cut short is removed when the file is
// opened.
//
// One process owns the file, so which jobs are in progress need not be in it: a
// crash ends them all.
//
// What is written outlives the process at once. A machine that loses its power
// may lose the last seconds: for that, each line would have to be synced.
type results struct {
	path string
	f    *os.File

	run, abandoned string
	resumed        bool
	started        time.Time

	mu     sync.Mutex // guards following
	tokens uint64     // the last token; it begins with the time, so that it grows across restarts
	busy   map[string]claim
	done   map[string]done
}

// claim is a key in progress.
type claim struct {
	token uint64
	until time.Time
}

// done is a key that is done.
type done struct {
	record
	token uint64    // of the claim that did it; 0 if a process before this one did
	until time.Time // zero for as long as the file lasts
}

var _ idempotency.Store = (*results)(nil)

// Run names the run.
func (r *results) Run() string { return r.run }

// Abandoned names the run that -reset ended, or is empty.
func (r *results) Abandoned() string { return r.abandoned }

// Get finds the result with a key.
func (r *results) Get(key string) (record, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d, ok := r.done[key]
	return d.record, ok
}

// Append stores a result, which is what makes its job done: the effect and the
// mark are this one write. A handler whose claim was lost meanwhile is refused.
func (r *results) Append(held idempotency.Claim, rec record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.finish(held, rec, time.Time{})
}

// finish writes a result under a claim. r.mu must be held.
func (r *results) finish(held idempotency.Claim, rec record, until time.Time) error {
	if !r.holds(held) {
		return idempotency.ErrLost
	}
	rec.Key = held.Key
	if err := r.write(rec); err != nil {
		return err
	}
	r.done[held.Key] = done{rec, held.Token, until}
	delete(r.busy, held.Key)
	return nil
}

// holds tells whether a claim is the one in force. r.mu must be held.
func (r *results) holds(held idempotency.Claim) bool {
	c, ok := r.busy[held.Key]
	return ok && c.token == held.Token && time.Now().Before(c.until)
}

// Begin claims a key that is neither done nor in progress.
func (r *results) Begin(ctx context.Context, key string, ttl time.Duration) (idempotency.Claim, idempotency.State, error) {
	if err := ctx.Err(); err != nil {
		return idempotency.Claim{}, 0, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if d, ok := r.done[key]; ok && (d.until.IsZero() || now.Before(d.until)) {
		return idempotency.Claim{}, idempotency.Done, nil
	}
	if c, ok := r.busy[key]; ok && now.Before(c.until) {
		return idempotency.Claim{}, idempotency.InProgress, nil
	}
	r.tokens++
	r.busy[key] = claim{r.tokens, now.Add(ttl)}
	delete(r.done, key)
	return idempotency.Claim{Key: key, Token: r.tokens}, idempotency.Fresh, nil
}

// Extend renews a claim.
func (r *results) Extend(ctx context.Context, held idempotency.Claim, ttl time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.holds(held) {
		return idempotency.ErrLost
	}
	r.busy[held.Key] = claim{held.Token, time.Now().Add(ttl)}
	return nil
}

// Complete finds most claims complete, by Append. One that is not gets a line
// without a result.
func (r *results) Complete(ctx context.Context, held idempotency.Claim, retention time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	until := time.Now().Add(retention)
	if d, ok := r.done[held.Key]; ok && d.token == held.Token {
		d.until = until
		r.done[held.Key] = d
		return nil
	}
	return r.finish(held, record{}, until)
}

// Abandon gives a claim up.
func (r *results) Abandon(ctx context.Context, held idempotency.Claim) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if c, ok := r.busy[held.Key]; ok && c.token == held.Token {
		delete(r.busy, held.Key)
	}
	return nil
}
