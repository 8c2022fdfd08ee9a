package sqs

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/batch-go/batch/driver"
)

// Redrive moves dead letters back, see driver.Driver.
func (b *base) Redrive(ctx context.Context, queueName string, which driver.Selection) (int, error) {
	const op = "redrive"
	return b.bury(ctx, op, queueName, which, func(ctx context.Context, q *queue, letters []*receipt) ([]error, error) {
		parcels := make([]*parcel, len(letters))
		for i, r := range letters {
			d := r.meta
			d.Failures, d.Deliveries, d.Error, d.Reason = 0, 0, "", ""
			parcels[i] = &parcel{body: r.body, meta: d.text(), token: r.id}
		}
		return b.send(ctx, q.work, b.config.fifo, parcels), nil
	})
}

// Discard removes dead letters, see driver.Driver.
func (b *base) Discard(ctx context.Context, queueName string, which driver.Selection) (int, error) {
	return b.bury(ctx, "discard", queueName, which, func(context.Context, *queue, []*receipt) ([]error, error) { return nil, nil })
}

// bury takes the selected letters out of the dead letters, after before has done
// with each what is to be done first.
func (b *base) bury(ctx context.Context, op, queueName string, which driver.Selection, before func(context.Context, *queue, []*receipt) ([]error, error)) (int, error) {
	if !which.All && len(which.IDs) == 0 {
		return 0, nil
	}
	ctx, leave, err := b.enter(ctx, op, queueName)
	if err != nil {
		return 0, err
	}
	defer leave()
	q, err := b.resolve(ctx, queueName)
	if err != nil {
		return 0, fail(op, queueName, err)
	}
	wanted := make(map[string]bool, len(which.IDs))
	for _, id := range which.IDs {
		wanted[id] = true
	}
	n := 0
	err = b.scan(ctx, q, func(page []*receipt) (taken []*receipt, err error) {
		var letters []*receipt
		for _, r := range page {
			if which.All || wanted[r.meta.ID] {
				letters = append(letters, r)
			}
		}
		if len(letters) == 0 {
			return nil, nil
		}
		errs, err := before(ctx, q, letters)
		var ready []*receipt
		for i, r := range letters {
			if errs == nil || errs[i] == nil {
				ready = append(ready, r)
			} else if err == nil {
				err = errs[i]
			}
		}
		errs = b.remove(ctx, ready)
		for i, r := range ready {
			if errs == nil || errs[i] == nil {
				taken = append(taken, r)
			} else if err == nil {
				err = errs[i]
			}
		}
		n += len(taken)
		return taken, err
	})
	return n, fail(op, queueName, err)
}

// DeadLetters lists dead letters, see driver.Driver. SQS cannot look into a queue:
// the first page receives all dead letters and gives them back, and the pages
// after it come from what was read then.
func (b *base) DeadLetters(ctx context.Context, queueName, cursor string, most int) ([]driver.DeadLetter, string, error) {
	const op = "dead letters"
	ctx, leave, err := b.enter(ctx, op, queueName)
	if err != nil {
		return nil, "", err
	}
	defer leave()
	after, err := parseCursor(cursor)
	if err != nil {
		return nil, "", &driver.Error{Driver: Name, Op: op, Queue: queueName, Kind: driver.ErrConfig, Fate: driver.FateNotStored, Err: err}
	}
	l := b.listing(queueName, after.listing)
	if l == nil {
		q, err := b.resolve(ctx, queueName)
		if err != nil {
			return nil, "", fail(op, queueName, err)
		}
		if l, err = b.read(ctx, q); err != nil {
			failed := fail(op, queueName, err)
			b.forget(queueName, failed)
			return nil, "", failed
		}
	}
	from := 0
	if cursor != "" {
		from, _ = slices.BinarySearchFunc(l.letters, after, func(e letter, c place) int { return cmp.Or(e.place.compare(c), -1) })
	}
	to := min(from+most, len(l.letters))
	page := make([]driver.DeadLetter, 0, to-from)
	for _, e := range l.letters[from:to] {
		page = append(page, e.DeadLetter)
	}
	if to == len(l.letters) {
		b.dropListing(queueName)
		return page, "", nil
	}
	b.keepListing(queueName, l)
	last := l.letters[to-1].place
	last.listing = l.id
	return page, last.String(), nil
}

// read reads all dead letters, oldest first.
func (b *base) read(ctx context.Context, q *queue) (*listing, error) {
	l := newListing()
	err := b.scan(ctx, q, func(page []*receipt) ([]*receipt, error) {
		for _, r := range page {
			l.letters = append(l.letters, letterOf(r))
		}
		return nil, nil
	})
	slices.SortFunc(l.letters, func(a, b letter) int { return a.place.compare(b.place) })
	return l, err
}

// letterOf reads a message of the dead-letter queue. One that is no dead letter,
// because somebody else put it there, is shown as unreadable.
func letterOf(r *receipt) letter {
	body, err := decodeBody(r.body, r.meta.Encoding)
	if err != nil {
		body = []byte(r.body)
	}
	d := driver.DeadLetter{
		Message:  r.meta.message(body, r.sent),
		Failures: r.meta.Failures, LastError: r.meta.Error, Deliveries: r.meta.Deliveries,
		Reason: r.meta.Reason, DeadAt: r.sent,
	}
	if r.err != nil && !errors.Is(r.err, errNoKind) || d.Reason == "" {
		d.Reason = driver.ReasonUnreadable
	}
	return letter{DeadLetter: d, place: place{at: r.sent.UnixMilli(), id: r.id}}
}
