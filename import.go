package batch

import (
	"context"
	"errors"
	"fmt"

	"github.com/batch-go/batch/driver"
)

// Import stores jobs that were on another queue, or on another broker, as they were
// there: waiting, scheduled or dead, with their history, as [ListJobs] and
// [DeadLetters.List] show it. It is for moving a queue, restoring a copy of one, and
// repairing jobs. A scheduled job is held back for its Delay, counted from the import;
// DueAt is not read. A Unique key is kept with the job, and neither checked nor taken:
// an import is never a duplicate, and importing a job again stores it twice. The queue
// is declared first, as for an enqueue.
//
// It returns a result for each entry, in their order, and a [*ManyError] if any of
// them failed. Every entry is checked before the first is sent. One that is out of
// bounds, or needs a capability that the broker lacks, is not sent; its error wraps
// [ErrInvalid] or [ErrCapability].
func Import[D Importer](ctx context.Context, q *Queue[D], entries []Entry) ([]Result, error) {
	results := make([]Result, len(entries))
	var valid []*driver.Entry
	var index []int // of the results
	for i := range entries {
		e := entries[i] // a copy, without what is part of an enqueue only
		e.DedupWithin = 0
		results[i].ID = e.ID
		if err := checkEntry(q.driver, &q.producer.info, &e); err != nil {
			results[i].Err = fmt.Errorf("entry %d of %d, job %s: %w", i+1, len(entries), quote(e.ID), err)
			continue
		}
		valid = append(valid, &e)
		index = append(index, i)
	}
	call := importCall{driver: q.driver, queue: q.name, producer: q.producer}
	for len(valid) > 0 {
		n := fitting(valid, q.producer.info.Limits)
		for k, err := range call.send(ctx, valid[:n]) {
			if err != nil {
				results[index[k]].Err = err
			}
		}
		valid, index = valid[n:], index[n:]
	}
	return results, manyError(results)
}

// importCall sends the entries of one Import.
type importCall struct {
	driver   Importer
	queue    string
	producer *producer

	declared bool
	over     error // why nothing more is sent
}

// send stores entries that fit in one request, and returns an error for each, or nil
// for one that is stored. Those that are certainly not stored, because the broker
// cannot be reached or the queue was deleted, are sent again within the enqueue timeout.
func (c *importCall) send(ctx context.Context, entries []*driver.Entry) []error {
	ctx, cancel := c.producer.sender.deadline(ctx)
	defer cancel()
	errs := make([]error, len(entries))
	left := make([]int, len(entries)) // indexes of those that are to be sent
	for i := range left {
		left[i] = i
	}
	var b backoff
	for len(left) > 0 {
		if c.over != nil {
			c.fail(entries, errs, left, FateNotStored, c.over)
			return errs
		}
		var last error
		left, last = c.try(ctx, entries, errs, left)
		if len(left) > 0 && !b.wait(ctx) {
			c.over = because(context.Cause(ctx), last)
		}
	}
	return errs
}

// try makes one request for the entries that are left, and returns those that may be
// sent again, and why.
func (c *importCall) try(ctx context.Context, entries []*driver.Entry, errs []error, left []int) (again []int, last error) {
	if !c.declared {
		if err := c.driver.Declare(ctx, c.queue); err != nil {
			if !errors.Is(err, ErrUnavailable) {
				c.over = err
			}
			return left, err
		}
		c.declared = true
	}
	request := make([]*driver.Entry, len(left))
	for k, i := range left {
		request[k] = entries[i]
	}
	for k, r := range c.driver.Import(ctx, c.queue, request) {
		if r.Err == nil {
			continue
		}
		missing := errors.Is(r.Err, ErrNotFound)
		if missing {
			c.declared = false
		}
		if fate := driver.FateOf(r.Err); fate == FateNotStored && (missing || errors.Is(r.Err, ErrUnavailable)) {
			again, last = append(again, left[k]), r.Err
		} else {
			c.fail(entries, errs, left[k:k+1], fate, r.Err)
		}
	}
	return again, last
}

// fail sets the errors of some entries.
func (c *importCall) fail(entries []*driver.Entry, errs []error, some []int, fate Fate, err error) {
	for _, i := range some {
		errs[i] = &EnqueueError{ID: entries[i].ID, Queue: c.queue, Fate: fate, Err: err}
	}
}

// fitting is how many of the entries, at least one, fit in one request.
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
