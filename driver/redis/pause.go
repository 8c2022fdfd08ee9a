package redis

import "context"

// Pause stops handing out jobs. The script that hands them out looks at the same
// key, so once Pause has returned nothing is handed out.
func (d *Driver) Pause(ctx context.Context, queue string) error {
	_, err := d.runPause(ctx, "pause", queue, "pause")
	return err
}

// Resume lets jobs be handed out again, and wakes a consumer.
func (d *Driver) Resume(ctx context.Context, queue string) error {
	_, err := d.runPause(ctx, "resume", queue, "resume")
	return err
}

// Paused tells whether the queue is paused.
func (d *Driver) Paused(ctx context.Context, queue string) (bool, error) {
	return d.runPause(ctx, "paused", queue, "ask")
}

// runPause runs the script: action is pause, resume or ask. It returns whether
// the queue was paused before.
func (d *Driver) runPause(ctx context.Context, op, queue, action string) (bool, error) {
	raw, err := d.conn.eval(ctx, pauseScript, append(pauseScript.args(d.names(queue), 1), action))
	if err != nil {
		return false, fail(op, queue, err)
	}
	r := reader{buf: raw}
	was := r.int() == 1
	return was, fail(op, queue, r.err)
}
