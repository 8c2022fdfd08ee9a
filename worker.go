package batch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/batch-go/batch/driver"
)

// Worker runs the jobs of one or more queues. Make it with [NewWorker], give it
// handlers with [Handle], then call [Worker.Run], or [Worker.Start] and
// [Worker.Stop]. It can run only once. Its methods are safe for concurrent use.
type Worker struct {
	driver driver.Driver
	info   driver.Info
	config WorkerConfig
	codecs map[string]Codec
	hooks  hooks
	tally  tally
	// ahead is how many jobs the lanes fetch ahead, by queue.
	ahead map[string]*atomic.Int64

	stopped chan struct{}
	failed  chan struct{}
	// stopping is closed when Stop is called, which ends a start that still tries,
	// and started when Start has ended.
	stopping, started chan struct{}
	plan              chan stopPlan // has that of Stop
	crew              *crew         // nil if Start failed; written before started is closed

	mu       sync.Mutex // guards following
	state    WorkerState
	handlers map[string]*handler
	err      error // why failed was closed, or what Stop found
}

// NewWorker makes a worker. It does not talk to the broker. A config that is out of
// bounds is a programming error and panics; [TryNewWorker] returns it instead.
func NewWorker(d Driver, config WorkerConfig) *Worker {
	w, err := TryNewWorker(d, config)
	if err != nil {
		panic(err.Error())
	}
	return w
}

// TryNewWorker is [NewWorker], but returns mistakes as errors that wrap
// [ErrInvalid].
func TryNewWorker(d Driver, config WorkerConfig) (*Worker, error) {
	if err := checkDriver(d); err != nil {
		return nil, err
	}
	w := &Worker{
		info: d.Info(), config: config,
		handlers: make(map[string]*handler),
		ahead:    make(map[string]*atomic.Int64),
		stopped:  make(chan struct{}),
		failed:   make(chan struct{}),
		started:  make(chan struct{}),
		stopping: make(chan struct{}),
		plan:     make(chan stopPlan, 1),
	}
	err := checkInfo(&w.info)
	if err == nil {
		err = w.config.complete(&w.info)
	}
	if err != nil {
		return nil, err
	}
	for _, q := range w.config.Queues {
		w.ahead[q.Name] = new(atomic.Int64)
	}
	if w.codecs, err = w.config.codecs(); err != nil {
		return nil, err
	}
	for i, m := range w.config.Middleware {
		if m == nil {
			return nil, invalid(fmt.Sprintf("middleware %d", i+1), "nil", "a function")
		}
	}
	if w.driver, err = watchWith(d, &w.hooks, w.config.Hooks, w.config.Log); err != nil {
		return nil, err
	}
	return w, nil
}

// Run starts the worker, works until ctx ends and then stops gracefully, as
// [Worker.Stop] does, within StopTimeout. It returns nil if every job was settled or
// given back, or if ctx ended before it had started: a program that is told to end has
// not failed. If the worker cannot start or its driver is closed, it returns the
// driver's error.
func (w *Worker) Run(ctx context.Context) error {
	if err := w.Start(ctx); err != nil {
		if ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
			return nil // told to end before it held a job
		}
		return err
	}
	select {
	case <-ctx.Done():
	case <-w.failed:
	}
	err := w.Stop(context.WithoutCancel(ctx))
	w.mu.Lock()
	defer w.mu.Unlock()
	return errors.Join(w.err, err)
}

// Start declares the queues, opens consumers, begins to work and returns. While the
// broker cannot be reached it tries again, for up to StartTimeout, and reports each
// failed try as a fault. If a queue cannot be declared or consumed it returns an
// error, and the worker has failed. ctx bounds only the start, as Stop does; the
// handlers' contexts inherit its values.
func (w *Worker) Start(ctx context.Context) error {
	w.mu.Lock()
	if w.state != 0 {
		defer w.mu.Unlock()
		return w.alreadyStarted("start")
	}
	if len(w.handlers) == 0 {
		w.mu.Unlock()
		return invalid("worker", "without a handler", "given one for each kind by Handle")
	}
	w.state = WorkerRunning
	err := w.wrapHandlers()
	w.mu.Unlock()
	defer close(w.started)
	if err == nil {
		err = w.begin(ctx)
	}
	if err != nil {
		w.fail(err)
		w.hooks.close()
		w.endStart()
	}
	return err
}

// endStart notes that a worker that could not start has stopped, unless a stop is under way,
// which will.
func (w *Worker) endStart() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state < WorkerDraining {
		w.state = WorkerStopped
		close(w.stopped)
	}
}

// begin opens the consumers and starts the crew.
func (w *Worker) begin(ctx context.Context) error {
	c := newCrew(laneConfig{
		driver: w.driver, limits: w.info.Limits, worker: &w.config, judge: w.judge(), hooks: &w.hooks,
		phases: newPhases(ctx), tally: &w.tally, ahead: w.ahead, fail: w.fail,
	})
	starting, cancel := context.WithTimeoutCause(ctx, w.config.StartTimeout, fmt.Errorf(
		"the broker could not be reached within the start timeout of %s: %w", w.config.StartTimeout, context.DeadlineExceeded))
	defer cancel()
	starting, stop := context.WithCancelCause(starting)
	defer stop(nil)
	go func() {
		select {
		case <-w.stopping:
			stop(ErrStopped)
			w.boundStart(c.phases)
		case <-starting.Done():
		}
	}()
	first, err := c.begin(starting)
	if err != nil {
		return err
	}
	w.crew = c
	w.hooks.onWorkerState(c.phases.working, w.status(WorkerRunning, 0))
	go c.run(first)
	return nil
}

// boundStart ends a start that was told to stop within the time of the stop, also if
// the consumers that it has opened do not close.
func (w *Worker) boundStart(p *phases) {
	plan := <-w.plan
	timer := time.NewTimer(time.Until(plan.close))
	defer timer.Stop()
	select {
	case <-timer.C:
		p.stopClosing()
	case <-w.started:
	}
}

// alreadyStarted is the error of what must be done before the worker was started.
// w.mu must be held.
func (w *Worker) alreadyStarted(what string) error {
	if w.state >= WorkerDraining {
		return fmt.Errorf("batch: %s: %w", what, ErrStopped)
	}
	return fmt.Errorf("batch: %s: %w", what, ErrStarted)
}

// wrapHandlers puts the middleware around the handlers, which do not change from here
// on. It is an error if a middleware is not fit. w.mu must be held.
func (w *Worker) wrapHandlers() error {
	for kind, h := range w.handlers {
		if kind != h.kind { // an alias: it is wrapped under its own name
			continue
		}
		if err := h.wrap(w.config.Middleware); err != nil {
			return err
		}
	}
	return nil
}

// judge makes the judge of the worker's tasks.
func (w *Worker) judge() *judge {
	return &judge{
		handlers: w.handlers, codecs: w.codecs,
		retry: w.config.RetryPolicy, maxAttempts: w.config.MaxAttempts, timeout: w.config.Timeout,
		maxRedeliveries: w.config.MaxRedeliveries, suspectAt: suspectAt(w.config.MaxRedeliveries),
		bounceTimeout: w.config.BounceTimeout, maxDelay: w.info.Limits.MaxRetryDelay,
	}
}

// Stop stops the worker gracefully. It receives no more jobs, gives back those that
// have not started and waits for those that have. Everything ends by the deadline of
// ctx, or within StopTimeout if it has none: the last fifth of that time, 5 s at most,
// is for settling what is left and for closing the consumers, and before it
// CancelTimeout, at most half of the rest, for handlers to return. When that begins, or
// when ctx is cancelled, the jobs that still run are cancelled with [ErrShutdown] as
// the cause. They are given back without spending an attempt, those of handlers that
// do not return too. A ctx that has ended cancels at once, and leaves that much time as
// StopTimeout does.
//
// Stop returns nil if every job was settled or given back and no handler is left that lost
// its lease, and otherwise an error that says how many jobs and handlers there are: the
// broker hands the jobs out again when their leases end. If a hook does not return, Stop
// ends a second after its time, with an error. A second Stop waits for the first. A worker
// that was never started is stopped at once.
func (w *Worker) Stop(ctx context.Context) error {
	w.mu.Lock()
	state := w.state
	if state < WorkerDraining {
		w.state = WorkerDraining
		close(w.stopping)
	}
	w.mu.Unlock()
	switch {
	case state == 0:
		close(w.stopped)
		return nil
	case state >= WorkerDraining:
		select {
		case <-w.stopped:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	total := w.config.StopTimeout
	if deadline, ok := ctx.Deadline(); ok && ctx.Err() == nil {
		total = time.Until(deadline)
	}
	plan := planStop(time.Now(), total, w.config.CancelTimeout)
	w.plan <- plan
	defer close(w.stopped)
	drained := make(chan error, 1)
	go func() { drained <- w.drain(ctx, plan) }()
	hung := time.NewTimer(time.Until(plan.close) + hangTime)
	defer hung.Stop()
	select {
	case err := <-drained:
		return err
	case <-hung.C:
		return errors.New("batch: stop: the worker did not end in time, because a hook or a call to the driver does not return")
	}
}

// hangTime is how long after the end of a stop's time the worker is waited for. It has
// nothing more to do then, and ends at once, unless something hangs.
const hangTime = time.Second

// drain stops a worker that was started.
func (w *Worker) drain(ctx context.Context, plan stopPlan) error {
	<-w.started
	c := w.crew
	if c == nil {
		return nil
	}
	w.hooks.onWorkerState(c.phases.working, w.status(WorkerDraining, 0))
	w.tally.reset()
	c.phases.end(ctx, plan, c.done)
	err := c.err
	if n := w.tally.abandoned.Load(); n > 0 {
		err = errors.Join(fmt.Errorf("batch: stop: %d jobs could not be settled in time, and are handed out again when their leases end", n), err)
	}
	if n := w.tally.left.Load(); n > 0 {
		err = errors.Join(fmt.Errorf("batch: stop: %d handlers still run that did not return after their leases were lost", n), err)
	}
	w.hooks.close()
	w.hooks.onWorkerState(c.phases.working, w.status(WorkerStopped, w.tally.givenBack()))
	return err
}

// status is what hooks are told when the worker enters a state.
func (w *Worker) status(state WorkerState, givenBack int) WorkerStatus {
	return WorkerStatus{State: state, Broker: w.info, Queues: slices.Clone(w.config.Queues), GivenBack: givenBack}
}

// fail notes why the worker cannot go on. Only the first reason counts.
func (w *Worker) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
		close(w.failed)
	}
}

// Failed is closed when the worker cannot go on, because its driver was closed or
// because it could not start. [Worker.Run] then stops the worker. After [Worker.Start]
// you have to call [Worker.Stop], unless it was the start that failed.
func (w *Worker) Failed() <-chan struct{} { return w.failed }

// Prefetch is how many jobs of a queue the worker fetches at present beyond those that run:
// the queue's Prefetch if that is set, and else a number that changes with how long jobs take,
// between zero and MaxPrefetch. It is zero before the worker has started, after it has
// stopped, and for a queue that is not the worker's.
func (w *Worker) Prefetch(queue string) int {
	if n := w.ahead[queue]; n != nil {
		return int(n.Load())
	}
	return 0
}

// Stopped is closed when the worker has stopped, or could not start.
func (w *Worker) Stopped() <-chan struct{} { return w.stopped }
