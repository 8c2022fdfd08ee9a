// Package report has the results, and makes the page of them.
package report

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/batch-go/batch/bench/performance/load"
)

// An Entry is a peer that did a workload on a broker, in some rounds.
type Entry struct {
	Broker, Workload, Peer string

	Rounds []load.Result
	// Counted is what a further one has shown, which is not timed: the syncs were counted. It is nil where
	// none was, or where the machine does not tell.
	Counted *load.Result `json:",omitempty"`
	Failed  string       // the error of a round that failed
	Form    string       // "quick" or "full"
	When    time.Time
}

// Results are all that were measured.
type Results struct {
	Machine  string            // processors and system
	Brokers  map[string]string // name and version of each
	Versions map[string]string // of modules
	Entries  []Entry
}

// Read reads results. There may be none yet.
func Read(path string) (*Results, error) {
	r := &Results{Brokers: make(map[string]string), Versions: make(map[string]string)}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal(text, r)
	}
	return r, err
}

// Write writes them, in an order that does not depend on when they were measured.
func (r *Results) Write(path string) error {
	slices.SortFunc(r.Entries, func(a, b Entry) int {
		return slices.Compare([]string{a.Broker, a.Workload, a.Peer}, []string{b.Broker, b.Workload, b.Peer})
	})
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// Find is the entry of a peer, or nil.
func (r *Results) Find(broker, workload, peer string) *Entry {
	for i := range r.Entries {
		if e := &r.Entries[i]; e.Broker == broker && e.Workload == workload && e.Peer == peer {
			return e
		}
	}
	return nil
}

// Put adds an entry, in the place of an older one.
func (r *Results) Put(e Entry) {
	if old := r.Find(e.Broker, e.Workload, e.Peer); old != nil {
		*old = e
		return
	}
	r.Entries = append(r.Entries, e)
}

// A Spread is a figure of several rounds.
type Spread struct{ Median, Min, Max float64 }

// spread is a figure of the rounds of an entry.
func (e *Entry) spread(of func(load.Result) float64) Spread {
	all := make([]float64, 0, len(e.Rounds))
	for _, r := range e.Rounds {
		all = append(all, of(r))
	}
	if len(all) == 0 {
		return Spread{}
	}
	slices.Sort(all)
	return Spread{Median: (all[(len(all)-1)/2] + all[len(all)/2]) / 2, Min: all[0], Max: all[len(all)-1]}
}

// rate is jobs a second.
func rate(r load.Result) float64 {
	if r.Took <= 0 {
		return 0
	}
	return float64(r.Jobs) / r.Took.Seconds()
}

// perJob divides by the jobs of a measurement.
func perJob(of func(load.Result) float64) func(load.Result) float64 {
	return func(r load.Result) float64 {
		if r.Jobs == 0 {
			return 0
		}
		return of(r) / float64(r.Jobs)
	}
}

// perSecond divides by the time of a measurement.
func perSecond(of func(load.Result) float64) func(load.Result) float64 {
	return func(r load.Result) float64 {
		if r.Took <= 0 {
			return 0
		}
		return of(r) / r.Took.Seconds()
	}
}
