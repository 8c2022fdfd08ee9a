package batch

import (
	"context"
	"fmt"

	"github.com/batch-go/batch/driver"
)

// Import stores jobs that were on another queue, or on another broker, as they were
// there: waiting, scheduled or dead, with their history, as [ListJobs] and
// [DeadLetters.List] show it. It is for moving a queue, restoring a copy of one, and
// repairing jobs. A scheduled job is held back for its Delay, counted from the import;
// DueAt is not read. A Unique key is kept with the job, and neither checked nor taken:
// an import is never a duplicate, and importing a job again stores it twice.
//
// It returns a result for each entry, in their order, and a [*ManyError] if any of
// them failed. Every entry is checked before the first is sent. One that is out of
// bounds, or needs a capability that the broker lacks, is not sent; its error wraps
// [ErrInvalid] or [ErrCapability].
func Import[D Importer](ctx context.Context, q *Queue[D], entries []Entry) ([]Result, error) {
	return importEntries(ctx, q.driver, q.driver, q.name, entries, q.driver.Declare)
}

// importEntries is [Import] on a driver whose Importer is to. declare is called before
// the first entry is sent.
func importEntries(ctx context.Context, d Driver, to driver.Importer, queue string, entries []Entry, declare func(context.Context, string) error) ([]Result, error) {
	info := d.Info()
	results := make([]Result, len(entries))
	var valid []*driver.Entry
	var index []int // of the results
	for i := range entries {
		e := entries[i] // a copy: the Importer does not get what it must not read
		e.DedupWithin = 0
		results[i].ID = e.ID
		if err := checkEntry(d, &info, &e); err != nil {
			results[i].Err = fmt.Errorf("entry %d of %d, job %s: %w", i+1, len(entries), quote(e.ID), err)
			continue
		}
		valid = append(valid, &e)
		index = append(index, i)
	}
	if len(valid) > 0 {
		if err := declare(ctx, queue); err != nil {
			for k, e := range valid {
				results[index[k]].Err = &EnqueueError{ID: e.ID, Queue: queue, Fate: FateNotStored, Err: err}
			}
			valid = nil
		}
	}
	for len(valid) > 0 {
		n := fitting(valid, info.Limits)
		for k, r := range to.Import(ctx, queue, valid[:n]) {
			if r.Err != nil {
				results[index[k]].Err = &EnqueueError{ID: valid[k].ID, Queue: queue, Fate: driver.FateOf(r.Err), Err: r.Err}
			}
		}
		valid, index = valid[n:], index[n:]
	}
	return results, manyError(results)
}

// manyError is the error of a call with these results, or nil.
func manyError(results []Result) error {
	var failed ManyError
	for i := range results {
		if err := results[i].Err; err != nil {
			failed.add(err)
		}
	}
	if failed.Unconfirmed == 0 {
		return nil
	}
	failed.Total = len(results)
	return &failed
}

// fitting is how many of the entries, at least one, fit in one call.
func fitting(entries []*driver.Entry, l driver.Limits) int {
	n, size := 0, 0
	for n < len(entries) && n < l.EnqueueBatch {
		if size += entries[n].Size(); n > 0 && size > l.EnqueueBytes {
			break
		}
		n++
	}
	return n
}

// checkEntry refuses an entry that the driver cannot store as it is.
func checkEntry(d Driver, info *driver.Info, e *Entry) error {
	if err := checkMessage(&e.Message); err != nil {
		return err
	}
	if e.State < StateWaiting || e.State > StateDead {
		return invalid("state", fmt.Sprint(int(e.State)), "one of StateWaiting, StateScheduled, StateDead")
	}
	if most := info.Limits.MaxRetryDelay; e.Delay < 0 || e.Delay > most || e.Delay != 0 && e.State != StateScheduled {
		return invalid("Delay", e.Delay.String(), fmt.Sprintf("zero, or at most %s for a scheduled job on %s", most, info.Driver))
	}
	for _, n := range []int{e.Failures, e.Bounces, e.Deliveries} {
		if n < 0 {
			return invalid("history", fmt.Sprintf("of %d failures, %d bounces, %d deliveries", e.Failures, e.Bounces, e.Deliveries), "of counts that are not negative")
		}
	}
	m := e.Message
	m.Delay = 0 // an import holds jobs back on every driver
	if err := checkSupport(d, &m); err != nil {
		return err
	}
	return checkSize(&e.Message, info)
}

// ListQueues returns the names of the broker's queues, sorted: those that were
// declared by batch, by this or another program and through this type of driver. Its
// cost may grow with all that the broker holds.
func ListQueues[D QueueLister](ctx context.Context, d D) ([]string, error) {
	if err := checkDriver(d); err != nil {
		return nil, err
	}
	return d.ListQueues(ctx)
}

// Purge removes all waiting jobs of a queue for good, and returns how many. Scheduled
// and running jobs and dead letters stay, and workers go on. If the queue does not
// exist, the error wraps [ErrNotFound].
func Purge[D Purger](ctx context.Context, q *Queue[D]) (int, error) {
	return q.driver.Purge(ctx, q.name)
}
