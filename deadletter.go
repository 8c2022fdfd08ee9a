package batch

import (
	"context"

	"github.com/batch-go/batch/driver"
)

// DeadLetter is a job that will not run again unless it is redriven: its message, with
// the Reason, DeadAt and LastError, and the counts of its history. The fields are
// those of [driver.DeadLetter].
type DeadLetter = driver.DeadLetter

// DeadLetters are a queue's dead letters. They are kept until they are redriven
// or deleted. If the queue does not exist, the methods return an error that wraps
// [ErrNotFound]. Only ctx bounds a call; one that moves or removes many letters goes on
// until all are, or returns with the number so far when ctx ends.
type DeadLetters struct {
	driver driver.Driver
	queue  string
}

// DeadLetters is the handle on the queue's dead letters. Every broker has them.
func (q *Queue[D]) DeadLetters() DeadLetters { return DeadLetters{q.producer.driver, q.name} }

// Count is the number of dead letters, or [UnknownCount].
func (l DeadLetters) Count(ctx context.Context) (int64, error) {
	depth, err := l.driver.Depth(ctx, l.queue)
	return believeDepth(depth).Dead, err
}

// List returns at most max (1 to 1000) dead letters, oldest first. It starts at
// cursor, which is empty for the first page and next of the page before for all
// others. An empty next means that there are no more. Nothing is consumed.
func (l DeadLetters) List(ctx context.Context, cursor string, max int) (page []DeadLetter, next string, err error) {
	if err := checkPage(max); err != nil {
		return nil, "", err
	}
	return l.driver.DeadLetters(ctx, l.queue, cursor, max)
}

// Redrive puts the dead letters with these IDs back in the queue, with no
// attempts spent and everything else as it was enqueued. It returns how many it
// moved; IDs without a dead letter are not an error.
func (l DeadLetters) Redrive(ctx context.Context, ids ...string) (int, error) {
	return l.apply(ctx, l.driver.Redrive, driver.Selection{IDs: ids})
}

// RedriveAll is [DeadLetters.Redrive] for all dead letters.
func (l DeadLetters) RedriveAll(ctx context.Context) (int, error) {
	return l.apply(ctx, l.driver.Redrive, driver.Selection{All: true})
}

// Delete removes the dead letters with these IDs for good and returns how many
// it removed; IDs without a dead letter are not an error.
func (l DeadLetters) Delete(ctx context.Context, ids ...string) (int, error) {
	return l.apply(ctx, l.driver.Discard, driver.Selection{IDs: ids})
}

// Purge removes all dead letters for good and returns how many it removed.
func (l DeadLetters) Purge(ctx context.Context) (int, error) {
	return l.apply(ctx, l.driver.Discard, driver.Selection{All: true})
}

// apply calls do, a method of the driver, for the dead letters of which.
func (l DeadLetters) apply(ctx context.Context, do func(context.Context, string, driver.Selection) (int, error), which driver.Selection) (int, error) {
	if !which.All && len(which.IDs) == 0 {
		return 0, nil
	}
	return do(ctx, l.queue, which)
}
