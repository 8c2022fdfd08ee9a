package amqp

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/driver"
)

// position is where a dead letter stands among the others: by when it died, which
// nothing changes. The order in the queue would do, but does not tell where to go
// on when the letter that a cursor names was removed.
type position struct {
	died  int64 // Unix µs
	entry string
}

func (p position) compare(q position) int {
	return cmp.Or(cmp.Compare(p.died, q.died), cmp.Compare(p.entry, q.entry))
}

func (p position) String() string { return strconv.FormatInt(p.died, 36) + "." + p.entry }

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

func positionOf(j *job) position {
	at := int64(0)
	if !j.diedAt.IsZero() {
		at = j.diedAt.UnixMicro()
	}
	return position{at, j.entry}
}

// DeadLetters lists dead letters. It reads all of them, as AMQP cannot look at a
// part of a queue: 10 000 take about half a second.
func (h *handle) DeadLetters(ctx context.Context, queue string, cursor string, max int) ([]driver.DeadLetter, string, error) {
	const op = "dead letters"
	if err := h.enter(ctx); err != nil {
		return nil, "", fail(op, queue, err)
	}
	defer h.leave()
	from, err := parsePosition(cursor)
	if err == nil && (max < 1 || max > 1000) {
		err = fmt.Errorf("a page of %d, which is not from 1 to 1000", max)
	}
	if err != nil {
		return nil, "", refuse(op, queue, driver.ErrConfig, err)
	}
	var first []placed
	err = h.withShelf(ctx, h.names(queue), func(s *shelf) error {
		for {
			d, err := s.next(ctx)
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
		page[i] = first[i].letter()
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

func (p *placed) letter() driver.DeadLetter {
	j := &p.job
	return driver.DeadLetter{
		Message: j.Message, Failures: j.failures, LastError: j.lastError,
		Deliveries: j.before, Reason: j.reason, DeadAt: j.diedAt,
	}
}

// Redrive publishes the selected dead letters to the waiting queue, and removes
// each when that has been confirmed.
func (h *handle) Redrive(ctx context.Context, queue string, which driver.Selection) (int, error) {
	n := h.names(queue)
	return h.eachDead(ctx, "redrive", queue, which, func(ctx context.Context, s *shelf, batch []amqp091.Delivery) (int, error) {
		items := make([]*publication, len(batch))
		for i := range batch {
			j := decode(&batch[i])
			message := encode(&j.Message, nil)
			if j.bad != "" {
				// It was no job and will be none; but where it says what it is, it
				// goes back as it came.
				message.MessageId, message.Type = batch[i].MessageId, batch[i].Type
			}
			items[i] = &publication{queue: n.main, message: message}
		}
		h.publish(ctx, items)
		var tags []uint64
		var first error
		for i, item := range items {
			if item.err == nil {
				tags = append(tags, batch[i].DeliveryTag)
			} else if first == nil {
				first = item.err
			}
		}
		if err := s.remove(tags); err != nil {
			return 0, err
		}
		return len(tags), first
	})
}

// Discard removes the selected dead letters.
func (h *handle) Discard(ctx context.Context, queue string, which driver.Selection) (int, error) {
	return h.eachDead(ctx, "discard", queue, which, func(_ context.Context, s *shelf, batch []amqp091.Delivery) (int, error) {
		tags := make([]uint64, len(batch))
		for i := range batch {
			tags[i] = batch[i].DeliveryTag
		}
		if err := s.remove(tags); err != nil {
			return 0, err
		}
		return len(tags), nil
	})
}

// eachDead does something with the selected dead letters, some at a time, and
// counts them. Those that come while it is at work it leaves alone.
func (h *handle) eachDead(ctx context.Context, op, queue string, which driver.Selection, do func(context.Context, *shelf, []amqp091.Delivery) (int, error)) (int, error) {
	if err := h.enter(ctx); err != nil {
		return 0, fail(op, queue, err)
	}
	defer h.leave()
	if !which.All && len(which.IDs) == 0 {
		return 0, nil
	}
	ids := make(map[string]bool, len(which.IDs))
	for _, id := range which.IDs {
		ids[id] = true
	}
	done := make(chan int, 1) // the call may be left behind with the count
	done <- 0
	err := h.withShelf(ctx, h.names(queue), func(s *shelf) error {
		var batch []amqp091.Delivery
		flush := func() error {
			n, err := do(ctx, s, batch)
			done <- <-done + n
			batch = batch[:0]
			return err
		}
		for {
			d, err := s.next(ctx)
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
	return <-done, fail(op, queue, err)
}

// deadBatch is how many dead letters are confirmed together.
const deadBatch = 200
