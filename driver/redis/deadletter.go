package redis

import (
	"context"
	"slices"

	"github.com/batch-go/batch/driver"
)

// DeadLetters lists dead letters in the order in which they were stored: that in which
// the jobs died, with those that were imported as they came. A page ends early if its
// bodies would fill more than a few megabytes.
func (d *Driver) DeadLetters(ctx context.Context, queue, cursor string, max int) ([]driver.DeadLetter, string, error) {
	list, next, err := d.page(ctx, "dead letters", queue, placeDead, cursor, max)
	if err != nil {
		return nil, "", err
	}
	page := make([]driver.DeadLetter, len(list))
	for i := range list {
		j := &list[i].job
		page[i] = driver.DeadLetter{
			Message:  j.Message,
			Failures: j.failures, LastError: j.lastError, Deliveries: j.deliveries,
			Bounces: j.bounces, BouncedSince: j.bouncedSince,
			Reason: j.reason, DeadAt: j.diedAt,
		}
	}
	return page, next, nil
}

// Redrive moves dead letters back to waiting, each in one step.
func (d *Driver) Redrive(ctx context.Context, queue string, which driver.Selection) (int, error) {
	return d.moveDead(ctx, "redrive", queue, which)
}

// Discard removes dead letters, and frees their dedup keys.
func (d *Driver) Discard(ctx context.Context, queue string, which driver.Selection) (int, error) {
	return d.moveDead(ctx, "discard", queue, which)
}

// moveDead goes once through the dead letters that there are now, and redrives or
// discards them. It searches for those that are named by ID: an index would cost
// something for every job that dies.
func (d *Driver) moveDead(ctx context.Context, op, queue string, which driver.Selection) (int, error) {
	if !which.All && len(which.IDs) == 0 {
		return 0, nil
	}
	if which.All {
		return d.moveOnce(ctx, op, queue, "1", nil)
	}
	moved := 0
	// Each step is told the IDs, so that there are as many as in any other full batch.
	for ids := range slices.Chunk(which.IDs, batchSize) {
		n, err := d.moveOnce(ctx, op, queue, "0", ids)
		moved += n
		if err != nil {
			return moved, err
		}
	}
	return moved, nil
}

// moveOnce is moveDead for all, if every is "1", or for at most batchSize IDs.
func (d *Driver) moveOnce(ctx context.Context, op, queue, every string, ids []string) (int, error) {
	names := d.names(queue)
	moved, cursor, last := 0, "0-0", ""
	for {
		args := append(deadLettersScript.args(names, 5+len(ids)), op, cursor, last, maxStep, every)
		for i := range ids {
			args = append(args, ids[i])
		}
		raw, err := d.conn.eval(ctx, deadLettersScript, args)
		if err != nil {
			return moved, fail(op, queue, err)
		}
		r := reader{buf: raw}
		if r.array() != 3 {
			return moved, fail(op, queue, errReply)
		}
		n := r.count(maxStep)
		before := cursor
		cursor = r.string()
		last = r.string()
		if cursor == before {
			r.malformed() // it would go on for ever
		}
		if r.err != nil {
			return moved, fail(op, queue, r.err)
		}
		moved += int(n)
		if cursor == "" {
			return moved, nil
		}
	}
}
