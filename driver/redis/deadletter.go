package redis

import (
	"context"

	"github.com/batch-go/batch/driver"
)

// DeadLetters lists dead letters in the order of their death. A page ends early
// where its bodies would fill more than a few megabytes.
func (d *Driver) DeadLetters(ctx context.Context, queue, cursor string, max int) ([]driver.DeadLetter, string, error) {
	entries, next, err := d.page(ctx, "dead letters", queue, placeDead, cursor, max)
	if err != nil {
		return nil, "", err
	}
	letters := make([]driver.DeadLetter, len(entries))
	for i := range entries {
		j := &entries[i].job
		letters[i] = driver.DeadLetter{
			Message:  j.Message,
			Failures: j.failures, LastError: j.lastError, Deliveries: j.deliveries,
			Reason: j.reason, DeadAt: j.diedAt,
		}
	}
	return letters, next, nil
}

// Redrive moves dead letters back to waiting, each in one step.
func (d *Driver) Redrive(ctx context.Context, queue string, which driver.Selection) (int, error) {
	return d.letters(ctx, "redrive", queue, which)
}

// Discard removes dead letters.
func (d *Driver) Discard(ctx context.Context, queue string, which driver.Selection) (int, error) {
	return d.letters(ctx, "discard", queue, which)
}

// letters goes once through the dead letters that there are now. Those named by
// ID are searched for: there is no index, as every death would pay for it.
func (d *Driver) letters(ctx context.Context, op, queue string, which driver.Selection) (int, error) {
	if !which.All && len(which.IDs) == 0 {
		return 0, nil
	}
	k := d.keys(queue)
	every := "0"
	ids := which.IDs
	if which.All {
		every, ids = "1", nil
	}
	moved, cursor, last := 0, "0-0", ""
	for step := firstStep; ; {
		args := append(lettersScript.args(k, 5+len(ids)), op, cursor, last, step, every)
		for i := range ids {
			args = append(args, ids[i])
		}
		raw, err := d.eval(ctx, lettersScript, args)
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
