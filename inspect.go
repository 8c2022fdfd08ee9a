package batch

import (
	"context"
	"fmt"

	"github.com/batch-go/batch/driver"
)

// State is the state of a job.
type State = driver.State

// The states that [ListJobs] shows.
const (
	StateWaiting   = driver.StateWaiting
	StateScheduled = driver.StateScheduled
	StateDead      = driver.StateDead
)

// Entry is a job as [ListJobs] and [FindJob] show it: its message, its State, and its
// history. The fields are those of [driver.Entry].
type Entry = driver.Entry

// ListJobs returns at most max (1 to 1000) of a queue's jobs in a state. It starts at
// cursor, which is empty for the first page and next of the page before for all
// others. An empty next means that there are no more. If the queue does not exist, the
// error wraps [ErrNotFound]. Only ctx bounds it.
func ListJobs[D Inspector](ctx context.Context, q *Queue[D], state State, cursor string, max int) (page []Entry, next string, err error) {
	hooks := &q.producer.hooks
	start := hooks.now()
	page, next, err = listJobs(ctx, q.driver, q.name, state, cursor, max)
	hooks.onCall(ctx, OpList, q.name, len(page), start, err)
	return page, next, err
}

// listJobs checks what it passes on to the driver.
func listJobs(ctx context.Context, d driver.Inspector, queue string, state State, cursor string, max int) (page []Entry, next string, err error) {
	if state < StateWaiting || state > StateDead {
		return nil, "", invalid("state", fmt.Sprint(int(state)), "one of StateWaiting, StateScheduled, StateDead")
	}
	if err := checkPage(max); err != nil {
		return nil, "", err
	}
	return d.List(ctx, queue, state, cursor, max)
}

// FindJob returns the job with this ID if it is waiting, scheduled or dead. If there
// is no such job, or no such queue, the error wraps [ErrNotFound]. It may read the
// whole queue, and only ctx bounds it.
func FindJob[D Inspector](ctx context.Context, q *Queue[D], id string) (found Entry, err error) {
	err = q.tell(ctx, OpFind, func() error {
		found, err = q.driver.Find(ctx, q.name, id)
		return err
	})
	return found, err
}

// DeleteJob removes the job with this ID if it is waiting, scheduled or dead. If
// there is no such job, or no such queue, the error wraps [ErrNotFound]. It may read
// the whole queue, and only ctx bounds it.
func DeleteJob[D Inspector](ctx context.Context, q *Queue[D], id string) error {
	return q.tell(ctx, OpDelete, func() error { return q.driver.Delete(ctx, q.name, id) })
}
