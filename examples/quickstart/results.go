package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
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
	*resultsFile

	run      string
	replaced string // the run that -reset ended
	resumed  bool
	started  time.Time

	mu     sync.Mutex // guards following
	tokens uint64     // the last token; it begins with the time, so that it grows across restarts
	claims map[string]claim
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

// openResults opens the file, takes it for this process and reads what is there.
// It goes on with a run that was interrupted; after one that is complete, or with
// reset, a new one begins.
func openResults(path string, roots []string, reset bool) (*results, error) {
	f, err := openFile(path)
	if err != nil {
		return nil, err
	}
	r := &results{
		resultsFile: f, tokens: uint64(time.Now().UnixNano()),
		claims: make(map[string]claim), done: make(map[string]done),
	}
	if err := r.load(roots, reset); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return r, nil
}

// load reads the file, and begins a new run if there is none to go on with.
func (r *results) load(roots []string, reset bool) error {
	first, whole, err := r.read()
	if err != nil {
		return err
	}
	var h header
	switch {
	case !whole && len(first) == 0:
		return r.begin(roots)
	case json.Unmarshal(first, &h) != nil || h.Quickstart != 1:
		return fmt.Errorf("%s is not a results file of quickstart; name another with -results", r.path)
	case reset:
		r.replaced = h.Run
		return r.begin(roots)
	case !slices.Equal(h.Roots, roots):
		return fmt.Errorf("%s belongs to a run over %q; -reset starts over, -results names another file", r.path, h.Roots)
	}
	if !whole { // a crash cut it short, before there were results
		return r.begin(roots)
	}
	r.run, r.started, r.resumed = h.Run, h.Started, true
	for n := 2; ; n++ {
		line, whole, err := r.read()
		if err != nil {
			return err
		}
		if !whole {
			return r.cut()
		}
		var end footer
		if json.Unmarshal(line, &end) == nil && end.Complete {
			return r.begin(roots)
		}
		var rec record
		if err := json.Unmarshal(line, &rec); err != nil || rec.Key == "" {
			return fmt.Errorf("line %d of %s cannot be read; -reset starts over", n, r.path)
		}
		r.done[rec.Key] = done{record: rec}
	}
}

// begin empties the file for a new run.
func (r *results) begin(roots []string) error {
	id := make([]byte, 4)
	rand.Read(id) // never fails
	r.run, r.resumed, r.started = hex.EncodeToString(id), false, time.Now()
	clear(r.done)
	if err := r.clear(); err != nil {
		return err
	}
	return r.write(header{1, r.run, roots, r.started})
}

// Finish says that the run is complete: the next one starts over.
func (r *results) Finish() error { return r.write(footer{true}) }

// Run names the run.
func (r *results) Run() string { return r.run }

// Replaced names the run that -reset ended, or is empty.
func (r *results) Replaced() string { return r.replaced }

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
	return r.store(held, rec, time.Time{})
}

// store writes a result under a claim. r.mu must be held.
func (r *results) store(held idempotency.Claim, rec record, until time.Time) error {
	if !r.holds(held) {
		return idempotency.ErrLost
	}
	rec.Key = held.Key
	if err := r.write(rec); err != nil {
		return err
	}
	r.done[held.Key] = done{rec, held.Token, until}
	delete(r.claims, held.Key)
	return nil
}

// holds tells whether a claim is the one in force. r.mu must be held.
func (r *results) holds(held idempotency.Claim) bool {
	c, ok := r.claims[held.Key]
	return ok && c.token == held.Token && time.Now().Before(c.until)
}

// Begin claims a key that is neither done nor in progress.
func (r *results) Begin(ctx context.Context, key string, ttl time.Duration) (idempotency.Claim, idempotency.State, error) {
	if err := ctx.Err(); err != nil {
		return idempotency.Claim{}, 0, err
	}
	if key == "" {
		return idempotency.Claim{}, 0, errors.New("the key is empty")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if d, ok := r.done[key]; ok && (d.until.IsZero() || now.Before(d.until)) {
		return idempotency.Claim{}, idempotency.Done, nil
	}
	if c, ok := r.claims[key]; ok && now.Before(c.until) {
		return idempotency.Claim{}, idempotency.InProgress, nil
	}
	r.tokens++
	r.claims[key] = claim{r.tokens, now.Add(ttl)}
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
	r.claims[held.Key] = claim{held.Token, time.Now().Add(ttl)}
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
	if d, ok := r.done[held.Key]; ok && d.token == held.Token {
		return nil
	}
	return r.store(held, record{}, time.Now().Add(retention))
}

// Abandon gives up a claim.
func (r *results) Abandon(ctx context.Context, held idempotency.Claim) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if c, ok := r.claims[held.Key]; ok && c.token == held.Token {
		delete(r.claims, held.Key)
	}
	return nil
}
