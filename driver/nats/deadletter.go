package nats

import (
	"context"
	"strconv"

	"github.com/batch-go/batch/driver"
)

// DeadLetters lists the dead letters in the order in which they were stored.
// The cursor is the sequence of the next.
func (d *Driver) DeadLetters(ctx context.Context, queue, cursor string, max int) ([]driver.DeadLetter, string, error) {
	const op = "dead letters"
	if err := d.enter(ctx, op, queue); err != nil {
		return nil, "", err
	}
	defer d.leave()
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
	return driver.DeadLetter{Message: f.Message, Failures: f.failures, LastError: f.lastError, Deliveries: f.deliveries, Reason: f.reason, DeadAt: f.diedAt}
}

// page reads at most max messages, and the cursor of the next.
func (d *Driver) page(ctx context.Context, n *names, filter string, from uint64, max int) (list []*found, next string, err error) {
	err = d.scan(ctx, n, filter, from, max+1, func(f *found) bool {
		if f.gone {
			return true
		}
		if len(list) == max {
			next = strconv.FormatUint(f.seq, 10)
			return false
		}
		list = append(list, f)
		return true
	})
	return list, next, err
}

// readCursor reads a cursor that is a sequence.
func readCursor(op, queue, cursor string, max int) (uint64, error) {
	if max < 1 || max > 1000 {
		return 0, badPage(op, queue, "max is "+strconv.Itoa(max)+", which is not from 1 to 1000")
	}
	if cursor == "" {
		return 1, nil
	}
	seq, err := strconv.ParseUint(cursor, 10, 64)
	if err != nil {
		return 0, badPage(op, queue, "the cursor is not one of this list")
	}
	return seq, nil
}

func badPage(op, queue, why string) error {
	return &driver.Error{Driver: Name, Op: op, Queue: queue, Kind: driver.ErrConfig, Fate: driver.FateNotStored, Err: errorString(why)}
}

type errorString string

func (e errorString) Error() string { return string(e) }

// Redrive moves dead letters back to waiting. Each is stored as waiting and
// replaced as dead in one atomic batch, on the condition that it is still there,
// so that two who redrive it at one time move it once.
func (d *Driver) Redrive(ctx context.Context, queue string, which driver.Selection) (int, error) {
	const op = "redrive"
	if err := d.enter(ctx, op, queue); err != nil {
		return 0, err
	}
	defer d.leave()
	n := d.names(queue)
	moved := 0
	err := d.selected(ctx, n, which, func(letters []*found) error {
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
		again := job{Message: f.Message}
		// What is left in place of the letter ends by itself if this process does.
		gone := job{Message: driver.Message{ID: f.ID, Kind: f.Kind, ContentType: defaultType, EnqueuedAt: f.EnqueuedAt}}
		entries = append(entries, n.entry(&again, zero),
			entry{f.subject, gone.header(headerGone, "1", natsRollup, "sub", natsTTL, "1", natsExpectSubject, strconv.FormatUint(f.seq, 10)), nil})
	}
	err := d.commit(ctx, n, entries)
	if isConflict(err) && len(letters) > 1 {
		// One of them was taken by somebody else, so one by one.
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
	// So that they are not counted as dead for another second.
	subjects := make([]string, len(letters))
	for i, f := range letters {
		subjects[i] = f.subject
	}
	_, _ = d.purge(ctx, n, subjects)
	return len(letters), nil
}

// purge removes all messages of some subjects, or filters, and counts them.
func (d *Driver) purge(ctx context.Context, n *names, filters []string) (int, error) {
	type request struct {
		Filter string `json:"filter"`
	}
	subject := d.apiRoot + "STREAM.PURGE." + n.stream
	purged := 0
	err := d.askAll(ctx, subject, len(filters), func(i int) any { return request{filters[i]} }, func(_ int, m *natsgoMsg) error {
		var answer struct {
			Purged int `json:"purged"`
		}
		err := readAnswer(subject, m, &answer)
		purged += answer.Purged
		return err
	})
	return purged, err
}

// Discard removes dead letters for good.
func (d *Driver) Discard(ctx context.Context, queue string, which driver.Selection) (int, error) {
	const op = "discard"
	if err := d.enter(ctx, op, queue); err != nil {
		return 0, err
	}
	defer d.leave()
	n := d.names(queue)
	removed := 0
	err := d.selected(ctx, n, which, func(letters []*found) error {
		seqs := make([]uint64, len(letters))
		for i, f := range letters {
			seqs[i] = f.seq
		}
		errs := d.remove(ctx, n, seqs)
		removed += len(seqs)
		var failed error
		for _, err := range errs {
			if err == nil {
				continue
			}
			removed--
			if !isTaken(err) {
				failed = err
			}
		}
		return failed
	})
	return removed, fail(op, queue, err)
}

// selected gives the dead letters of a selection to do, some at a time.
func (d *Driver) selected(ctx context.Context, n *names, which driver.Selection, do func([]*found) error) error {
	var filters []string
	if which.All {
		filters = []string{n.allDead()}
	} else {
		seen := make(map[string]bool, len(which.IDs))
		for _, id := range which.IDs {
			if !seen[id] && visible(id) {
				seen[id] = true
				filters = append(filters, n.deadOf(id))
			}
		}
	}
	if len(filters) == 0 {
		return nil
	}
	info, err := d.stream(ctx, n)
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
