package redis

import (
	"context"

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
	n := d.names(queue)
	every, ids := "0", which.IDs
	if which.All {
		every, ids = "1", nil
	}
	moved, cursor, last := 0, "0-0", ""
	for step := firstStep; ; {
		args := append(deadLettersScript.args(n, 5+len(ids)), op, cursor, last, step, every)
		for i := range ids {
			args = append(args, ids[i])
		}
		raw, err := d.conn.eval(ctx, deadLettersScript, args)
		if err != nil {
			return moved, fail(op, queue, err)
		}
		r := reader{buf: raw}
		if r.array() != 4 {
			return moved, fail(op, queue, errReply)
		}
		moved += int(r.int())
		cursor = r.string()
		bytes := r.int()
		last = r.string()
		if r.err != nil {
			return moved, fail(op, queue, r.err)
		}
		if cursor == "" {
			return moved, nil
		}
		step = nextStep(step, int(bytes))
	}
}
