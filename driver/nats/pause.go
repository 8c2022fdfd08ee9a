package nats

import (
	"context"
	"time"
)

// pauseFor is how long a pause lasts that nobody ends: the server wants a time.
const pauseFor = 100 * 365 * 24 * time.Hour

// pauseAnswer is the answer to a pause.
type pauseAnswer struct {
	Paused bool `json:"paused"`
}

// pause has the server pause the jobs' consumer until a time by its clock.
func (d *Driver) pause(ctx context.Context, n *names, until time.Time) (bool, error) {
	request := struct {
		Until time.Time `json:"pause_until"`
	}{until.UTC()}
	var answer pauseAnswer
	err := d.link.api(ctx, d.apiRoot+"CONSUMER.PAUSE."+n.stream+"."+consumerJobs, request, &answer)
	return answer.Paused, err
}

// Pause stops handing out jobs. The server answers when its consumer delivers
// nothing more, pulls that wait included, and keeps the pause on disk.
func (d *Driver) Pause(ctx context.Context, queue string) error {
	const op = "pause"
	if err := d.enter(ctx, op, queue); err != nil {
		return err
	}
	defer d.leave()
	n := d.names(queue)
	now, err := d.serverNow(ctx, n)
	if err == nil {
		_, err = d.pause(ctx, n, now.Add(pauseFor))
	}
	return fail(op, queue, err)
}

// resumeStep is how far in the future a pause is made to end. It must be ahead
// of the server's clock when the request arrives.
const resumeStep = 20 * time.Millisecond

// Resume goes on handing out jobs. A consumer whose pause is taken away does not
// look after the pulls that wait, but one whose pause is over does
// (updatePauseState in server/consumer.go): so the pause is made to end in a
// moment.
func (d *Driver) Resume(ctx context.Context, queue string) error {
	const op = "resume"
	if err := d.enter(ctx, op, queue); err != nil {
		return err
	}
	defer d.leave()
	return fail(op, queue, d.resume(ctx, d.names(queue)))
}

func (d *Driver) resume(ctx context.Context, n *names) error {
	info, err := d.consumerInfo(ctx, n, consumerJobs)
	if err != nil || !info.Paused {
		return err
	}
	for step := resumeStep; ; step *= 2 {
		now, err := d.serverNow(ctx, n)
		if err != nil {
			return err
		}
		paused, err := d.pause(ctx, n, now.Add(step))
		if err != nil {
			return err
		}
		if !paused {
			// It was over before the server read it, so that nobody was woken.
			if _, err := d.pause(ctx, n, now.Add(pauseFor)); err != nil {
				return err
			}
			continue
		}
		for {
			if err := wait(ctx, step); err != nil {
				return err
			}
			info, err := d.consumerInfo(ctx, n, consumerJobs)
			if err != nil || !info.Paused {
				return err
			}
		}
	}
}

// wait waits for d or until ctx ends.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Paused tells whether the queue is paused.
func (d *Driver) Paused(ctx context.Context, queue string) (bool, error) {
	const op = "paused"
	if err := d.enter(ctx, op, queue); err != nil {
		return false, err
	}
	defer d.leave()
	info, err := d.consumerInfo(ctx, d.names(queue), consumerJobs)
	if err != nil {
		return false, fail(op, queue, err)
	}
	return info.Paused, nil
}
