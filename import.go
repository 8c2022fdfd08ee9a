package batch

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/batch-go/batch/driver"
)

// Import stores jobs that were on another queue, or on another broker, as they were
// there: waiting, scheduled or dead, with their history, as [ListJobs] and
// [DeadLetters.List] show it. It is for moving a queue, restoring a copy of one, and
// repairing jobs. A scheduled job is held back for its Delay, counted from the import, or
// until its DueAt if Delay is zero, by the clock of this process. A level, group or key
// that the broker has no capability for has to be cleared first. A Unique key is kept
// with the job, and neither checked nor taken: an import is never a duplicate, and
// importing a job again stores it twice, unless the entry has an ImportKey that was imported into
// the queue before: the result then says Duplicate, with the ID of the job that is stored. A driver
// that is no [driver.OnceImporter] refuses an ImportKey. The queue is declared first, as for an enqueue.
// ctx bounds the call, and the queue's enqueue timeout each of its requests: when one has
// got no answer in that time, no other is made.
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
		e.DedupWithin, e.LastError = 0, shorten(e.LastError)
		if e.State == StateScheduled && e.Delay == 0 && !e.DueAt.IsZero() {
			e.Delay = max(time.Until(e.DueAt), 0)
		}
		results[i].ID = e.ID
		if err := checkEntry(q.driver, &q.producer.info, &e); err != nil {
			results[i].Err = fmt.Errorf("entry %d of %d, job %s: %w", i+1, len(entries), quote(e.ID), err)
			continue
		}
		valid = append(valid, &e)
		index = append(index, i)
	}
	call := importCall{driver: q.driver, producer: q.producer}
	for len(valid) > 0 {
		n := fitting(valid, q.producer.info.Limits)
		for k, r := range call.send(ctx, valid[:n]) {
			if r.ID == "" {
				r.ID = results[index[k]].ID
			}
			results[index[k]] = r
		}
		valid, index = valid[n:], index[n:]
	}
	return results, manyError(results)
}

// importCall sends the entries of one Import.
type importCall struct {
	driver   Importer
	producer *producer
	over     error // why nothing more is sent
}

// send stores entries that fit in one request, and returns a result for each. Those that
// are certainly not stored, because the broker cannot be reached or the queue was deleted, are sent
// again within the enqueue timeout.
func (c *importCall) send(ctx context.Context, entries []*driver.Entry) []Result {
	ctx, bound := c.producer.sender.deadline(ctx)
	defer bound.end()
	results := make([]Result, len(entries))
	left := make([]int, len(entries)) // indexes of those that are to be sent
	for i := range left {
		left[i] = i
	}
	if c.over == nil {
		c.over = c.producer.declaration.ready(ctx)
	}
	again := resend{declaration: c.producer.declaration}
	for len(left) > 0 && c.over == nil {
		var last error
		if left, last = c.try(ctx, entries, results, left, &again); len(left) > 0 {
			if gaveUp := again.await(ctx); gaveUp != nil {
				c.over = because(gaveUp, last)
			}
		}
	}
	c.fail(entries, results, left, FateNotStored, c.over)
	failed := slices.ContainsFunc(results, func(r Result) bool { return r.Err != nil })
	if c.over == nil && ctx.Err() != nil && failed {
		c.over = context.Cause(ctx) // otherwise each request would wait as long for no answer
	}
	return results
}

// try makes one request for the entries that are left, and returns those that may be
// sent again, and why.
func (c *importCall) try(ctx context.Context, entries []*driver.Entry, all []Result, left []int, resend *resend) (again []int, last error) {
	request := make([]*driver.Entry, len(left))
	for k, i := range left {
		request[k] = entries[i]
	}
	hooks := &c.producer.hooks
	start := hooks.now()
	resend.begin()
	results := c.driver.Import(ctx, c.producer.queue, request)
	onJobsCall(ctx, hooks, OpImport, c.producer.queue, request, ofEntry, start, firstFailure(results))
	for k := range left {
		switch r := resultOf(results, k, len(left)); {
		case r.Err == nil:
			all[left[k]].Duplicate, all[left[k]].ID = r.Duplicate, r.DuplicateOf
		case resend.failed(r.Err):
			again, last = append(again, left[k]), r.Err
		default:
			c.fail(entries, all, left[k:k+1], driver.FateOf(r.Err), r.Err)
		}
	}
	return again, last
}

// fail sets the errors of some entries.
func (c *importCall) fail(entries []*driver.Entry, results []Result, some []int, fate Fate, err error) {
	for _, i := range some {
		results[i].Err = &EnqueueError{ID: entries[i].ID, Queue: c.producer.queue, Fate: fate, Err: err}
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
		if n < 0 || n > math.MaxInt32 {
			return invalid("history", fmt.Sprintf("of %d failures, %d bounces, %d deliveries", e.Failures, e.Bounces, e.Deliveries), fmt.Sprintf("of counts from 0 to %d", math.MaxInt32))
		}
	}
	if e.Reason != "" && checkContentType(e.Reason) != nil {
		return invalid("reason", quote(e.Reason), fmt.Sprintf("at most %d bytes of printable ASCII", maxToken))
	}
	if e.ImportKey != "" {
		if err := checkToken("ImportKey", e.ImportKey); err != nil {
			return err
		}
		if !has[driver.OnceImporter](d) {
			return invalid("ImportKey", quote(e.ImportKey), "empty on "+info.Driver+", which remembers none")
		}
	}
	m := e.Message
	m.Delay = 0 // an import holds jobs back on every driver
	if err := checkSupport(d, &m, ""); err != nil {
		return err
	}
	return checkSize(&e.Message, info)
}
