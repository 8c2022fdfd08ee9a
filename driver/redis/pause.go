package redis

import "context"

// Pause stops handing out jobs: the script that hands them out looks at the
// same key, so that nothing is handed out once this has been answered.
func (d *Driver) Pause(ctx context.Context, queue string) error {
	_, err := d.pause(ctx, "pause", queue)
	return err
}

// Resume goes on, and wakes a consumer.
func (d *Driver) Resume(ctx context.Context, queue string) error {
	_, err := d.pause(ctx, "resume", queue)
	return err
}

// Paused tells whether the queue is paused.
func (d *Driver) Paused(ctx context.Context, queue string) (bool, error) {
	return d.pause(ctx, "ask", queue)
}

func (d *Driver) pause(ctx context.Context, what, queue string) (bool, error) {
	raw, err := d.eval(ctx, pauseScript, append(pauseScript.args(d.keys(queue), 1), what))
	op := what
	if what == "ask" {
		op = "paused"
	}
	if err != nil {
		return false, fail(op, queue, err)
	}
	r := reader{buf: raw}
	was := r.int() == 1
	return was, fail(op, queue, r.err)
}
