package memory

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
)

var (
	errFull          = errors.New("max_bytes or max_jobs is reached")
	errGroupAndDelay = errors.New("a job cannot have both a group and a delay")
)

const hintFull = "let workers catch up, discard dead letters, or raise the broker's options"

// storeAll is Enqueue, and Import if there are entries, which are those of the
// messages.
func (d *base) storeAll(ctx context.Context, op, queue string, messages []*driver.Message, entries []*driver.Entry) []driver.Result {
	if len(messages) == 0 {
		return nil
	}
	if err := tooMany(op, queue, len(messages)); err != nil {
		return fault.Results(len(messages), err)
	}
	// The jobs are made before the lock is taken, to hold it for less time.
	var few [64]*job
	jobs := few[:0] // nil for those that are refused
	var results []driver.Result
	var bytes int64
	content, count := 0, 0
	for i, m := range messages {
		headers := m.HeaderSize()
		content += len(m.Body) + headers
		if err := d.broker.fits(op, queue, m, entryOf(entries, i), headers); err != nil {
			results = setResult(results, len(messages), i, driver.Result{Err: err})
			jobs = append(jobs, nil)
			continue
		}
		j := newJob(m, headers)
		jobs = append(jobs, j)
		bytes += j.cost(entryOf(entries, i))
		count++
	}
	if err := d.broker.tooHeavy(op, queue, content, len(messages)); err != nil {
		return fault.Results(len(messages), err)
	}
	q, now, reserved, err := d.beginReserved(ctx, op, queue, bytes, count)
	if err != nil {
		return fault.Results(len(messages), err)
	}
	results = q.storeEach(op, jobs, messages, entries, results, reserved, now)
	q.end(now)
	return results
}

// storeEach stores jobs, and returns results with what became of those that it
// did not store; reserved tells whether capacity for all was reserved. q.mu must be held.
func (q *queueState) storeEach(op string, jobs []*job, messages []*driver.Message, entries []*driver.Entry, results []driver.Result, reserved bool, now instant) []driver.Result {
	var unused int64 // of what was reserved
	duplicates := 0
	for i, j := range jobs {
		if j == nil {
			continue
		}
		e := entryOf(entries, i)
		if k := q.first(&j.msg, e); k != nil {
			results = setResult(results, len(jobs), i, driver.Result{Duplicate: true, DuplicateOf: k.id})
			unused += j.cost(e)
			duplicates++
			continue
		}
		if held, ok := q.held[j.msg.DedupKey]; ok && e == nil {
			err := faults.Refuse(op, q.name, driver.ErrKeyHeld, fmt.Errorf("for job %s", held.id), hintHeld)
			results = setResult(results, len(jobs), i, driver.Result{Err: err})
			unused += j.cost(e)
			duplicates++
			continue
		}
		if !reserved && !q.capacity.reserve(j.cost(e), 1) {
			err := faults.Refuse(op, q.name, driver.ErrFull, errFull, hintFull)
			results = setResult(results, len(jobs), i, driver.Result{Err: err})
			continue
		}
		if e == nil {
			q.store(j, messages[i], now)
		} else {
			q.restore(j, e, now)
		}
	}
	if reserved {
		q.capacity.free(unused, duplicates)
	}
	return results
}

// first is the remembered key that makes a message, or an entry if there is one, a duplicate,
// or nil. q.mu must be held.
func (q *queueState) first(m *driver.Message, e *driver.Entry) *rememberedKey {
	switch {
	case e != nil && e.ImportKey != "":
		return q.imports.find(e.ImportKey)
	case e == nil && m.DedupKey != "":
		return q.keys.find(m.DedupKey)
	}
	return nil
}

// entryOf is the entry of message i, or nil if it is enqueued.
func entryOf(entries []*driver.Entry, i int) *driver.Entry {
	if entries == nil {
		return nil
	}
	return entries[i]
}

// setResult puts the result of message i of n into results, which are nil as long
// as all are stored.
func setResult(results []driver.Result, n, i int, r driver.Result) []driver.Result {
	if results == nil {
		results = make([]driver.Result, n)
	}
	results[i] = r
	return results
}

// beginReserved begins an operation on a queue, with capacity reserved for all
// jobs; reserved tells whether there was enough. Ended dedup keys, also of other
// queues, are forgotten before it says that there was not.
func (d *base) beginReserved(ctx context.Context, op, queue string, bytes int64, jobs int) (q *queueState, now instant, reserved bool, err error) {
	q, now, err = d.begin(ctx, op, queue)
	if err != nil {
		return nil, 0, false, err
	}
	if d.broker.capacity.reserve(bytes, jobs) {
		return q, now, true, nil
	}
	q.mu.Unlock()
	d.broker.sweep()
	q, now, err = d.begin(ctx, op, queue)
	if err != nil {
		return nil, 0, false, err
	}
	return q, now, d.broker.capacity.reserve(bytes, jobs), nil
}

// store takes a new job into the queue. Capacity for it was reserved, and its key is
// not remembered. q.mu must be held.
func (q *queueState) store(j *job, m *driver.Message, now instant) {
	if m.DedupKey != "" {
		within := m.DedupWithin
		if within == 0 {
			within = q.window
		}
		j.keyNumber = q.keys.add(m.DedupKey, m.ID, now+within)
	}
	if m.Delay > 0 {
		q.admitLater(j, now+m.Delay)
		return
	}
	q.admit(j, now)
}

// restore takes a job into the queue as it was elsewhere. q.mu must be held.
func (q *queueState) restore(j *job, e *driver.Entry, now instant) {
	j.recordEntry(e)
	if e.ImportKey != "" {
		q.imports.add(e.ImportKey, e.ID, now+q.window)
	}
	switch {
	case e.State == driver.StateDead && e.DeadAt.IsZero():
		q.addDead(j, e.Reason, now)
	case e.State == driver.StateDead:
		q.addDead(j, e.Reason, q.clock.instant(e.DeadAt))
	case e.Delay > 0:
		q.admitLater(j, now+e.Delay)
	default:
		q.admit(j, now)
	}
}

// cost is the capacity that a new job takes, that of the key which it takes included: the
// dedup key, or the import key if it is imported as e.
func (j *job) cost(e *driver.Entry) int64 {
	key := j.msg.DedupKey
	if e != nil {
		key = e.ImportKey
	}
	if key == "" {
		return j.size
	}
	return j.size + keySize(key, j.msg.ID)
}

// tooMany is nil, or the error of a call with more messages than the limit.
func tooMany(op, queue string, n int) error {
	if n > maxBatch {
		return tooLarge(op, queue, fmt.Errorf("%d messages in a call, which takes %d", n, maxBatch))
	}
	return nil
}

// tooHeavy is nil, or the error of a call with more bytes than the limit. A
// message that is too large alone is not the call's fault.
func (b *Broker) tooHeavy(op, queue string, bytes, n int) error {
	if bytes > b.limits.EnqueueBytes && n > 1 {
		return tooLarge(op, queue, fmt.Errorf("%d bytes in a call, which takes %d", bytes, b.limits.EnqueueBytes))
	}
	return nil
}

// fits is nil, or why the broker does not take a message, or an entry if there is
// one. The core has refused it before, so that it is a mistake of the core's or of a
// test.
func (b *Broker) fits(op, queue string, m *driver.Message, e *driver.Entry, headers int) error {
	if e != nil {
		if err := faults.CheckEntry(queue, e, maxDelay, math.MaxInt32); err != nil {
			return err
		}
	}
	if err := faults.CheckDelay(op, queue, m, maxDelay); err != nil {
		return err
	}
	switch window := b.options.DedupWindow; {
	case len(m.Body) > b.limits.MaxBody:
		return tooLarge(op, queue, fmt.Errorf("a body of %d bytes; the limit is %d", len(m.Body), b.limits.MaxBody))
	case headers > maxHeaders:
		return tooLarge(op, queue, fmt.Errorf("headers of %d bytes; the limit is %d", headers, maxHeaders))
	case m.DedupWithin != 0 && (m.DedupWithin < minDedupWindow || m.DedupWithin > window):
		return wrongArgument(op, queue, fmt.Errorf("a dedup window of %s, which is not from %s to %s", m.DedupWithin, minDedupWindow, window))
	case m.Level < driver.Trivial || m.Level > driver.Critical:
		return wrongArgument(op, queue, fmt.Errorf("level %d is none", m.Level))
	case e == nil && m.Delay > 0 && m.Group != "":
		return faults.Refuse(op, queue, driver.ErrUnsupported, errGroupAndDelay, "")
	}
	return nil
}
