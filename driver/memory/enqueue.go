package memory

import (
	"context"
	"errors"
	"fmt"

	"github.com/batch-go/batch/driver"
)

var (
	errNoRoom        = errors.New("max_bytes or max_jobs is reached")
	errGroupAndDelay = errors.New("a job cannot have both a group and a delay")
)

const hintFull = "let workers catch up, discard dead letters, or raise the broker's options"

// Enqueue stores messages, each for itself, under one lock.
func (d *Driver) Enqueue(ctx context.Context, queue string, messages []*driver.Message) []driver.Result {
	if len(messages) == 0 {
		return nil
	}
	if err := tooMany("enqueue", queue, len(messages)); err != nil {
		return eachResult(len(messages), err)
	}
	var results []driver.Result
	set := func(i int, r driver.Result) {
		if results == nil {
			results = make([]driver.Result, len(messages))
		}
		results[i] = r
	}
	// The jobs are made before the lock is taken, to hold it for less time.
	var few [64]*job
	jobs := few[:0]
	var bytes int64
	content, count := 0, 0
	for i, m := range messages {
		headers := m.HeaderSize()
		content += len(m.Body) + headers
		if err := d.b.fits("enqueue", queue, m, headers); err != nil {
			set(i, driver.Result{Err: err})
			jobs = append(jobs, nil)
			continue
		}
		j := newJob(m, headers)
		jobs = append(jobs, j)
		bytes += j.cost()
		count++
	}
	if err := d.b.tooHeavy("enqueue", queue, content, len(messages)); err != nil {
		return eachResult(len(messages), err)
	}
	q, now, whole, err := d.enter(ctx, "enqueue", queue, bytes, count)
	if err != nil {
		return eachResult(len(messages), err)
	}
	var spare int64
	spareJobs := 0
	for i, j := range jobs {
		if j == nil {
			continue
		}
		if key := j.msg.DedupKey; key != "" {
			if mark := q.marks.of(key); mark != nil {
				set(i, driver.Result{Duplicate: true, DuplicateOf: mark.id})
				spare += j.cost()
				spareJobs++
				continue
			}
		}
		if !whole && !d.b.room.take(j.cost(), 1) {
			set(i, driver.Result{Err: refuse("enqueue", queue, driver.ErrFull, errNoRoom, hintFull)})
			continue
		}
		q.store(j, messages[i], now)
	}
	if whole {
		d.b.room.free(spare, spareJobs)
	}
	q.leave(now)
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
		return refuse(op, queue, driver.ErrDuplicate, fmt.Errorf("of job %s", of), "")
	}
	for i, m := range messages {
		headers := m.HeaderSize()
		if err := d.b.fits(op, queue, m, headers); err != nil {
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
	if err := d.b.tooHeavy(op, queue, content, len(messages)); err != nil {
		return err
	}
	q, now, whole, err := d.enter(ctx, op, queue, bytes, len(jobs))
	if err != nil {
		return err
	}
	defer q.leave(now)
	for key := range keys {
		if mark := q.marks.of(key); mark != nil {
			if whole {
				d.b.room.free(bytes, len(jobs))
			}
			return duplicate(mark.id)
		}
	}
	if !whole {
		return refuse(op, queue, driver.ErrFull, errNoRoom, hintFull)
	}
	for i, j := range jobs {
		q.store(j, messages[i], now)
	}
	return nil
}

// enter locks the queue and takes room for all; whole tells whether there was.
// Ended dedup keys, also of other queues, make room before a refusal.
func (d *Driver) enter(ctx context.Context, op, queue string, bytes int64, jobs int) (q *queue, now instant, whole bool, err error) {
	q, now, err = d.lock(ctx, op, queue)
	if err != nil {
		return nil, 0, false, err
	}
	if d.b.room.take(bytes, jobs) {
		return q, now, true, nil
	}
	q.mu.Unlock()
	d.b.sweep()
	q, now, err = d.lock(ctx, op, queue)
	if err != nil {
		return nil, 0, false, err
	}
	return q, now, d.b.room.take(bytes, jobs), nil
}

// store takes a job into the queue. Room for it was taken, and its key is not
// remembered. q.mu must be held.
func (q *queue) store(j *job, m *driver.Message, now instant) {
	if j.msg.DedupKey != "" {
		q.marks.add(j.msg.DedupKey, j.msg.ID, now+q.b.options.DedupWindow)
	}
	if m.Delay > 0 {
		q.schedule(j, now+m.Delay)
		return
	}
	q.admit(j)
}

// cost is what a new job takes of the room, its mark included.
func (j *job) cost() int64 {
	if j.msg.DedupKey == "" {
		return j.size
	}
	return j.size + markSize(j.msg.DedupKey, j.msg.ID)
}

// tooMany and tooHeavy are nil, or the error of a call that is larger than the
// limits. A message that is too large alone is not the call's fault.
func tooMany(op, queue string, n int) error {
	if n > maxBatch {
		return refuse(op, queue, driver.ErrTooLarge, fmt.Errorf("%d messages in a call, which takes %d", n, maxBatch), "")
	}
	return nil
}

func (b *Broker) tooHeavy(op, queue string, bytes, n int) error {
	if bytes > b.limits.EnqueueBytes && n > 1 {
		return refuse(op, queue, driver.ErrTooLarge, fmt.Errorf("%d bytes in a call, which takes %d", bytes, b.limits.EnqueueBytes), "")
	}
	return nil
}

// fits is nil, or why the broker does not take a message. The core has refused
// it before, so that it is a mistake of the core's or of a test.
func (b *Broker) fits(op, queue string, m *driver.Message, headers int) error {
	switch {
	case len(m.Body) > b.limits.MaxBody:
		return refuse(op, queue, driver.ErrTooLarge, fmt.Errorf("a body of %d bytes; the limit is %d", len(m.Body), b.limits.MaxBody), "")
	case headers > maxHeaders:
		return refuse(op, queue, driver.ErrTooLarge, fmt.Errorf("headers of %d bytes; the limit is %d", headers, maxHeaders), "")
	case m.Delay < 0 || m.Delay > maxDelay:
		return refuse(op, queue, driver.ErrTooLarge, fmt.Errorf("a delay of %s; the limit is %s", m.Delay, maxDelay), "")
	case m.Level < driver.Trivial || m.Level > driver.Critical:
		return refuse(op, queue, driver.ErrConfig, fmt.Errorf("level %d is none", m.Level), "")
	case m.Delay > 0 && m.Group != "":
		return refuse(op, queue, driver.ErrUnsupported, errGroupAndDelay, "")
	}
	return nil
}

func eachResult(n int, err error) []driver.Result {
	results := make([]driver.Result, n)
	for i := range results {
		results[i].Err = err
	}
	return results
}
