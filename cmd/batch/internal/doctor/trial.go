package doctor

import (
	"context"
	"fmt"
	"time"

	"github.com/batch-go/batch/driver"
)

// exerciseQueue begins the name of the queue that everything is tried on.
const exerciseQueue = "batch-doctor-"

// trial does with a queue of its own what programs do.
type trial struct {
	*examination
	queue    string
	consumer driver.Consumer
	failures int
}

// step does one thing, and reports it if it fails.
func (t *trial) step(ctx context.Context, what string, do func(context.Context) error) bool {
	if ctx.Err() != nil {
		return false
	}
	within, cancel := t.within(ctx)
	defer cancel()
	err := do(within)
	if err == nil {
		return true
	}
	if ctx.Err() != nil {
		return false
	}
	t.failures++
	t.failed("exercise", fmt.Errorf("cannot %s: %w", what, err))
	return false
}

// message makes a job.
func message(id string) *driver.Message {
	return &driver.Message{ID: id, Kind: "batch.doctor", ContentType: "application/json", Body: []byte("{}"),
		EnqueuedAt: time.Now().UTC().Truncate(time.Millisecond), Level: driver.Normal}
}

// send enqueues one job.
func (t *trial) send(ctx context.Context, m *driver.Message) error {
	return stored(t.driver.Enqueue(ctx, t.queue, []*driver.Message{m}))
}

// stored is the first error of the results of an enqueue.
func stored(results []driver.Result) error {
	for _, r := range results {
		if r.Err != nil {
			return r.Err
		}
	}
	return nil
}
