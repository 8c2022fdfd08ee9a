package move

import (
	"sync"
	"time"

	"github.com/batch-go/batch"
)

// Progress is how far a move is.
type Progress struct {
	// From and To are the names of the queue on the source and on the target.
	From, To string
	// Waiting, Scheduled and Dead are how many jobs were moved, by the state in which they were
	// stored on the target.
	Waiting, Scheduled, Dead int64
	// Found is how many of them a mover that died had stored already: they were only removed
	// from the source.
	Found int64
	// Doubled is how many jobs may be on the target although the source still has them, or gave
	// them to a worker: both have the same ID. [OnFault] was told why.
	Doubled int64
	// Refused is how many jobs were left on the source because the target cannot keep them, and
	// Others how many because they are of other kinds. A job that is met again counts again.
	Refused, Others int64
	// Parked is how many jobs were made dead letters on the source because the target cannot keep them.
	Parked int64
	// Left is what the source has, as it was last asked.
	Left batch.Depth
	// Rate is how many jobs were moved in a second, of late, and Elapsed the time so far.
	Rate    float64
	Elapsed time.Duration
}

// Moved is how many jobs were moved.
func (p *Progress) Moved() int64 { return p.Waiting + p.Scheduled + p.Dead }

// tally counts what the loops of a mover do. It is safe for concurrent use.
type tally struct {
	mu       sync.Mutex // guards following
	progress Progress
	start    time.Time
	active   time.Time // when something was last moved
	busy     int       // batches that are under way
	samples  []sample  // of late, oldest first
	idle     map[string]time.Time
	behind   int // jobs that are to be moved, and that a sweep of the queue could not get
}

// sample is how many were moved at a time.
type sample struct {
	at    time.Time
	moved int64
}

// rateSamples is of how many looks the rate is.
const rateSamples = 10

// unknownDepth is that of a queue that has not been asked.
var unknownDepth = batch.Depth{
	Waiting: batch.UnknownCount, Scheduled: batch.UnknownCount, Running: batch.UnknownCount, Dead: batch.UnknownCount,
	Due: batch.UnknownCount, Age: batch.UnknownAge,
}

// newTally begins to count.
func newTally(from, to string) *tally {
	now := time.Now()
	return &tally{progress: Progress{From: from, To: to, Left: unknownDepth}, start: now, active: now, idle: make(map[string]time.Time)}
}

// change changes the counts.
func (t *tally) change(f func(*Progress)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f(&t.progress)
}

// moved counts a job that was moved in a state; found says that it was stored before.
func (t *tally) moved(state batch.State, found bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch state {
	case batch.StateScheduled:
		t.progress.Scheduled++
	case batch.StateDead:
		t.progress.Dead++
	default:
		t.progress.Waiting++
	}
	if found {
		t.progress.Found++
	}
	t.active = time.Now()
}

// begin says that a batch of jobs is under way, until end.
func (t *tally) begin() { t.work(1) }

// end ends a batch.
func (t *tally) end() { t.work(-1) }

// work counts the batches that are under way.
func (t *tally) work(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.busy += n
}

// nothing says that one of the loops has looked through all, beginning at a time, and found nothing
// to move.
func (t *tally) nothing(loop string, since time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.idle[loop] = since
}

// leave says how many jobs a sweep could not get that are to be moved.
func (t *tally) leave(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.behind = n
}

// left is how many the last sweep could not get.
func (t *tally) left() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.behind
}

// look makes a progress report with what the source has left, and a sample of the rate.
func (t *tally) look(left batch.Depth) Progress {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	t.progress.Left = left
	t.progress.Elapsed = now.Sub(t.start)
	t.samples = append(t.samples, sample{now, t.progress.Moved()})
	if len(t.samples) > rateSamples {
		t.samples = t.samples[1:]
	}
	first := t.samples[0]
	since := now.Sub(first.at)
	if len(t.samples) < rateSamples {
		since, first.moved = now.Sub(t.start), 0
	}
	t.progress.Rate = 0
	if since > 0 {
		t.progress.Rate = float64(t.progress.Moved()-first.moved) / since.Seconds()
	}
	return t.progress
}

// quiet is since when nothing was moved, or zero if something is under way.
func (t *tally) quiet() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.busy > 0 {
		return time.Time{}
	}
	return t.active
}

// looked tells whether a loop has looked through all and found nothing since something was moved.
func (t *tally) looked(loop string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	since, ever := t.idle[loop]
	return ever && !since.Before(t.active)
}
