package sqs

import (
	"context"

	"github.com/batch-go/batch/driver"
)

// DeadLetters lists dead letters. SQS cannot look into a queue: the call for the
// first page receives all dead letters and gives them back, and the pages after it
// come from what was read then.
func (b *base) DeadLetters(ctx context.Context, queue, cursor string, max int) ([]driver.DeadLetter, string, error) {
	const op = "dead letters"
	ctx, end, err := b.begin(ctx, op, queue)
	if err != nil {
		return nil, "", err
	}
	defer end()
	at, err := parseCursor(cursor)
	if err != nil {
		return nil, "", faults.Refuse(op, queue, driver.ErrConfig, err, "")
	}
	l, err := b.listing(ctx, queue, at.listing)
	if err != nil {
		err = fail(op, queue, err)
		b.forget(queue, err)
		return nil, "", err
	}
	rest := l.deadLetters
	if cursor != "" {
		rest = l.after(at.position)
	}
	n := min(max, len(rest))
	page := make([]driver.DeadLetter, n)
	for i := range page {
		page[i] = rest[i].DeadLetter
	}
	if n == len(rest) {
		b.listings.drop(queue)
		return page, "", nil
	}
	b.listings.keep(queue, l)
	return page, l.cursor(rest[n-1]), nil
}

// listing is that of the ID, if it is still kept and the queue still exists; else
// it reads all dead letters of the queue.
func (b *base) listing(ctx context.Context, queue, id string) (*listing, error) {
	q, err := b.resolve(ctx, queue)
	if err != nil {
		return nil, err
	}
	if l := b.listings.find(queue, id); l != nil {
		return l, b.client.exists(ctx, q.urls[toDead])
	}
	var all []deadLetter
	err = b.scan(ctx, q, func(page []*receipt) ([]*receipt, error) {
		for _, r := range page {
			all = append(all, newDeadLetter(r))
		}
		return nil, nil
	})
	return newListing(all), err
}

// Redrive receives all dead letters, sends those selected to the queue as new
// messages, deletes the old ones of these, and gives back the others.
func (b *base) Redrive(ctx context.Context, queue string, which driver.Selection) (int, error) {
	return b.remove(ctx, "redrive", queue, which, func(ctx context.Context, q *knownQueue, selected []*receipt) []error {
		redriven := make([]replacement, len(selected))
		for i, r := range selected {
			d := r.meta
			d.history = history{}
			redriven[i] = replacement{old: r, entry: &entry{body: r.body, attribute: d.text(), token: r.id}}
		}
		return b.client.replace(ctx, q, redriven)
	})
}

// Discard receives all dead letters, deletes those selected, and gives back the
// others.
func (b *base) Discard(ctx context.Context, queue string, which driver.Selection) (int, error) {
	return b.remove(ctx, "discard", queue, which, func(ctx context.Context, _ *knownQueue, selected []*receipt) []error {
		return b.client.delete(ctx, selected)
	})
}

// remove takes the selected dead letters out of their queue by calls of do, which
// returns one error for each, and counts those that are gone.
func (b *base) remove(ctx context.Context, op, queue string, which driver.Selection, do func(context.Context, *knownQueue, []*receipt) []error) (int, error) {
	if !which.All && len(which.IDs) == 0 {
		return 0, nil
	}
	ctx, end, err := b.begin(ctx, op, queue)
	if err != nil {
		return 0, err
	}
	defer end()
	q, err := b.resolve(ctx, queue)
	if err != nil {
		return 0, fail(op, queue, err)
	}
	wanted := make(map[string]bool, len(which.IDs))
	for _, id := range which.IDs {
		wanted[id] = true
	}
	n := 0
	err = b.scan(ctx, q, func(page []*receipt) (gone []*receipt, err error) {
		var selected []*receipt
		for _, r := range page {
			if which.All || wanted[r.meta.ID] {
				selected = append(selected, r)
			}
		}
		errs := do(ctx, q, selected)
		for i, r := range selected {
			if errs == nil || errs[i] == nil {
				gone = append(gone, r)
			} else if err == nil {
				err = errs[i]
			}
		}
		n += len(gone)
		return gone, err
	})
	err = fail(op, queue, err)
	b.forget(queue, err)
	return n, err
}
