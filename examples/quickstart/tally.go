package main

import (
	"context"
	"sync"

	"github.com/batch-go/batch"
)

// tally keeps account of the run's files: each is open until it has a result or
// is a dead letter. It is the one thing that the program waits for.
type tally struct {
	// accounted is closed when no file is open any more.
	accounted chan struct{}
	// names are the files by key, as they are shown; missing is the key of the
	// file that is not there on purpose.
	names   map[string]string
	missing string

	mu   sync.Mutex // guards following
	open map[string]bool
	dead map[string]bool
	// before is how many files were accounted for when this process began.
	before       int
	bytes, lines int64
	running      int
	retries      int
	results      int // handlers that stored a result, in this process
	done         int // jobs that ended without error, in this process
}

// newTally begins with what the results know.
func newTally(list *listing, r *results) *tally {
	t := &tally{accounted: make(chan struct{}), names: make(map[string]string), open: make(map[string]bool), dead: make(map[string]bool)}
	for i, f := range list.files {
		key := f.key(r.Run())
		t.names[key] = f.name
		if list.demo && i == len(list.files)-1 {
			t.missing = key
		}
		rec, ok := r.Get(key)
		if !ok {
			t.open[key] = true
			continue
		}
		t.before++
		t.bytes += rec.Bytes
		t.lines += rec.Lines
	}
	t.check()
	return t
}

// check closes accounted if nothing is open. t.mu must be held, or t be new.
func (t *tally) check() {
	if len(t.open) > 0 {
		return
	}
	select {
	case <-t.accounted:
	default:
		close(t.accounted)
	}
}

// recall finds dead letters that an interrupted run left.
func (t *tally) recall(ctx context.Context, queue *batch.Queue[batch.Driver]) error {
	return eachDeadLetter(ctx, queue, func(l batch.DeadLetter) {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.open[l.ID] {
			t.before++
			t.bury(l.ID)
		}
	})
}

// bury notes a dead letter. t.mu must be held.
func (t *tally) bury(key string) {
	if !t.open[key] {
		return
	}
	delete(t.open, key)
	t.dead[key] = true
	t.check()
}

// settled tells whether the file with this key needs no job any more.
func (t *tally) settled(key string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.open[key]
}

// found counts a result that was stored just now.
func (t *tally) found(r record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.results++
	t.bytes += r.Bytes
	t.lines += r.Lines
}

// complete tells whether every file is accounted for.
func (t *tally) complete() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.open) == 0
}

// snapshot is the tally at one moment.
type snapshot struct {
	total, accounted, before, dead, running, retries, copies int
	bytes, lines                                             int64
}

func (t *tally) snapshot() snapshot {
	t.mu.Lock()
	defer t.mu.Unlock()
	return snapshot{
		total: len(t.names), accounted: len(t.names) - len(t.open), before: t.before,
		dead: len(t.dead), running: t.running, retries: t.retries, copies: max(t.done-t.results, 0),
		bytes: t.bytes, lines: t.lines,
	}
}

// watcher is the hook through which the tally and the screen learn what becomes
// of jobs.
type watcher struct {
	*tally
	screen *screen
}

// OnJobStart is called when a handler starts.
func (w *watcher) OnJobStart(context.Context, *batch.JobInfo) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running++
}

// OnJobEnd is called when the fate of a job is decided.
func (w *watcher) OnJobEnd(_ context.Context, e batch.JobEnd) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e.Started {
		w.running--
	}
	switch failed := e.Verdict.Failures >= e.Job.Attempt; {
	case e.Verdict.Outcome == batch.Done:
		w.done++
		delete(w.open, e.Job.ID)
		delete(w.dead, e.Job.ID) // a copy of it may have failed before
		w.check()
	case e.Verdict.Outcome == batch.Dead:
		w.bury(e.Job.ID)
		w.screen.line("dead letter  %s, attempt %d of %d: %v", w.name(e.Job), e.Job.Attempt, e.Job.MaxAttempts, e.Err)
	case failed:
		w.retries++
		w.screen.line("retry        %s, attempt %d of %d: %v; again in %s", w.name(e.Job), e.Job.Attempt, e.Job.MaxAttempts, e.Err, e.Verdict.Delay)
	}
}

// OnFault is called when the broker cannot be reached.
func (w *watcher) OnFault(_ context.Context, e batch.Fault) {
	w.screen.line("broker       %s: %v; again in %s", e.Op, e.Err, e.RetryIn)
}

func (t *tally) name(job *batch.JobInfo) string {
	if name := t.names[job.ID]; name != "" {
		return name
	}
	return "job " + job.ID
}

// eachDeadLetter pages through the queue's dead letters.
func eachDeadLetter(ctx context.Context, queue *batch.Queue[batch.Driver], visit func(batch.DeadLetter)) error {
	cursor := ""
	for {
		page, next, err := queue.DeadLetters().List(ctx, cursor, 100)
		if err != nil {
			return err
		}
		for _, l := range page {
			visit(l)
		}
		if next == "" {
			return nil
		}
		cursor = next
	}
}
