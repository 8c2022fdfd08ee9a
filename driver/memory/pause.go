package memory

import "context"

// Pause stops handing out the queue's jobs. What was handed out goes on.
func (d *Driver) Pause(ctx context.Context, queue string) error {
	q, _, err := d.begin(ctx, "pause", queue)
	if err != nil {
		return err
	}
	q.paused = true
	q.mu.Unlock()
	return nil
}

// Resume lets the queue's jobs be handed out again.
func (d *Driver) Resume(ctx context.Context, queue string) error {
	q, now, err := d.begin(ctx, "resume", queue)
	if err != nil {
		return err
	}
	q.paused = false
	q.end(now)
	return nil
}

// Paused tells whether the queue is paused.
func (d *Driver) Paused(ctx context.Context, queue string) (bool, error) {
	q, _, err := d.begin(ctx, "paused", queue)
	if err != nil {
		return false, err
	}
	defer q.mu.Unlock()
	return q.paused, nil
}
