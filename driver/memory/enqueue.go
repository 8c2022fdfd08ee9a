package memory

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
)

var (
	errFull          = errors.New("max_bytes or max_jobs is reached")
	errGroupAndDelay = errors.New("a job cannot have both a group and a delay")
	errCapability    = errors.New("a priority, delay, dedup key or group needs a capability")
)

const hintFull = "let workers catch up, discard dead letters, or raise the broker's options"

// Enqueue stores messages under one lock. Each may fail on its own.
func (d *Driver) Enqueue(ctx context.Context, queue string, messages []*driver.Message) []driver.Result {
	return d.enqueue(ctx, queue, messages)
}

// Enqueue is as on [Driver], except that it refuses all messages with
// driver.ErrUnsupported if one of them asks for a capability.
func (p *Portable) Enqueue(ctx context.Context, queue string, messages []*driver.Message) []driver.Result {
	for _, m := range messages {
		if m.Level != driver.Normal || m.Delay != 0 || m.DedupKey != "" || m.Group != "" {
			return fault.Results(len(messages), faults.Refuse("enqueue", queue, driver.ErrUnsupported, errCapability, ""))
		}
	}
	return p.enqueue(ctx, queue, messages)
}

// enqueue is Enqueue on both types.
func (d *base) enqueue(ctx context.Context, queue string, messages []*driver.Message) []driver.Result {
	if len(messages) == 0 {
		return nil
	}
	if err := tooMany("enqueue", queue, len(messages)); err != nil {
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
		if err := d.broker.fits("enqueue", queue, m, headers); err != nil {
			results = setResult(results, len(messages), i, driver.Result{Err: err})
			jobs = append(jobs, nil)
			continue
		}
		j := newJob(m, headers)
		jobs = append(jobs, j)
		bytes += j.cost()
		count++
	}
	if err := d.broker.tooHeavy("enqueue", queue, content, len(messages)); err != nil {
		return fault.Results(len(messages), err)
	}
	q, now, reserved, err := d.beginReserved(ctx, "enqueue", queue, bytes, count)
	if err != nil {
		return fault.Results(len(messages), err)
	}
	results = q.storeEach(jobs, messages, results, reserved, now)
	q.end(now)
	return results
}

// storeEach stores jobs, and returns results with what became of those that it
// did not store; reserved tells whether capacity for all was reserved. q.mu must
// be held.
func (q *queueState) storeEach(jobs []*job, messages []*driver.Message, results []driver.Result, reserved bool, now instant) []driver.Result {
	var unused int64 // of what was reserved
	duplicates := 0
	for i, j := range jobs {
		if j == nil {
			continue
		}
		if j.msg.DedupKey != "" {
			if k := q.keys.find(j.msg.DedupKey); k != nil {
				results = setResult(results, len(jobs), i, driver.Result{Duplicate: true, DuplicateOf: k.id})
				unused += j.cost()
				duplicates++
				continue
			}
		}
		if !reserved && !q.capacity.reserve(j.cost(), 1) {
			err := faults.Refuse("enqueue", q.name, driver.ErrFull, errFull, hintFull)
			results = setResult(results, len(jobs), i, driver.Result{Err: err})
			continue
		}
		q.store(j, messages[i].Delay, now)
	}
	if reserved {
		q.capacity.free(unused, duplicates)
	}
	return results
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

// EnqueueAtomic stores all messages or none, under one lock.
func (d *Driver) EnqueueAtomic(ctx context.Context, queue string, messages []*driver.Message) error {
	const op = "enqueue atomic"
	if len(messages) == 0 {
		return nil
	}
	if err := tooMany(op, queue, len(messages)); err != nil {
		return err
	}
	jobs := make([]*job, len(messages))
	var bytes int64
	content := 0
	var keys map[string]string
	duplicate := func(of string) error {
		return faults.Refuse(op, queue, driver.ErrDuplicate, fmt.Errorf("of job %s", of), "")
	}
	for i, m := range messages {
		headers := m.HeaderSize()
		if err := d.broker.fits(op, queue, m, headers); err != nil {
			return err
		}
		content += len(m.Body) + headers
		jobs[i] = newJob(m, headers)
		bytes += jobs[i].cost()
		if m.DedupKey == "" {
			continue
		}
		if of, ok := keys[m.DedupKey]; ok {
			return duplicate(of)
		}
		if keys == nil {
			keys = make(map[string]string)
		}
		keys[m.DedupKey] = m.ID
	}
	if err := d.broker.tooHeavy(op, queue, content, len(messages)); err != nil {
		return err
	}
	q, now, reserved, err := d.beginReserved(ctx, op, queue, bytes, len(jobs))
	if err != nil {
		return err
	}
	defer q.end(now)
	for key := range keys {
		if k := q.keys.find(key); k != nil {
			if reserved {
				d.broker.capacity.free(bytes, len(jobs))
			}
			return duplicate(k.id)
		}
	}
	if !reserved {
		return faults.Refuse(op, queue, driver.ErrFull, errFull, hintFull)
	}
	for i, j := range jobs {
		q.store(j, messages[i].Delay, now)
	}
	return nil
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

// store takes a job into the queue. Capacity for it was reserved, and its key is
// not remembered. q.mu must be held.
func (q *queueState) store(j *job, delay time.Duration, now instant) {
	if j.msg.DedupKey != "" {
		q.keys.add(j.msg.DedupKey, j.msg.ID, now+q.window)
	}
	if delay > 0 {
		q.schedule(j, now+delay)
		return
	}
	q.admit(j)
}

// cost is the capacity that a new job takes, its dedup key included.
func (j *job) cost() int64 {
	if j.msg.DedupKey == "" {
		return j.size
	}
	return j.size + keySize(j.msg.DedupKey, j.msg.ID)
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

// fits is nil, or why the broker does not take a message. The core has refused
// it before, so that it is a mistake of the core's or of a test.
func (b *Broker) fits(op, queue string, m *driver.Message, headers int) error {
	switch {
	case len(m.Body) > b.limits.MaxBody:
		return tooLarge(op, queue, fmt.Errorf("a body of %d bytes; the limit is %d", len(m.Body), b.limits.MaxBody))
	case headers > maxHeaders:
		return tooLarge(op, queue, fmt.Errorf("headers of %d bytes; the limit is %d", headers, maxHeaders))
	case m.Delay < 0 || m.Delay > maxDelay:
		return tooLarge(op, queue, fmt.Errorf("a delay of %s; the limit is %s", m.Delay, maxDelay))
	case m.Level < driver.Trivial || m.Level > driver.Critical:
		return wrongArgument(op, queue, fmt.Errorf("level %d is none", m.Level))
	case m.Delay > 0 && m.Group != "":
		return faults.Refuse(op, queue, driver.ErrUnsupported, errGroupAndDelay, "")
	}
	return nil
}
