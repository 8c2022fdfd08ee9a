package batch

import (
	"context"
	"fmt"
	"time"

	"github.com/batch-go/batch/driver"
)

// redriveHold is how long a dead letter that is redriven with another body is held
// back: the old one is gone before the new one can die under the same ID.
const redriveHold = 5 * time.Second

// RedriveWithBody puts a dead letter back in the queue with another body: one that its
// handler can read, say, after a mistake of the producer. The job keeps its ID and all
// else of its message, and its history begins anew, as with [DeadLetters.Redrive]. It
// is held back for five seconds.
//
// The job is stored with the new body before the dead letter is discarded. If that
// fails, or the process ends in between, both are there. The error then says so; it
// wraps [ErrNotFound] if the dead letter was gone already. A Unique key is free
// afterwards, as after [DeadLetters.Delete].
//
// ctx bounds the call, and storing has the queue's enqueue timeout. If storing takes four
// seconds or longer, the dead letter is not discarded, since the job could be one by then.
func RedriveWithBody[D Importer](ctx context.Context, q *Queue[D], dead DeadLetter, body []byte) error {
	e := Entry{Message: dead.Message, State: StateScheduled}
	e.Body, e.Delay = body, redriveHold
	until := time.Now().Add(redriveHold - time.Second) // the hold begins later, at the broker
	results, err := Import(ctx, q, []Entry{e})
	if err != nil {
		return results[0].Err
	}
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	n, err := q.driver.Discard(ctx, q.name, driver.Selection{IDs: []string{dead.ID}})
	if err == nil && n == 0 {
		return fmt.Errorf("batch: job %s is stored with its new body, and its dead letter was gone: if somebody else has redriven it, the job is there twice: %w", dead.ID, ErrNotFound)
	}
	if err != nil {
		return fmt.Errorf("batch: job %s is stored with its new body, and its dead letter was not discarded: %w", dead.ID, err)
	}
	return nil
}
