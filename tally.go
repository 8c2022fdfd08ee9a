package batch

import "sync/atomic"

// tally counts, for all lanes of a worker, what a stop reports.
type tally struct {
	// returned is how many jobs were given back, and abandoned how many could not be
	// settled, so that they stay with the broker until their leases end.
	returned, abandoned atomic.Int64
	// left is how many handlers still run whose jobs were not the worker's any more when it
	// stopped.
	left atomic.Int64
}

// abandon counts tasks that could not be settled. Those that were to be given back were
// not.
func (t *tally) abandon(tasks []*task) {
	t.abandoned.Add(int64(len(tasks)))
	for _, abandoned := range tasks {
		if abandoned.settlement.Outcome == OutcomeRelease {
			t.returned.Add(-1)
		}
	}
}

// givenBack is how many jobs were given back since reset. One that was to be given back
// before that, and was abandoned since, must not make it less than none.
func (t *tally) givenBack() int { return int(max(t.returned.Load(), 0)) }

// reset begins to count anew.
func (t *tally) reset() {
	t.returned.Store(0)
	t.abandoned.Store(0)
	t.left.Store(0)
}
