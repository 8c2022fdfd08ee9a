package nats

import (
	"context"
	"encoding/json"
	"time"
)

// pauseFor is how long a pause lasts that is not resumed: the server wants a time.
const pauseFor = 100 * 365 * 24 * time.Hour

// Pause stops handing out jobs. Once the server has paused its consumer, it
// delivers nothing more, not even to pulls that wait. It keeps the pause on disk.
func (d *Driver) Pause(ctx context.Context, queue string) error {
	const op = "pause"
	if err := d.life.Begin(ctx); err != nil {
		return fail(op, queue, err)
	}
	defer d.life.End()
	n := d.names(queue)
	now, err := d.serverNow(ctx, n)
	if err == nil {
		err = d.pause(ctx, n, now.server.Add(pauseFor), true)
	}
	return fail(op, queue, err)
}

// pause pauses the jobs' consumer until a time by the server's clock, and waits
// until the consumer itself says so: in a cluster the answer to the first request
// comes from another server and before.
func (d *Driver) pause(ctx context.Context, n *names, until time.Time, paused bool) error {
	request := struct {
		Until time.Time `json:"pause_until"`
	}{until.UTC()}
	subject := d.apiRoot + "CONSUMER.PAUSE." + n.stream + "." + consumerJobs
	ask := func() error {
		return d.whileBehind(ctx, func() error { return d.conn.callAPI(ctx, subject, request, nil) })
	}
	err := ask()
	if isCode(err, codeConsumerNotFound) {
		if _, err = d.consumerInfo(ctx, n, consumerJobs); err == nil { // which makes it
			err = ask()
		}
	}
	if err != nil {
		return err
	}
	for {
		info, err := d.consumerInfo(ctx, n, consumerJobs)
		if err != nil || info.Paused == paused {
			return err
		}
		if err := d.conn.sleep(ctx, clusterPoll); err != nil {
			return err
		}
	}
}

// Resume lets jobs be handed out again. When a pause ends, the server does not
// serve the pulls that wait until another one comes, so Resume sends one. That one
// is served last, and takes no job, as it asks for at most one byte.
func (d *Driver) Resume(ctx context.Context, queue string) error {
	const op = "resume"
	if err := d.life.Begin(ctx); err != nil {
		return fail(op, queue, err)
	}
	defer d.life.End()
	return fail(op, queue, d.resume(ctx, d.names(queue)))
}

// resume is Resume within a call.
func (d *Driver) resume(ctx context.Context, n *names) error {
	info, err := d.consumerInfo(ctx, n, consumerJobs)
	if err != nil || !info.Paused {
		return err
	}
	if err := d.pause(ctx, n, time.Unix(1, 0), false); err != nil {
		return err
	}
	request := struct {
		pullRequest
		MaxBytes int `json:"max_bytes"`
	}{pullRequest{Batch: 1, Expires: clusterPoll}, 1}
	data, err := json.Marshal(request)
	if err != nil {
		return err
	}
	subject := d.pullSubject(n)
	r, err := d.conn.requests(1, subject)
	if err != nil {
		return err
	}
	// The queue is resumed. If this pull gets nowhere, as without the right to it, the next one of any
	// worker does the same, within its own time.
	_ = r.send(0, subject, nil, data)
	_ = r.wait(ctx)
	return nil
}

// Paused tells whether the queue is paused.
func (d *Driver) Paused(ctx context.Context, queue string) (bool, error) {
	const op = "paused"
	if err := d.life.Begin(ctx); err != nil {
		return false, fail(op, queue, err)
	}
	defer d.life.End()
	info, err := d.consumerInfo(ctx, d.names(queue), consumerJobs)
	if err != nil {
		return false, fail(op, queue, err)
	}
	return info.Paused, nil
}
