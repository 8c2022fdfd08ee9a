package nats

import (
	"context"
	"errors"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
)

// Import stores jobs with their history, each in the state of its entry. They are
// stored as Enqueue and Settle store them, but nothing is remembered of a dedup
// key. Those with an import key are stored in atomic batches together with the keys.
func (d *Driver) Import(ctx context.Context, queue string, entries []*driver.Entry) []driver.Result {
	const op = "import"
	if len(entries) == 0 {
		return nil
	}
	if err := d.life.Begin(ctx); err != nil {
		return fault.Results(len(entries), fail(op, queue, err))
	}
	defer d.life.End()
	n := d.names(queue)
	now, err := d.importTime(ctx, n, entries)
	if err != nil {
		return fault.Results(len(entries), fail(op, queue, err))
	}
	results := make([]driver.Result, len(entries))
	stored, index := make([]entry, 0, len(entries)), make([]int, 0, len(entries))
	var claims []claim
	var keyed []int
	failed := false
	for i, e := range entries {
		made, err := d.imported(n, e, now)
		if err != nil {
			results[i].Err, failed = fail(op, queue, err), true
			continue
		}
		if e.ImportKey != "" {
			claims = append(claims, claim{n.imported(e.ImportKey), e.ID, d.options.DedupWindow, func(string) entry { return made }})
			keyed = append(keyed, i)
			continue
		}
		stored, index = append(stored, made), append(index, i)
	}
	if len(stored) > 0 && d.storeEach(ctx, op, n, stored, index, results) {
		failed = true
	}
	if len(claims) > 0 {
		d.storeClaims(ctx, op, n, claims, keyed, results)
		failed = true // the results say what was a duplicate
	}
	if !failed {
		return nil
	}
	return results
}

// ForgetImports removes the messages of the keys.
func (d *Driver) ForgetImports(ctx context.Context, queue string, keys []string) error {
	const op = "forget imports"
	if len(keys) == 0 {
		return nil
	}
	if err := d.life.Begin(ctx); err != nil {
		return fail(op, queue, err)
	}
	defer d.life.End()
	n := d.names(queue)
	requests := make([]getRequest, len(keys))
	for i, key := range keys {
		requests[i].Last = n.imported(key)
	}
	messages, err := d.getAll(ctx, n, requests)
	if err != nil {
		return fail(op, queue, d.whyUnanswered(ctx, n, err))
	}
	var seqs []uint64
	for _, m := range messages {
		if m != nil {
			seqs = append(seqs, m.Seq)
		}
	}
	for _, err := range d.remove(ctx, n, seqs) {
		if err != nil && !errors.Is(err, errTaken) {
			return fail(op, queue, err)
		}
	}
	return nil
}

// importTime is the server's time if one of the entries needs it.
func (d *Driver) importTime(ctx context.Context, n *names, entries []*driver.Entry) (moment, error) {
	for _, e := range entries {
		if e.Delay > 0 || e.State == driver.StateDead && e.DeadAt.IsZero() {
			return d.askTime(ctx, n)
		}
	}
	return moment{}, nil
}

// imported is what is stored of e. A dead letter that does not say when it died
// died now.
func (d *Driver) imported(n *names, e *driver.Entry, now moment) (entry, error) {
	if err := d.tooLarge(&e.Message); err != nil {
		return entry{}, err
	}
	if err := faults.CheckEntry(n.queue, e, maxDelay, maxCount); err != nil {
		return entry{}, err
	}
	j := job{
		Message: e.Message, failures: e.Failures, lastError: e.LastError, bounces: e.Bounces, bouncedSince: e.BouncedSince,
		deliveries: e.Deliveries,
	}
	switch e.State {
	case driver.StateScheduled:
		return n.entry(&j, dueAfter(now, e.Delay)), nil
	case driver.StateDead:
		j.reason, j.diedAt = e.Reason, e.DeadAt
		if j.diedAt.IsZero() {
			j.diedAt = now.server
		}
		return n.deadEntry(&j), nil
	}
	return n.entry(&j, moment{}), nil
}
