package amqp

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/driver"
)

// position is where a dead letter stands among the others: by when it died, which
// nothing changes. The order in the queue would do, but does not tell where to go
// on when the dead letter that a cursor names was removed.
type position struct {
	died  int64 // Unix µs
	entry string
}

// compare orders positions.
func (p position) compare(q position) int {
	return cmp.Or(cmp.Compare(p.died, q.died), cmp.Compare(p.entry, q.entry))
}

// String is the cursor that names the position.
func (p position) String() string { return strconv.FormatInt(p.died, 36) + "." + p.entry }

// parsePosition reads a cursor; without one it is before all dead letters.
func parsePosition(cursor string) (position, error) {
	if cursor == "" {
		return position{died: -1 << 62}, nil
	}
	died, entry, ok := strings.Cut(cursor, ".")
	n, err := strconv.ParseInt(died, 36, 64)
	if err != nil || !ok {
		return position{}, fmt.Errorf("the cursor %q is none of this driver", cursor)
	}
	return position{n, entry}, nil
}

// positionOf is the position of a dead letter.
func positionOf(j *job) position {
	at := int64(0)
	if !j.diedAt.IsZero() {
		at = j.diedAt.UnixMicro()
	}
	return position{at, j.entry}
}

// DeadLetters lists dead letters. It reads all of them, also for one page: the package
// comment says why.
func (b *base) DeadLetters(ctx context.Context, queue string, cursor string, max int) ([]driver.DeadLetter, string, error) {
	const op = "dead letters"
	if err := b.calls.Begin(ctx); err != nil {
		return nil, "", fail(op, queue, err)
	}
	defer b.calls.End()
	from, err := parsePosition(cursor)
	if err == nil && (max < 1 || max > 1000) {
		err = fmt.Errorf("a page of %d, which is not from 1 to 1000", max)
	}
	if err != nil {
		return nil, "", faults.Refuse(op, queue, driver.ErrConfig, err, "")
	}
	var first []placed
	err = b.browse(ctx, b.names(queue), func(br *browser) error {
		for {
			d, err := br.next(ctx)
			if d == nil || err != nil {
				return err
			}
			j := decode(d)
			if p := positionOf(&j); p.compare(from) > 0 {
				first = append(first, placed{p, j})
			}
			if len(first) > 4*max+64 {
				first = lowestOf(first, max+1)
			}
		}
	})
	if err != nil {
		return nil, "", fail(op, queue, err)
	}
	first = lowestOf(first, max+1)
	next := ""
	if len(first) > max {
		first = first[:max]
		next = first[max-1].position.String()
	}
	page := make([]driver.DeadLetter, len(first))
	for i := range first {
		page[i] = first[i].deadLetter()
	}
	return page, next, nil
}

// placed is a dead letter and where it stands.
type placed struct {
	position position
	job      job
}

// lowestOf is the first n in order.
func lowestOf(all []placed, n int) []placed {
	slices.SortFunc(all, func(a, b placed) int { return a.position.compare(b.position) })
	if len(all) > n {
		clear(all[n:])
		all = all[:n]
	}
	return all
}

// deadLetter is the dead letter for the caller.
func (p *placed) deadLetter() driver.DeadLetter {
	j := &p.job
	return driver.DeadLetter{
		Message: j.Message, Failures: j.failures, LastError: j.lastError,
		Bounces: j.bounces, BouncedSince: j.bouncedSince,
		Deliveries: j.before, Reason: j.reason, DeadAt: j.diedAt,
	}
}

// deadLetterOf is the publication of a job as a dead letter.
func deadLetterOf(n *names, m *driver.Message, h history, reason string, died time.Time) *publication {
	message := encode(m, h)
	markDead(&message, reason, died)
	return &publication{queue: n.dead, message: message}
}

// Redrive publishes the selected dead letters to the waiting queue, and removes
// each when that has been confirmed.
func (b *base) Redrive(ctx context.Context, queue string, which driver.Selection) (int, error) {
	n := b.names(queue)
	return b.eachSelected(ctx, "redrive", queue, which, func(ctx context.Context, br *browser, batch []amqp091.Delivery) (int, error) {
		items := make([]*publication, len(batch))
		for i := range batch {
			j := decode(&batch[i])
			message := encode(&j.Message, history{})
			if j.bad != "" {
				// It was no job and will be none; but where it says what it is, it
				// goes back as it came.
				message.MessageId, message.Type = batch[i].MessageId, batch[i].Type
			}
			fit(&message, b.room)
			items[i] = &publication{queue: n.main, message: message}
		}
		// What is on its way when ctx ends would be stored twice if it stayed here.
		ctx, cancel := b.outlive(ctx, closeTime)
		defer cancel()
		b.publish(ctx, items)
		var tags []uint64
		var first error
		for i, item := range items {
			if item.err == nil {
				tags = append(tags, batch[i].DeliveryTag)
			} else if first == nil {
				first = item.err
			}
		}
		if err := br.remove(tags); err != nil {
			return 0, err
		}
		return len(tags), first
	})
}

// Discard removes the selected dead letters.
func (b *base) Discard(ctx context.Context, queue string, which driver.Selection) (int, error) {
	return b.eachSelected(ctx, "discard", queue, which, func(_ context.Context, br *browser, batch []amqp091.Delivery) (int, error) {
		tags := make([]uint64, len(batch))
		for i := range batch {
			tags[i] = batch[i].DeliveryTag
		}
		if err := br.remove(tags); err != nil {
			return 0, err
		}
		return len(tags), nil
	})
}

// deadBatch is how many dead letters are confirmed together.
const deadBatch = 200

// eachSelected does something with the selected dead letters, some at a time, and
// counts them. It does not touch those that come while it is at work.
func (b *base) eachSelected(ctx context.Context, op, queue string, which driver.Selection, do func(context.Context, *browser, []amqp091.Delivery) (int, error)) (int, error) {
	if !which.All && len(which.IDs) == 0 {
		return 0, nil
	}
	if err := b.calls.Begin(ctx); err != nil {
		return 0, fail(op, queue, err)
	}
	defer b.calls.End()
	ids := make(map[string]bool, len(which.IDs))
	for _, id := range which.IDs {
		ids[id] = true
	}
	var done atomic.Int64 // the task may go on when the caller has returned
	err := b.browse(ctx, b.names(queue), func(br *browser) error {
		var batch []amqp091.Delivery
		flush := func() error {
			n, err := do(ctx, br, batch)
			done.Add(int64(n))
			batch = batch[:0]
			return err
		}
		for {
			d, err := br.next(ctx)
			if err != nil {
				return err
			}
			if d == nil {
				return flush()
			}
			if which.All || ids[d.MessageId] {
				batch = append(batch, *d)
			}
			if len(batch) == deadBatch {
				if err := flush(); err != nil {
					return err
				}
			}
		}
	})
	return int(done.Load()), fail(op, queue, err)
}
