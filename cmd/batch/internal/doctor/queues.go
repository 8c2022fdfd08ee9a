package doctor

import (
	"context"
	"errors"
	"slices"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

// queues looks at each queue: whether it is there, whether somebody has changed it in a way
// that would lose jobs, which a declaration says, and whether it is paused. It returns
// their names.
func (x *examination) queues(ctx context.Context) []string {
	const subject = "queues"
	listing, cancel := x.within(ctx)
	names, err := batch.AdminQueues(listing, x.driver)
	cancel()
	switch {
	case errors.Is(err, batch.ErrCapability) && len(x.Queues) == 0:
		x.found(subject, driver.GradeUnknown, "name the queues: batch doctor emails reports", "the broker cannot list its queues, so none was looked at")
	case err != nil && !errors.Is(err, batch.ErrCapability):
		x.failed(subject, err)
	}
	for _, name := range x.Queues {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	sound := 0
	for _, name := range names {
		if ctx.Err() != nil {
			return names
		}
		if x.queue(ctx, name) {
			sound++
		}
	}
	if sound > 0 && sound == len(names) {
		x.ok(subject, "%d of %d are as batch makes them", sound, len(names))
	}
	return names
}

// queue looks at one queue, and tells whether nothing is wrong with it.
func (x *examination) queue(ctx context.Context, name string) bool {
	const subject = "queues"
	q, err := batch.Admin(x.driver, name)
	if err != nil {
		x.failed(subject, err)
		return false
	}
	ctx, cancel := x.within(ctx)
	defer cancel()
	if _, err = q.Depth(ctx); err == nil && !x.ReadOnly {
		err = q.Declare(ctx)
	}
	if err != nil {
		x.failed(subject, err)
		return false
	}
	if !q.CanPause() {
		return true
	}
	paused, err := q.Paused(ctx)
	switch {
	case err != nil:
		x.failed(subject, err)
	case paused:
		x.found(subject, driver.GradeWarn, "batch resume "+name, "queue %s is paused: its jobs are not handed out", name)
	}
	return err == nil && !paused
}
