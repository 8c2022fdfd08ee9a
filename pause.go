package batch

import "context"

// Pause stops the broker from handing out the queue's jobs to any worker, until
// [Resume]. Jobs that workers already hold, including prefetched ones, still run.
// You can go on enqueueing. If the queue does not exist, the error wraps
// [ErrNotFound]. Only ctx bounds this and the two below.
func Pause[D Pauser](ctx context.Context, q *Queue[D]) error {
	return q.tell(ctx, OpPause, func() error { return q.driver.Pause(ctx, q.name) })
}

// Resume ends a [Pause].
func Resume[D Pauser](ctx context.Context, q *Queue[D]) error {
	return q.tell(ctx, OpResume, func() error { return q.driver.Resume(ctx, q.name) })
}

// Paused tells whether the queue is paused.
func Paused[D Pauser](ctx context.Context, q *Queue[D]) (paused bool, err error) {
	err = q.tell(ctx, OpPaused, func() error {
		paused, err = q.driver.Paused(ctx, q.name)
		return err
	})
	return paused, err
}
