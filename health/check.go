package health

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/batch-go/batch"
)

// Check watches one worker. Make it with [Watch]. Its methods are safe for concurrent use. Those that begin with On are
// for the worker to call.
type Check struct {
	config Config
	// queue is the worker's first, which the broker is asked about when nothing was heard from it.
	queue *batch.Queue[batch.Driver]
	// state is the worker's, zero before it runs.
	state atomic.Uint32
	pulse pulse
	runs  runs
}

// Watch makes a check, and adds it to the hooks and the middleware of a worker that is yet to be made. d is the worker's
// driver. A configuration that is out of bounds is a programming error and panics; [TryWatch] returns it instead.
func Watch(d batch.Driver, worker *batch.WorkerConfig, config Config) *Check {
	c, err := TryWatch(d, worker, config)
	if err != nil {
		panic(err.Error())
	}
	return c
}

// TryWatch is [Watch], but returns mistakes as errors that wrap [batch.ErrInvalid]. It changes the worker's
// configuration only if there is none.
func TryWatch(d batch.Driver, worker *batch.WorkerConfig, config Config) (*Check, error) {
	if worker == nil || len(worker.Queues) == 0 {
		return nil, &batch.InvalidError{Field: "worker", Bound: "the configuration of one, with its queues"}
	}
	if err := config.complete(); err != nil {
		return nil, err
	}
	c := &Check{config: config, runs: runs{lanes: make(map[string]*lane)}}
	var err error
	if c.queue, err = batch.TryNewQueue(d, worker.Queues[0].Name, batch.WithHooks(c)); err != nil {
		return nil, err
	}
	worker.Hooks = append(slices.Clip(worker.Hooks), c)
	// The first is the outermost: it returns last.
	worker.Middleware = append([]batch.Middleware{c.runs.middleware}, worker.Middleware...)
	return c, nil
}

// OnWorkerState implements [batch.WorkerStateHook].
func (c *Check) OnWorkerState(_ context.Context, s batch.WorkerStatus) {
	c.state.Store(uint32(s.State))
	for _, q := range s.Queues {
		c.runs.configure(q.Name, q.Lease)
	}
}

// OnCall implements [batch.CallHook]: each call tells whether the broker answers.
func (c *Check) OnCall(_ context.Context, call batch.Call) {
	now := time.Now()
	c.pulse.note(call, now)
	if call.Op == batch.OpExtend {
		c.runs.extended(call.Queue, now)
	}
}

// OnJobStart implements [batch.JobStartHook].
func (c *Check) OnJobStart(ctx context.Context, job *batch.JobInfo) context.Context {
	return c.runs.start(ctx, job.Queue)
}

// OnJobEnd implements [batch.JobEndHook].
func (c *Check) OnJobEnd(ctx context.Context, e batch.JobEnd) { c.runs.release(ctx, e.Job.Queue) }

// OnLeaseLost implements [batch.LeaseLostHook]: a lease that is lost is not extended.
func (c *Check) OnLeaseLost(ctx context.Context, e batch.LeaseLost) {
	c.runs.release(ctx, e.Job.Queue)
}

// OnJobStuck implements [batch.JobStuckHook].
func (c *Check) OnJobStuck(ctx context.Context, _ *batch.JobInfo, _ time.Duration) { c.runs.stick(ctx) }

// The states of a worker in answers, beside those of [batch.WorkerState].
const (
	stateNew     = "new"
	stateFailed  = "failed"
	stateStopped = "stopped"
)

// need panics without a worker, instead of each probe later.
func need(w *batch.Worker) {
	if w == nil {
		panic((&batch.InvalidError{Field: "worker of a probe", Value: "nil", Bound: "the one that was made with the configuration given to Watch"}).Error())
	}
}

// stateOf is the state of w. Its channels go before what the hooks were told, which is nothing if the start fails.
func (c *Check) stateOf(w *batch.Worker) string {
	select {
	case <-w.Failed():
		return stateFailed
	default:
	}
	select {
	case <-w.Stopped():
		return stateStopped
	default:
	}
	if state := batch.WorkerState(c.state.Load()); state != 0 {
		return state.String()
	}
	return stateNew
}
