package main

import (
	"context"
	"sync"

	"github.com/batch-go/batch"
)

// progress keeps account of the run's files: each is pending until it has a
// result or is a dead letter. That none is pending any more is what the program
// waits for.
type progress struct {
	// complete is closed when no file is pending any more.
	complete chan struct{}
	// names are the files by key, as they are shown; missing is the key of the
	// file that is not there on purpose.
	names   map[string]string
	missing string

	mu      sync.Mutex // guards following
	pending map[string]bool
	dead    map[string]bool
	// before is how many files were accounted for when this process began.
	before       int
	bytes, lines int64
	running      int
	retries      int
	results      int // handlers that stored a result, in this process
	done         int // jobs that ended without error, in this process
}

// newProgress begins with what the results know.
func newProgress(list *listing, r *results) *progress {
	p := &progress{complete: make(chan struct{}), names: make(map[string]string), pending: make(map[string]bool), dead: make(map[string]bool)}
	for i, f := range list.files {
		key := f.key(r.Run())
		p.names[key] = f.name
		if list.demo && i == len(list.files)-1 {
			p.missing = key
		}
		rec, ok := r.Get(key)
		if !ok {
			p.pending[key] = true
			continue
		}
		p.before++
		p.bytes += rec.Bytes
		p.lines += rec.Lines
	}
	p.check()
	return p
}

// check closes complete if nothing is pending. p.mu must be held, or p be new.
func (p *progress) check() {
	if len(p.pending) > 0 {
		return
	}
	select {
	case <-p.complete:
	default:
		close(p.complete)
	}
}

// loadDeadLetters finds those that an interrupted run has left in the queue.
func (p *progress) loadDeadLetters(ctx context.Context, queue *batch.Queue[batch.Driver]) error {
	return eachDeadLetter(ctx, queue, func(dead batch.DeadLetter) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.pending[dead.ID] {
			p.before++
			p.markDead(dead.ID)
		}
	})
}

// markDead notes a dead letter. p.mu must be held.
func (p *progress) markDead(key string) {
	if !p.pending[key] {
		return
	}
	delete(p.pending, key)
	p.dead[key] = true
	p.check()
}

// markDone notes a job that ended without error. p.mu must be held.
func (p *progress) markDone(key string) {
	p.done++
	delete(p.pending, key)
	delete(p.dead, key) // a copy of it may have failed before
	p.check()
}

// accounted tells whether the file with this key has a result or is a dead letter.
func (p *progress) accounted(key string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.pending[key]
}

// add counts a result that was stored just now.
func (p *progress) add(r record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.results++
	p.bytes += r.Bytes
	p.lines += r.Lines
}

// isComplete tells whether every file is accounted for.
func (p *progress) isComplete() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.pending) == 0
}

// snapshot is the progress at one moment.
type snapshot struct {
	total, accounted, before, dead, running, retries, copies int
	bytes, lines                                             int64
}

// snapshot is the present state.
func (p *progress) snapshot() snapshot {
	p.mu.Lock()
	defer p.mu.Unlock()
	return snapshot{
		total: len(p.names), accounted: len(p.names) - len(p.pending), before: p.before,
		dead: len(p.dead), running: p.running, retries: p.retries, copies: max(p.done-p.results, 0),
		bytes: p.bytes, lines: p.lines,
	}
}

// deadLetters lists those of the run: one a file, although copies of a job may
// have died too.
func (p *progress) deadLetters(ctx context.Context, queue *batch.Queue[batch.Driver]) ([]batch.DeadLetter, error) {
	var list []batch.DeadLetter
	seen := make(map[string]bool)
	err := eachDeadLetter(ctx, queue, func(dead batch.DeadLetter) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.dead[dead.ID] && !seen[dead.ID] {
			seen[dead.ID] = true
			list = append(list, dead)
		}
	})
	return list, err
}

// eachDeadLetter pages through the queue's dead letters.
func eachDeadLetter(ctx context.Context, queue *batch.Queue[batch.Driver], visit func(batch.DeadLetter)) error {
	cursor := ""
	for {
		page, next, err := queue.DeadLetters().List(ctx, cursor, 100)
		if err != nil {
			return err
		}
		for _, dead := range page {
			visit(dead)
		}
		if next == "" {
			return nil
		}
		cursor = next
	}
}
