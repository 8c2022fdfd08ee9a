package sqs

import (
	"context"
	"errors"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
)

// DeadLetters lists dead letters. SQS cannot look into a queue: the call for the
// first page receives dead letters and gives them back, and the pages after it come
// from what was read then. It reads no more at once than a chunk of them; the page
// behind the last one of a chunk reads the next.
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
	l, rest, err := b.list(ctx, queue, at)
	if err != nil {
		if errors.Is(err, errExpired) {
			return nil, "", faults.Refuse(op, queue, driver.ErrConfig, err, "begin with the first page again")
		}
		err = fail(op, queue, err)
		b.forget(queue, err)
		return nil, "", err
	}
	n := min(max, len(rest))
	page := make([]driver.DeadLetter, n)
	for i := range page {
		page[i] = rest[i].DeadLetter
	}
	if n == len(rest) && l.whole || n == 0 {
		b.listings.drop(func(old *listing) bool { return old.id == l.id })
		return page, "", nil
	}
	b.listings.keep(l)
	return page, l.cursor(rest[n-1]), nil
}

// list returns a listing, and what is in it behind a cursor: the listing that the
// cursor names, if it is still kept and the queue still exists, else a new one.
func (b *base) list(ctx context.Context, queue string, at cursor) (*listing, []deadLetter, error) {
	q, err := b.resolve(ctx, queue)
	if err != nil {
		return nil, nil, err
	}
	l := b.listings.find(queue, at.listing)
	switch {
	case l == nil && at.chunk > 0:
		return nil, nil, errExpired
	case l == nil:
		if l, err = b.readChunk(ctx, q, newListing(queue)); err != nil {
			return nil, nil, err
		}
		return l, l.after(at.position), nil
	case at.chunk == l.chunk && !l.whole && at.position == l.last():
		if l, err = b.readChunk(ctx, q, l); err != nil {
			return nil, nil, err
		}
		return l, l.deadLetters, nil
	case at.chunk == l.chunk-1 && at.position == l.before:
		return l, l.deadLetters, b.client.exists(ctx, q.urls[toDead]) // the same page once more
	case l.whole && at.chunk == 0 || at.chunk == l.chunk:
		return l, l.after(at.position), b.client.exists(ctx, q.urls[toDead])
	}
	return nil, nil, errExpired
}

// errEnough ends a scan that has read a chunk.
var errEnough = errors.New("a chunk was read")

// readChunk reads the chunk of dead letters of the queue that comes after l. It leaves
// l as it is, which others may be using.
func (b *base) readChunk(ctx context.Context, q *knownQueue, l *listing) (*listing, error) {
	var chunk []deadLetter
	bytes := 0
	seen := make(map[string]bool)
	err := b.scan(ctx, q, func(page []*receipt) ([]*receipt, error) {
		for _, r := range page {
			if l.seen[r.id] {
				continue
			}
			seen[r.id] = true
			chunk = append(chunk, newDeadLetter(r, q.maxMessage))
			bytes += r.size()
		}
		if l.full(len(chunk), bytes) {
			return nil, errEnough
		}
		return nil, nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, err
	}
	return l.next(chunk, bytes, seen, err == nil), nil
}

// Redrive receives all dead letters that there are when it begins, sends those
// selected to the queue as new messages, deletes the old ones of these, and gives back
// the others.
func (b *base) Redrive(ctx context.Context, queue string, which driver.Selection) (int, error) {
	const op = "redrive"
	return b.remove(ctx, op, queue, which, func(ctx context.Context, q *knownQueue, selected []*receipt) []error {
		var errs []error
		failed := func(i int, err error) { errs = fault.Set(errs, len(selected), i, err) }
		var redriven batch[replacement]
		for i, r := range selected {
			if e := r.redrivenEntry(q.maxMessage); e.size() > q.maxMessage {
				failed(i, tooLarge(op, queue, e, q.maxMessage))
			} else {
				redriven.add(i, replacement{old: r, entry: e})
			}
		}
		redriven.report(b.client.replace(ctx, q, redriven.items), failed)
		return errs
	})
}

// Discard receives all dead letters that there are when it begins, deletes those
// selected, and gives back the others.
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
	var unfit error // of one that does not fit: the others may
	err = b.scan(ctx, q, func(page []*receipt) (gone []*receipt, err error) {
		var selected []*receipt
		for _, r := range page {
			if which.All || wanted[r.meta.ID] {
				selected = append(selected, r)
			}
		}
		errs := do(ctx, q, selected)
		for i, r := range selected {
			switch {
			case errs == nil || errs[i] == nil:
				gone = append(gone, r)
			case errors.Is(errs[i], driver.ErrTooLarge):
				unfit = errs[i]
			case err == nil:
				err = errs[i]
			}
		}
		n += len(gone)
		return gone, err
	})
	if err == nil {
		err = unfit
	}
	err = fail(op, queue, err)
	b.forget(queue, err)
	return n, err
}
