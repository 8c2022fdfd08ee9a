package memory

import (
	"context"
	"errors"
	"fmt"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
)

// errCapability says what a handle without capabilities refuses.
var errCapability = errors.New("a priority, delay, dedup key or group needs a capability")

// Enqueue stores messages under one lock. Each may fail on its own.
func (d *Driver) Enqueue(ctx context.Context, queue string, messages []*driver.Message) []driver.Result {
	return d.storeAll(ctx, "enqueue", queue, messages, nil)
}

// Enqueue is as on [Driver], except that it refuses all messages with
// driver.ErrUnsupported if one of them asks for a capability.
func (p *Portable) Enqueue(ctx context.Context, queue string, messages []*driver.Message) []driver.Result {
	for _, m := range messages {
		if m.Level != driver.Normal || m.Delay != 0 || m.DedupKey != "" || m.DedupWithin != 0 || m.Group != "" {
			return fault.Results(len(messages), faults.Refuse("enqueue", queue, driver.ErrUnsupported, errCapability, ""))
		}
	}
	return p.storeAll(ctx, "enqueue", queue, messages, nil)
}

// EnqueueAtomic stores all messages or none, under one lock. It waits for the end of
// transactions that hold one of the keys.
func (d *Driver) EnqueueAtomic(ctx context.Context, queue string, messages []*driver.Message) error {
	const op = "enqueue atomic"
	if len(messages) == 0 {
		return nil
	}
	jobs, err := d.broker.newJobs(op, queue, messages)
	if err != nil {
		return err
	}
	var bytes int64
	var keys map[string]string
	for _, j := range jobs {
		bytes += j.cost(nil)
		key := j.msg.DedupKey
		if key == "" {
			continue
		}
		if of, ok := keys[key]; ok {
			return duplicateOf(op, queue, of)
		}
		if keys == nil {
			keys = make(map[string]string)
		}
		keys[key] = j.msg.ID
	}
	for {
		other, err := d.storeTogether(ctx, op, queue, jobs, messages, bytes, keys)
		if other == nil {
			return err
		}
		other.await(ctx, d.conn, nil)
	}
}

// newJobs makes the jobs of messages of which all or none are to be stored.
func (b *Broker) newJobs(op, queue string, messages []*driver.Message) ([]*job, error) {
	if err := tooMany(op, queue, len(messages)); err != nil {
		return nil, err
	}
	jobs := make([]*job, len(messages))
	content := 0
	for i, m := range messages {
		headers := m.HeaderSize()
		if err := b.fits(op, queue, m, nil, headers); err != nil {
			return nil, err
		}
		content += len(m.Body) + headers
		jobs[i] = newJob(m, headers)
	}
	return jobs, b.tooHeavy(op, queue, content, len(messages))
}

// duplicateOf is the error of an atomic enqueue with a job whose key is that of another.
func duplicateOf(op, queue, id string) error {
	return faults.Refuse(op, queue, driver.ErrDuplicate, fmt.Errorf("of job %s", id), "")
}

// storeTogether stores all jobs, which take so many bytes and these keys, or none. It stores
// none and names the transaction that holds one of the keys, if one does.
func (d *Driver) storeTogether(ctx context.Context, op, queue string, jobs []*job, messages []*driver.Message, bytes int64, keys map[string]string) (*holder, error) {
	q, now, reserved, err := d.beginReserved(ctx, op, queue, bytes, len(jobs))
	if err != nil {
		return nil, err
	}
	defer q.end(now)
	stored := false
	defer func() {
		if reserved && !stored {
			d.broker.capacity.free(bytes, len(jobs))
		}
	}()
	var other *holder
	for key := range keys {
		if k := q.keys.find(key); k != nil {
			return nil, duplicateOf(op, queue, k.id)
		}
		if held, ok := q.held[key]; ok {
			other = held.by
		}
	}
	switch {
	case other != nil:
		return other, nil
	case !reserved:
		return nil, faults.Refuse(op, queue, driver.ErrFull, errFull, hintFull)
	}
	for i, j := range jobs {
		q.store(j, messages[i], now)
	}
	stored = true
	return nil, nil
}
