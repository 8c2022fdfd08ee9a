package conformance_test

import (
	"context"
	"errors"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/batch-go/batch/conformance"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
)

// on is a harness for a memory broker with faults.
func on(t *testing.T, f *faults) conformance.Harness {
	b, other := broker(t), broker(t)
	opener := func(b *memory.Broker) func(context.Context) (driver.Driver, error) {
		return func(context.Context) (driver.Driver, error) {
			d, err := b.Open()
			return &broken{d, f}, err
		}
	}
	return conformance.Harness{
		Open: opener(b), OpenOther: opener(other),
		Lease:   500 * time.Millisecond,
		Slack:   300 * time.Millisecond,
		Timeout: 20 * time.Second,

		Restart:      func(context.Context) error { b.Crash(); return nil },
		Transactions: transactionsOn(b, f), OtherTransactions: transactionsOn(other, f),
	}
}

// find is the case of that name.
func find(t *testing.T, name string) conformance.Case {
	t.Helper()
	for _, c := range conformance.Cases() {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("there is no case %s", name)
	return conformance.Case{}
}

func one(m *driver.Message) []*driver.Message { return []*driver.Message{m} }

// changed is one message with a change.
func changed(change func(*driver.Message)) func(*driver.Message) []*driver.Message {
	return func(m *driver.Message) []*driver.Message {
		c := *m
		change(&c)
		return one(&c)
	}
}

// hidden keeps a field of messages from the broker, and puts it back into the
// deliveries.
func hidden[T comparable](field func(*driver.Message) *T) *faults {
	var mu sync.Mutex
	kept := make(map[string]T)
	return &faults{
		store: changed(func(m *driver.Message) {
			mu.Lock()
			defer mu.Unlock()
			var none T
			kept[m.ID] = *field(m)
			*field(m) = none
		}),
		hand: func(d *driver.Delivery) {
			mu.Lock()
			defer mu.Unlock()
			*field(&d.Message) = kept[d.ID]
		},
	}
}

// everyTenth is true for every tenth call.
func everyTenth() func() bool {
	var n atomic.Int64
	return func() bool { return n.Add(1)%10 == 0 }
}

// mutant is a broken driver, with the cases that must find it and cases on what it does
// right, which it must pass.
type mutant struct {
	faults       *faults
	found, right []string
}

// mutantTable has mutants by what is wrong with them.
type mutantTable = map[string]mutant

// mutants are all broken drivers, made anew, with faults that have not counted yet.
func mutants() mutantTable {
	all := make(mutantTable)
	for _, table := range []mutantTable{coreMutants(), historyMutants(), queueMutants(), stopMutants(), otherMutants(), keyMutants(), txMutants()} {
		maps.Copy(all, table)
	}
	return all
}

// coreMutants are broken in what every driver has had from the beginning. It is long
// because it is one table.
func coreMutants() mutantTable {
	loses, doubles, quarter := everyTenth(), everyTenth(), everyTenth()
	return mutantTable{
		"none": {&faults{}, nil, []string{"exact-cover", "delay", "retry-delay", "priority-backlog", "headers", "attempts", "closed-driver"}},
		"loses every tenth job": {&faults{store: func(m *driver.Message) []*driver.Message {
			if loses() {
				return nil
			}
			return one(m)
		}}, []string{"enqueue-batch", "delay-many"}, []string{"dead-not-received", "headers"}},
		"stores every tenth job twice": {&faults{store: func(m *driver.Message) []*driver.Message {
			if doubles() {
				return []*driver.Message{m, m}
			}
			return one(m)
		}}, []string{"exact-cover"}, []string{"headers"}},
		"releases every tenth job that is done": {&faults{settle: func(s *driver.Settlement) {
			if s.Outcome == driver.OutcomeDone && quarter() {
				s.Outcome = driver.OutcomeRelease
			}
		}}, []string{"exact-cover"}, []string{"headers", "dead-paging"}},
		"delivers early": {&faults{store: changed(func(m *driver.Message) { m.Delay /= 20 })},
			[]string{"delay", "delay-mixed", "delay-many"}, []string{"retry-delay", "delay-longest"}},
		"delivers late": {&faults{store: changed(func(m *driver.Message) {
			if m.Delay > 0 {
				m.Delay += 4 * time.Second
			}
		})}, []string{"delay"}, []string{"retry-delay"}},
		"retries early": {&faults{settle: func(s *driver.Settlement) { s.Delay /= 20 }},
			[]string{"retry-delay", "retry-mixed", "retry-backoff", "snooze", "retry-after"}, []string{"delay", "retry-at-once"}},
		"retries late": {&faults{settle: func(s *driver.Settlement) { s.Delay += 4 * time.Second }},
			[]string{"retry-delay", "retry-backoff"}, []string{"delay", "release"}},
		"settles a retry as done": {&faults{settle: func(s *driver.Settlement) {
			if s.Outcome == driver.OutcomeRetry {
				s.Outcome = driver.OutcomeDone
			}
		}}, []string{"retry-at-once", "retry-longest"}, []string{"done-removes", "dead-paging"}},
		"settles dead as done": {&faults{settle: func(s *driver.Settlement) {
			if s.Outcome == driver.OutcomeDead {
				s.Outcome = driver.OutcomeDone
			}
		}}, []string{"permanent"}, []string{"release", "attempts"}},
		"counts a release as a failure": {&faults{settle: func(s *driver.Settlement) {
			if s.Outcome == driver.OutcomeRelease {
				s.Outcome, s.Failures = driver.OutcomeRetry, s.Delivery.Failures+1
			}
		}}, []string{"release", "drain"}, []string{"attempts"}},
		"drops headers": {&faults{store: changed(func(m *driver.Message) { m.Headers = nil })},
			[]string{"headers", "fields", "max-attempts"}, []string{"bodies", "exact-cover"}},
		"drops headers on redelivery": {&faults{hand: func(d *driver.Delivery) {
			if d.Deliveries > 1 {
				d.Headers = nil
			}
		}}, []string{"keeps-on-retry", "keeps-on-release", "keeps-on-loss"}, []string{"headers", "keeps-on-redrive"}},
		"drops the error's text": {&faults{settle: func(s *driver.Settlement) { s.Error = "" }},
			[]string{"history-text", "attempts", "max-attempts"}, []string{"headers"}},
		"reports settlements that it refused": {&faults{settled: func(error) error { return nil }},
			[]string{"settle-twice", "lost-settle"}, []string{"lost-extend"}},
		"does not extend": {&faults{extend: func(func() []error) []error { return nil }},
			[]string{"lease-extend", "lease-handler", "lease-buffered", "lost-extend"}, []string{"lease-expiry"}},
		"does not count lost holders": {&faults{hand: func(d *driver.Delivery) { d.Redeliveries = 0 }},
			[]string{"lease-expiry", "poison", "killers"}, []string{"release"}},
		"counts deliveries twice": {&faults{hand: func(d *driver.Delivery) { d.Deliveries *= 2 }},
			[]string{"fields", "attempts"}, []string{"headers-too-many"}},
		"receives for a second after the context ended": {&faults{receive: func(ctx context.Context, next func(context.Context) ([]*driver.Delivery, error)) ([]*driver.Delivery, error) {
			longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
			stop := context.AfterFunc(ctx, func() { time.AfterFunc(2*time.Second, cancel) })
			defer stop()
			defer cancel()
			all, err := next(longer)
			if err != nil && ctx.Err() != nil {
				err = ctx.Err()
			}
			return all, err
		}}, []string{"context-receive"}, []string{"fields"}},
		"names no broker":            {&faults{info: func(i *driver.Info) { i.Broker = "" }}, []string{"info"}, []string{"limits"}},
		"has no room for two limits": {&faults{info: func(i *driver.Info) { i.Limits.EnqueueBytes = i.Limits.MaxBody }}, []string{"limits"}, []string{"info"}},
		"counts one too many": {&faults{depth: func(d *driver.Depth) { d.Waiting++ }},
			[]string{"depth"}, []string{"dead-paging"}},
		"shows one page of dead letters": {&faults{letters: func(page []driver.DeadLetter, _ string) ([]driver.DeadLetter, string) { return page, "" }},
			[]string{"dead-paging"}, []string{"redrive-one"}},
		"redrives all for one": {&faults{redrive: func(which driver.Selection, next func(driver.Selection) (int, error)) (int, error) {
			return next(driver.Selection{All: which.All || len(which.IDs) > 0})
		}}, []string{"redrive-one"}, []string{"redrive-all", "discard-one"}},
		"redrives none": {&faults{redrive: func(driver.Selection, func(driver.Selection) (int, error)) (int, error) { return 0, nil }},
			[]string{"redrive-one", "redrive-all", "keeps-on-redrive"}, []string{"no-op"}},
		"declares after Close": {&faults{declare: func(next func() error) error {
			if err := next(); !errors.Is(err, driver.ErrClosed) {
				return err
			}
			return nil
		}}, []string{"closed-driver"}, []string{"closed-consumer"}},
		"deletes no queue": {&faults{deleteQueue: func(func() error) error { return nil }},
			[]string{"delete-queue"}, []string{"delete-missing"}},
		"ignores priority": {hidden(func(m *driver.Message) *driver.Level { return &m.Level }),
			[]string{"priority-backlog", "priority-late", "priority-prefetch"}, []string{"fields", "exact-cover"}},
		"ignores groups": {hidden(func(m *driver.Message) *string { return &m.Group }),
			[]string{"group-order", "group-retry", "group-loss", "group-random"}, []string{"group-names", "fields"}},
		"ignores dedup keys": {hidden(func(m *driver.Message) *string { return &m.DedupKey }),
			[]string{"dedup", "dedup-concurrent", "dedup-after-done"}, []string{"fields"}},
		"enqueues atomically one by one": {&faults{atomic: func(d driver.Driver, ctx context.Context, queue string, all []*driver.Message, _ func() error) error {
			for _, r := range d.Enqueue(ctx, queue, all) {
				if r.Duplicate {
					return &driver.Error{Driver: "broken", Op: "enqueue", Kind: driver.ErrDuplicate, Fate: driver.FateNotStored}
				}
				if r.Err != nil {
					return r.Err
				}
			}
			return nil
		}}, []string{"atomic-duplicate"}, []string{"atomic"}},
		"lists the first page only": {&faults{list: func(page []driver.Entry, _ string) ([]driver.Entry, string) { return page, "" }},
			[]string{"list-paging"}, []string{"find"}},
		"pauses nothing": {&faults{pause: func(func() error) error { return nil }, paused: func() (bool, error) { return true, nil }},
			[]string{"pause", "pause-elsewhere", "pause-survives"}, []string{"fields"}},
	}
}

func TestMutants(t *testing.T) {
	// Cases mostly wait: they are started before their subtests pause, as Run
	// does it. One that fails waits for what does not come, so it gets little
	// slack; one that passes does not wait, so it may have much.
	slots := make(chan struct{}, 16)
	start := func(t *testing.T, name string, f *faults, slack time.Duration) <-chan error {
		c, h, ctx := find(t, name), on(t, f), t.Context()
		h.Slack = slack
		result := make(chan error, 1)
		go func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			result <- c.Run(ctx, h)
		}()
		return result
	}
	for name, m := range mutants() {
		for _, right := range m.right {
			t.Run(name+"/passes-"+right, func(t *testing.T) {
				result := start(t, right, mutants()[name].faults, 2*time.Second) // with a count of its own
				t.Parallel()
				if err := <-result; err != nil {
					t.Errorf("the case must not find what is not its rule: %v", err)
				}
			})
		}
		for _, found := range m.found {
			t.Run(name+"/fails-"+found, func(t *testing.T) {
				result := start(t, found, mutants()[name].faults, 300*time.Millisecond)
				t.Parallel()
				err := <-result
				var v *conformance.Violation
				if !errors.As(err, &v) || v.Case != found {
					t.Errorf("the case did not find it: %v", err)
				}
			})
		}
	}
}
