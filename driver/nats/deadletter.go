package nats

import (
	"context"
	"errors"
	"strconv"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/wire"
)

// DeadLetters lists the dead letters in the order in which they were stored.
// The cursor is the sequence of the next one.
func (d *Driver) DeadLetters(ctx context.Context, queue, cursor string, max int) ([]driver.DeadLetter, string, error) {
	const op = "dead letters"
	if err := d.life.Begin(ctx); err != nil {
		return nil, "", fail(op, queue, err)
	}
	defer d.life.End()
	from, err := readCursor(op, queue, cursor, max)
	if err != nil {
		return nil, "", err
	}
	n := d.names(queue)
	list, next, err := d.page(ctx, n, n.allDead(), from, max)
	if err != nil {
		return nil, "", fail(op, queue, err)
	}
	letters := make([]driver.DeadLetter, len(list))
	for i, f := range list {
		letters[i] = f.letter()
	}
	return letters, next, nil
}

// letter is a message as a dead letter.
func (f *found) letter() driver.DeadLetter {
	return driver.DeadLetter{Message: f.Message, Failures: f.failures, LastError: f.lastError, Bounces: f.bounces, BouncedSince: f.bouncedSince, Deliveries: f.deliveries, Reason: f.reason, DeadAt: f.diedAt}
}

// Redrive moves dead letters back to waiting. Each is stored as waiting and
// replaced as dead in one atomic batch, on the condition that it is still there,
// so that if two redrives run at the same time, only one of them moves it.
func (d *Driver) Redrive(ctx context.Context, queue string, which driver.Selection) (int, error) {
	const op = "redrive"
	if err := d.life.Begin(ctx); err != nil {
		return 0, fail(op, queue, err)
	}
	defer d.life.End()
	n := d.names(queue)
	moved := 0
	err := d.eachSelected(ctx, n, which, func(letters []*found) error {
		count, err := d.redrive(ctx, n, letters)
		moved += count
		return err
	})
	return moved, fail(op, queue, err)
}

// redriveSize is how many dead letters are moved in one atomic batch.
const redriveSize = 100

// redrive moves letters, all at once if it can.
func (d *Driver) redrive(ctx context.Context, n *names, letters []*found) (int, error) {
	if len(letters) == 0 {
		return 0, nil
	}
	entries := make([]entry, 0, 2*len(letters))
	for _, f := range letters {
		again := job{Message: f.Message, hold: f.hold}
		entries = append(entries, n.entry(&again, moment{}), f.replaced())
	}
	err := d.commit(ctx, n, entries)
	if isConflict(err) && len(letters) > 1 {
		// Another call took one of them, so they are moved one by one.
		moved := 0
		for i := range letters {
			count, err := d.redrive(ctx, n, letters[i:i+1])
			moved += count
			if err != nil {
				return moved, err
			}
		}
		return moved, nil
	}
	if isConflict(err) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	d.sweepReplaced(ctx, n, letters)
	return len(letters), nil
}

// replaced is what takes the place of a letter, on the condition that the letter is still there.
// It ends by itself if this process does.
func (f *found) replaced() entry {
	gone := job{Message: driver.Message{ID: f.ID, Kind: f.Kind, ContentType: defaultType, EnqueuedAt: f.EnqueuedAt}}
	return entry{f.subject, gone.header(headerGone, "1", natsRollup, "sub", natsTTL, "1", natsExpectSubject, strconv.FormatUint(f.seq, 10)), nil}
}

// sweepReplaced removes what took the places of letters. It would be counted as dead for another
// second; if this fails, it is.
func (d *Driver) sweepReplaced(ctx context.Context, n *names, letters []*found) {
	subjects := make([]string, len(letters))
	for i, f := range letters {
		subjects[i] = f.subject
	}
	_, _ = d.purge(ctx, n, subjects)
}

// Discard removes dead letters for good, and frees their dedup keys.
func (d *Driver) Discard(ctx context.Context, queue string, which driver.Selection) (int, error) {
	const op = "discard"
	if err := d.life.Begin(ctx); err != nil {
		return 0, fail(op, queue, err)
	}
	defer d.life.End()
	n := d.names(queue)
	info, err := d.streamInfo(ctx, n)
	if err != nil {
		return 0, fail(op, queue, err)
	}
	removed := 0
	err = d.eachSelected(ctx, n, which, func(letters []*found) error {
		count, err := d.discard(ctx, n, letters, info.Config.Replicas)
		removed += count
		return err
	})
	return removed, fail(op, queue, err)
}

// discard removes letters of a stream that so many servers keep, and counts them.
func (d *Driver) discard(ctx context.Context, n *names, letters []*found, replicas int) (int, error) {
	if replicas > 1 {
		return d.discardReplicated(ctx, n, letters)
	}
	return d.removeJobs(ctx, n, letters)
}

// discardReplicated removes letters of a stream that several servers keep. There a removal that
// is on its way to them does not refuse a redrive of the same letter, and both would succeed. Of
// two messages that replace one, the leader refuses the second.
func (d *Driver) discardReplicated(ctx context.Context, n *names, letters []*found) (int, error) {
	entries := make([]entry, len(letters))
	for i, f := range letters {
		entries[i] = f.replaced()
	}
	_, errs := d.publish(ctx, n, entries)
	for i, err := range errs {
		if isConflict(err) {
			errs[i] = errTaken
		} else if _, answered := errors.AsType[*apiError](err); answered {
			// A server that has no room for a message still removes one.
			errs[i] = nil
			for _, err := range d.remove(ctx, n, []uint64{letters[i].seq}) {
				errs[i] = err
			}
		}
	}
	removed, err := d.countRemoved(ctx, n, letters, errs)
	d.sweepReplaced(ctx, n, letters)
	return removed, err
}

// eachSelected gives the dead letters of a selection to do, some at a time.
func (d *Driver) eachSelected(ctx context.Context, n *names, which driver.Selection, do func([]*found) error) error {
	if !which.All && len(which.IDs) == 0 {
		return nil
	}
	var filters []string
	if which.All {
		filters = []string{n.allDead()}
	} else {
		seen := make(map[string]bool, len(which.IDs))
		for _, id := range which.IDs {
			if !seen[id] && wire.IsToken(id) {
				seen[id] = true
				filters = append(filters, n.deadOf(id))
			}
		}
	}
	info, err := d.streamInfo(ctx, n)
	if err != nil {
		return err
	}
	var letters []*found
	flush := func() error {
		batch := letters
		letters = nil
		return do(batch)
	}
	for _, filter := range filters {
		var failed error
		err := d.scan(ctx, n, filter, 1, redriveSize, func(f *found) bool {
			if f.seq > info.State.LastSeq {
				return false // it died after this began
			}
			if !f.gone {
				letters = append(letters, f)
			}
			if len(letters) == redriveSize {
				failed = flush()
			}
			return failed == nil
		})
		if failed != nil {
			return failed
		}
		if err != nil {
			return err
		}
	}
	if len(letters) == 0 {
		return nil
	}
	return flush()
}
