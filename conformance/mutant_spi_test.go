package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
)

// notes are numbers of jobs by their ID, for faults that remember.
type notes struct {
	mu   sync.Mutex
	byID map[string]int
}

func (n *notes) of(id string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.byID[id]
}

func (n *notes) set(id string, v int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.byID == nil {
		n.byID = make(map[string]int)
	}
	n.byID[id] = v
}

// after are faults of what is handed out after a settlement with an outcome: noted
// sees the delivery that was settled and what was noted of it before, and changed the
// next one.
func after(o driver.Outcome, noted func(d *driver.Delivery, before int) int, changed func(d *driver.Delivery, note int)) *faults {
	var n notes
	return &faults{
		settle: func(s *driver.Settlement) {
			if s.Outcome == o {
				n.set(s.Delivery.ID, noted(s.Delivery, n.of(s.Delivery.ID)))
			}
		},
		hand: func(d *driver.Delivery) { changed(d, n.of(d.ID)) },
	}
}

// historyMutants are broken in what they carry of a job's history.
func historyMutants() mutantTable {
	add := func(d *driver.Delivery, note int) { d.Redeliveries += note }
	forget := func(d *driver.Delivery) { d.Bounces, d.BouncedSince = 0, time.Time{} }
	var redriven notes
	return mutantTable{
		"forgets bounces": {&faults{settle: func(s *driver.Settlement) { s.Bounces, s.BouncedSince = 0, time.Time{} }},
			[]string{"bounce-retry", "bounce-release", "bounce-loss", "bounce-dead", "bounce-list", "deploy"}, []string{"attempts", "bounce-redrive"}},
		"forgets since when a job bounces": {&faults{settle: func(s *driver.Settlement) { s.BouncedSince = time.Time{} }},
			[]string{"bounce-retry", "bounce-dead"}, []string{"attempts"}},
		"forgets bounces on release": {after(driver.OutcomeRelease, func(*driver.Delivery, int) int { return 1 }, func(d *driver.Delivery, released int) {
			if released > 0 {
				forget(d)
			}
		}), []string{"bounce-release"}, []string{"bounce-retry", "bounce-loss"}},
		"forgets bounces of a lost holder": {&faults{hand: func(d *driver.Delivery) {
			if d.Redeliveries > 0 {
				forget(d)
			}
		}}, []string{"bounce-loss", "import-goes-on"}, []string{"bounce-release"}},
		"keeps bounces on redrive": {&faults{
			redrive: func(which driver.Selection, next func(driver.Selection) (int, error)) (int, error) {
				for _, id := range which.IDs {
					redriven.set(id, 1)
				}
				return next(which)
			},
			hand: func(d *driver.Delivery) {
				if redriven.of(d.ID) > 0 {
					d.Bounces = 7
				}
			},
		}, []string{"bounce-redrive", "import-dead"}, []string{"bounce-dead", "redrive-one"}},
		"lists no bounces": {&faults{spiFaults: spiFaults{show: func(e *driver.Entry) { e.Bounces, e.BouncedSince = 0, time.Time{} }}},
			[]string{"bounce-list", "import-list"}, []string{"list-entry", "bounce-dead"}},
		"has no bounces of dead letters": {&faults{letters: func(page []driver.DeadLetter, next string) ([]driver.DeadLetter, string) {
			for i := range page {
				page[i].Bounces = 0
			}
			return page, next
		}}, []string{"bounce-dead", "import-dead"}, []string{"dead-paging", "bounce-list"}},

		"counts a release as a lost holder": {after(driver.OutcomeRelease, func(_ *driver.Delivery, before int) int { return before + 1 }, add),
			[]string{"release-keeps-redeliveries", "release-before-loss", "killers"}, []string{"release", "lease-expiry", "retry-forgets-redeliveries"}},
		"forgets lost holders on release": {after(driver.OutcomeRelease, func(d *driver.Delivery, before int) int { return before - d.Redeliveries }, add),
			[]string{"release-keeps-redeliveries"}, []string{"release-before-loss", "lease-expiry"}},
		"keeps lost holders on retry": {after(driver.OutcomeRetry, func(d *driver.Delivery, before int) int { return before + d.Redeliveries }, add),
			[]string{"retry-forgets-redeliveries"}, []string{"release-keeps-redeliveries", "lease-expiry"}},
	}
}

// queueMutants are broken in what they do with queues that do not exist, and with lists
// of queues.
func queueMutants() mutantTable {
	declares := func(ops ...string) *faults {
		return &faults{spiFaults: spiFaults{touched: func(ctx context.Context, d *memory.Driver, op, queue string) {
			if slices.Contains(ops, op) {
				_ = d.Declare(ctx, queue)
			}
		}}}
	}
	answers := func(err error) *faults {
		return &faults{spiFaults: spiFaults{answer: func(_ string, was error) error {
			if errors.Is(was, driver.ErrNotFound) {
				return err
			}
			return was
		}}}
	}
	listing := func(change func([]string) []string) *faults { return &faults{spiFaults: spiFaults{queues: change}} }
	table := mutantTable{
		"answers zeros for a missing queue": {answers(nil), []string{"missing-queue", "deleted-queue"}, []string{"depth", "delete-queue"}},
		"is not sure that a queue is missing": {answers(&driver.Error{Driver: "broken", Op: "read", Kind: driver.ErrNotFound, Fate: driver.FateUnknown}),
			[]string{"missing-queue", "deleted-queue"}, []string{"depth"}},
		"takes a missing queue for an outage": {&faults{receive: func(ctx context.Context, next func(context.Context) ([]*driver.Delivery, error)) ([]*driver.Delivery, error) {
			got, err := next(ctx)
			if errors.Is(err, driver.ErrNotFound) {
				err = driver.ErrUnavailable
			}
			return got, err
		}}, []string{"deleted-queue"}, []string{"missing-queue"}},
		"lists no queues":     {listing(func([]string) []string { return nil }), []string{"list-queues"}, []string{"declare-again"}},
		"lists queues twice":  {listing(func(names []string) []string { return append(names, names...) }), []string{"list-queues"}, nil},
		"does not sort lists": {listing(func(names []string) []string { slices.Reverse(names); return names }), []string{"list-queues"}, nil},
		"lists what it keeps beside a queue": {listing(func(names []string) []string {
			all := slices.Clone(names)
			for _, name := range names {
				all = append(all, name+".retries")
			}
			slices.Sort(all)
			return all
		}), []string{"list-queues"}, nil},
	}
	for _, op := range []string{"Enqueue", "Depth", "DeadLetters", "Discard", "Resume", "Import", "Purge"} {
		table["makes the queue on "+op] = mutant{declares(op), []string{"missing-queue", "deleted-queue"}, []string{"depth", "dead-paging"}}
	}
	return table
}

// stopMutants are broken in Stop. Those that prefetch end what no Receive returned in
// another way than they should.
func stopMutants() mutantTable {
	// spare ends what no Receive returned.
	spare := func(o driver.Outcome) func(*driver.Delivery, bool) driver.Outcome {
		return func(_ *driver.Delivery, returned bool) driver.Outcome {
			if returned {
				return 0
			}
			return o
		}
	}
	prefetch := func(surplus func(*driver.Delivery, bool) driver.Outcome) *faults {
		return &faults{spiFaults: spiFaults{prefetch: true, surplus: surplus}}
	}
	var counted notes
	return mutantTable{
		"gives back what it prefetched": {prefetch(spare(driver.OutcomeRelease)), nil,
			[]string{"stop-receive", "stop-holds", "stop-gives-back", "stop-under-load"}},
		"does not stop": {&faults{spiFaults: spiFaults{stop: func(context.Context, driver.Consumer) error { return nil }}},
			[]string{"stop-receive", "stop-under-load", "stop-deleted-queue"}, []string{"stop-holds"}},
		"closes instead of stopping": {&faults{spiFaults: spiFaults{stop: func(ctx context.Context, c driver.Consumer) error { return c.Close(ctx) }}},
			[]string{"stop-holds", "stop-gives-back"}, []string{"stop-receive"}},
		"keeps what it prefetched":           {prefetch(spare(0)), []string{"stop-gives-back"}, []string{"stop-receive", "stop-holds"}},
		"drops what it prefetched":           {prefetch(spare(driver.OutcomeDone)), []string{"stop-gives-back"}, []string{"stop-receive"}},
		"gives back what it is to keep, too": {prefetch(func(*driver.Delivery, bool) driver.Outcome { return driver.OutcomeRelease }), []string{"stop-holds"}, []string{"stop-receive"}},
		"counts what it gives back": {&faults{
			hand: func(d *driver.Delivery) { d.Redeliveries += counted.of(d.ID) },
			spiFaults: spiFaults{prefetch: true, surplus: func(d *driver.Delivery, returned bool) driver.Outcome {
				if returned {
					return 0
				}
				counted.set(d.ID, 1)
				return driver.OutcomeRelease
			}},
		}, []string{"stop-gives-back"}, []string{"stop-receive"}},
	}
}

// otherMutants are broken in imports, purges and counts.
func otherMutants() mutantTable {
	importing := func(change func(*driver.Entry)) *faults { return &faults{spiFaults: spiFaults{entry: change}} }
	purging := func(purge func(context.Context, *memory.Driver, string, func() (int, error)) (int, error)) *faults {
		return &faults{spiFaults: spiFaults{purge: purge}}
	}
	counting := func(change func(*driver.Depth)) *faults { return &faults{depth: change} }
	var imported notes
	return mutantTable{
		"imports no history": {importing(func(e *driver.Entry) { e.Failures, e.LastError, e.Bounces, e.Deliveries = 0, "", 0, 0 }),
			[]string{"import-waiting", "import-scheduled", "import-dead", "import-goes-on", "import-list", "import-moves"}, []string{"import-again", "import-batch", "import-key"}},
		"imports no deliveries":   {importing(func(e *driver.Entry) { e.Deliveries = 0 }), []string{"import-waiting", "import-scheduled", "import-dead"}, []string{"import-again"}},
		"imports the time of now": {importing(func(e *driver.Entry) { e.EnqueuedAt = time.Now() }), []string{"import-waiting", "import-again", "import-dead"}, []string{"import-batch"}},
		"imports what is dead as waiting": {importing(func(e *driver.Entry) {
			if e.State == driver.StateDead {
				e.State = driver.StateWaiting
			}
		}), []string{"import-dead", "import-batch", "import-list"}, []string{"import-waiting", "import-scheduled"}},
		"imports early": {importing(func(e *driver.Entry) { e.Delay /= 20 }), []string{"import-scheduled", "import-list"}, []string{"import-waiting"}},
		"imports late": {importing(func(e *driver.Entry) {
			if e.Delay > 0 {
				e.Delay += 4 * time.Second
			}
		}), []string{"import-scheduled"}, []string{"import-waiting", "import-list"}},
		"imports no time of death": {importing(func(e *driver.Entry) { e.DeadAt = time.Time{} }), []string{"import-dead", "import-list", "import-moves"}, []string{"import-batch"}},
		"imports no reason":        {importing(func(e *driver.Entry) { e.Reason = "" }), []string{"import-dead", "import-list", "import-moves"}, []string{"import-batch"}},
		"imports no group":         {importing(func(e *driver.Entry) { e.Group = "" }), []string{"import-group", "import-waiting"}, []string{"import-batch", "import-key"}},
		"imports no job twice": {&faults{spiFaults: spiFaults{load: func(_ context.Context, _ *memory.Driver, _ string, e *driver.Entry, next func() driver.Result) driver.Result {
			if imported.of(e.ID) > 0 {
				return driver.Result{}
			}
			imported.set(e.ID, 1)
			return next()
		}}}, []string{"import-again"}, []string{"import-batch", "import-waiting"}},
		"remembers no import keys": {importing(func(e *driver.Entry) { e.ImportKey = "" }), []string{"import-once", "import-forget", "import-once-race"}, []string{"import-again", "import-key"}},
		"has one import key for a state": {importing(func(e *driver.Entry) {
			if e.ImportKey != "" {
				e.ImportKey += e.State.String()
			}
		}), []string{"import-once", "import-forget"}, []string{"import-once-race", "import-again"}},
		"takes keys when it imports": {&faults{spiFaults: spiFaults{load: func(ctx context.Context, d *memory.Driver, queue string, e *driver.Entry, next func() driver.Result) driver.Result {
			if e.State != driver.StateWaiting || e.DedupKey == "" {
				return next()
			}
			for _, r := range d.Enqueue(ctx, queue, []*driver.Message{&e.Message}) {
				return r
			}
			return driver.Result{}
		}}}, []string{"import-key", "import-again"}, []string{"import-batch", "import-group"}},

		"purges one job": {purging(func(ctx context.Context, d *memory.Driver, queue string, _ func() (int, error)) (int, error) {
			page, _, err := d.List(ctx, queue, driver.StateWaiting, "", 1)
			for _, e := range page {
				return 1, d.Delete(ctx, queue, e.ID)
			}
			return 0, err
		}), []string{"purge-waiting", "purge-many", "purge-group"}, []string{"delete"}},
		"purges scheduled jobs": {purging(func(ctx context.Context, d *memory.Driver, queue string, next func() (int, error)) (int, error) {
			page, _, _ := d.List(ctx, queue, driver.StateScheduled, "", 1000)
			for _, e := range page {
				_ = d.Delete(ctx, queue, e.ID)
			}
			return next()
		}), []string{"purge-waiting"}, []string{"purge-many", "purge-group"}},
		"purges dead letters": {purging(func(ctx context.Context, d *memory.Driver, queue string, next func() (int, error)) (int, error) {
			_, _ = d.Discard(ctx, queue, driver.Selection{All: true})
			return next()
		}), []string{"purge-waiting"}, []string{"purge-many", "purge-group"}},
		"miscounts what it purges": {purging(func(_ context.Context, _ *memory.Driver, _ string, next func() (int, error)) (int, error) {
			n, err := next()
			return n + 1, err
		}), []string{"purge-waiting", "purge-many", "purge-group"}, nil},

		"knows no age":                  {counting(func(d *driver.Depth) { d.Age = driver.UnknownAge }), nil, []string{"depth-age", "depth-due", "depth"}},
		"says that nothing has age":     {counting(func(d *driver.Depth) { d.Age = 0 }), []string{"depth-age"}, []string{"depth-due", "depth"}},
		"says that all is old":          {counting(func(d *driver.Depth) { d.Age += time.Hour }), []string{"depth-age"}, []string{"depth-due", "depth"}},
		"has an age when nothing waits": {counting(func(d *driver.Depth) { d.Age = max(d.Age, 500*time.Millisecond) }), []string{"depth-age"}, []string{"depth"}},
		"counts what is due as due":     {counting(func(d *driver.Depth) { d.Due, d.Scheduled, d.Waiting = d.Waiting, d.Scheduled+d.Waiting, 0 }), nil, []string{"depth-due"}},
		"does not count what is due":    {counting(func(d *driver.Depth) { d.Scheduled, d.Waiting = d.Scheduled+d.Waiting, 0 }), []string{"depth-due"}, nil},
		"counts all scheduled as due":   {counting(func(d *driver.Depth) { d.Due = d.Scheduled }), []string{"depth-due"}, []string{"depth"}},
	}
}

// keyMutants are broken in how long they remember a key.
func keyMutants() mutantTable {
	removals := []string{"dedup-discard", "dedup-delete", "dedup-delete-scheduled", "dedup-delete-dead", "dedup-purge"}
	window := func(d time.Duration) *faults {
		return &faults{store: changed(func(m *driver.Message) { m.DedupWithin = d })}
	}
	return mutantTable{
		"has one window for all keys":    {window(0), []string{"dedup-within"}, []string{"dedup", "dedup-window"}},
		"has a short window for all":     {window(time.Second), []string{"dedup-within", "dedup-window"}, []string{"dedup", "dedup-after-done"}},
		"keeps the keys of removed jobs": {keepsKeys(), append(slices.Clone(removals), "dedup-delete-queue"), []string{"dedup", "dedup-queues"}},
		"frees the keys of other jobs":   {freesKeys(), removals, []string{"dedup", "dedup-after-dead", "dedup-delete-queue"}},
	}
}

// keepsKeys remembers every key for good.
func keepsKeys() *faults {
	var mu sync.Mutex
	taken := make(map[string]string)
	return &faults{spiFaults: spiFaults{enqueue: func(queue string, all []*driver.Message, next func([]*driver.Message) []driver.Result) []driver.Result {
		mu.Lock()
		defer mu.Unlock()
		results := make([]driver.Result, len(all))
		for i, m := range all {
			key := queue + " " + m.DedupKey
			if of := taken[key]; of != "" && m.DedupKey != "" {
				results[i] = driver.Result{Duplicate: true, DuplicateOf: of}
				continue
			}
			taken[key] = m.ID
			if r := next([]*driver.Message{m}); r != nil {
				results[i] = r[0]
			}
		}
		return results
	}}}
}

// freesKeys frees the key of a job that is removed, also if another has it by now.
func freesKeys() *faults {
	var mu sync.Mutex
	keys, times := make(map[string]string), make(map[string]int)
	return &faults{
		store: changed(func(m *driver.Message) {
			mu.Lock()
			defer mu.Unlock()
			if key := m.DedupKey; key != "" {
				m.DedupKey = fmt.Sprintf("%s-%d", key, times[key])
				if keys[m.ID] == "" {
					keys[m.ID] = key
				}
			}
		}),
		spiFaults: spiFaults{removing: func(id string) {
			mu.Lock()
			defer mu.Unlock()
			times[keys[id]]++
		}},
	}
}
