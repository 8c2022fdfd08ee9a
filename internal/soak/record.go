package soak

import (
	"context"
	"slices"
	"sync"
	"time"
)

// record is all that happened in a run. It is safe for concurrent use.
type record struct {
	mu sync.Mutex // guards following
	// jobs are the events of each job, and others those of processes, by when they were
	// read.
	jobs   map[string][]event
	others []event
	// open is how many confirmed jobs have not come to an end.
	open    map[string]bool
	settled map[string]bool
	faults  []window
	grown   chan struct{}
}

// window is when a fault was at work. A fault that has not ended has no end.
type window struct {
	fault      string
	begin, end time.Time
}

// newRecord makes an empty one.
func newRecord() *record {
	return &record{jobs: make(map[string][]event), open: make(map[string]bool), settled: make(map[string]bool), grown: make(chan struct{})}
}

// add records an event.
func (r *record) add(e event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch e.op {
	case opUsage, opLogged, opReady:
		r.others = append(r.others, e)
		return
	case opConfirmed:
		if !r.settled[e.id] {
			r.open[e.id] = true
		}
	case opDone, opDied:
		r.settled[e.id] = true
		delete(r.open, e.id)
	}
	r.jobs[e.id] = append(r.jobs[e.id], e)
	close(r.grown)
	r.grown = make(chan struct{})
}

// begin records that a fault begins, and returns what records its end.
func (r *record) begin(fault string) (end func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.faults)
	r.faults = append(r.faults, window{fault: fault, begin: time.Now()})
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.faults[n].end = time.Now()
	}
}

// drained waits until all confirmed jobs have come to an end, and returns how many
// have not when ctx ends.
func (r *record) drained(ctx context.Context) int {
	for {
		r.mu.Lock()
		left, grown := len(r.open), r.grown
		r.mu.Unlock()
		if left == 0 {
			return 0
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return left
		}
	}
}

// history is what is judged: the events of each job in their order, those of
// processes, and the faults.
func (r *record) history() history {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := history{jobs: make(map[string][]event), others: slices.Clone(r.others), faults: slices.Clone(r.faults)}
	for id, events := range r.jobs {
		events = slices.Clone(events)
		slices.SortStableFunc(events, func(a, b event) int { return a.at.Compare(b.at) })
		h.jobs[id] = events
	}
	return h
}
