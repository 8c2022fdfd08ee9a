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
		if err := d.broker.fits(op, queue, m, nil, headers); err != nil {
			return err
		}
		content += len(m.Body) + headers
		jobs[i] = newJob(m, headers)
		bytes += jobs[i].cost(nil)
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
		q.store(j, messages[i], now)
	}
	return nil
}
