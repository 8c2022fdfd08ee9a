package batch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
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
	lanes  []*lane

	// fetching ends when the worker begins to stop, working when its second
	// deadline passes, and settling when there is no point in telling the broker
	// any more.
	fetching, working, settling context.Context
	stopFetching                context.CancelFunc
	stopWorking                 context.CancelCauseFunc
	stopSettling                context.CancelFunc
	stopped                     chan struct{}
	failed                      chan struct{}
	started                     chan struct{}
	running                     bool // written before started is closed

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
		stopped:  make(chan struct{}),
		failed:   make(chan struct{}),
		started:  make(chan struct{}),
	}
	err := w.config.complete(&w.info)
	if err != nil {
		return nil, err
	}
	if w.codecs, err = w.config.codecs(); err != nil {
		return nil, err
	}
	for i, m := range w.config.Middleware {
		if m == nil {
			return nil, invalid(fmt.Sprintf("middleware %d", i+1), "nil", "a function")
		}
	}
	if err := w.hooks.append(w.config.Hooks...); err != nil {
		return nil, err
	}
	w.driver = watch(d, &w.hooks)
	return w, w.hooks.addLog(w.config.Log, w.driver)
}

// Run starts the worker, works until ctx ends and then stops gracefully. It
// receives no more jobs, gives back those that have not started and waits up to
// DrainTimeout for those that have. It then cancels the jobs that still run and
// gives them back without spending an attempt. Run returns nil if all jobs finished
// in time, and an error if some had to be cancelled. If the worker cannot start or
// its driver is closed, it returns at once with the driver's error.
func (w *Worker) Run(ctx context.Context) error {
	if err := w.Start(ctx); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case <-w.failed:
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.config.DrainTimeout)
	defer cancel()
	err := w.Stop(stopping)
	w.mu.Lock()
	defer w.mu.Unlock()
	return errors.Join(w.err, err)
}

// Start declares the queues, opens consumers, begins to work and returns. If a
// queue cannot be declared or consumed it returns an error, and the worker has
// failed. ctx bounds only the start; the handlers' contexts inherit its values.
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
	err := w.prepare(ctx)
	w.mu.Unlock()
	defer close(w.started)
	if err != nil {
		w.fail(err)
		w.hooks.close()
		return err
	}

	config := laneConfig{
		driver: w.driver, limits: w.info.Limits, worker: &w.config, judge: w.judge(), hooks: &w.hooks,
		working: w.working, settling: w.settling, fail: w.fail,
	}
	for _, q := range w.config.Queues {
		l, err := openLane(ctx, config, q)
		if err != nil {
			w.fail(err)
			w.hooks.close()
			return errors.Join(err, w.closeConsumers(ctx))
		}
		w.lanes = append(w.lanes, l)
	}
	w.hooks.onWorkerState(w.working, w.status(WorkerRunning, 0))
	for _, l := range w.lanes {
		l.start(w.fetching)
	}
	w.running = true
	return nil
}

// alreadyStarted is the error of what must be done before the worker was started.
// w.mu must be held.
func (w *Worker) alreadyStarted(what string) error {
	if w.state >= WorkerDraining {
		return fmt.Errorf("batch: %s: %w", what, ErrStopped)
	}
	return fmt.Errorf("batch: %s: %w", what, ErrStarted)
}

// prepare makes the contexts and puts the middleware around the handlers, which do
// not change from here on. It is an error if a middleware is not fit. w.mu must be
// held.
func (w *Worker) prepare(ctx context.Context) error {
	base := context.WithoutCancel(ctx)
	w.fetching, w.stopFetching = context.WithCancel(base)
	w.working, w.stopWorking = context.WithCancelCause(base)
	w.settling, w.stopSettling = context.WithCancel(base)
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
		maxRedeliveries: w.config.MaxRedeliveries, bounceTimeout: w.config.BounceTimeout, maxDelay: w.info.Limits.MaxRetryDelay,
	}
}

// Stop stops the worker gracefully. It receives no more jobs, gives back those that
// have not started and waits for those that have. When ctx ends it cancels the
// jobs that still run, with [ErrShutdown] as the cause, waits up to CancelTimeout
// for their handlers, and gives the jobs back without spending an attempt; it then
// returns an error that says how many there were. After that it may take five
// seconds to settle what is left, and five more to close the consumers. No job is
// lost either way. A second Stop waits for the first. A worker that was never
// started is stopped at once.
func (w *Worker) Stop(ctx context.Context) error {
	w.mu.Lock()
	state := w.state
	if state < WorkerDraining {
		w.state = WorkerDraining
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
	<-w.started
	defer close(w.stopped)
	if !w.running {
		return nil
	}
	before := w.released()
	err := w.drain(ctx)
	w.hooks.close()
	w.hooks.onWorkerState(w.working, w.status(WorkerStopped, w.released()-before))
	return err
}

// status is what hooks are told when the worker enters a state.
func (w *Worker) status(state WorkerState, givenBack int) WorkerStatus {
	return WorkerStatus{State: state, Broker: w.info, Queues: slices.Clone(w.config.Queues), GivenBack: givenBack}
}

// released counts the jobs that were given back.
func (w *Worker) released() int {
	n := int64(0)
	for _, l := range w.lanes {
		n += l.settler.released.Load()
	}
	return int(n)
}

// closeTimeout bounds the settlements that are left when all handlers have
// returned, and then the closing of the consumers. Stop's ctx does not, as what
// the handlers have done must not be lost when it has ended.
const closeTimeout = 5 * time.Second

// drain stops a worker that is running.
func (w *Worker) drain(ctx context.Context) error {
	w.hooks.onWorkerState(w.working, w.status(WorkerDraining, 0))
	w.stopFetching()
	for _, l := range w.lanes {
		l.close()
	}
	for _, l := range w.lanes {
		l.fetcher.wait()
	}
	cancelled := 0
	if !w.quiet(ctx) {
		for _, l := range w.lanes {
			cancelled += l.running()
		}
		w.stopWorking(ErrShutdown)
		w.within(w.config.CancelTimeout, func(grace context.Context) {
			if !w.quiet(grace) {
				for _, l := range w.lanes {
					l.detach()
				}
			}
		})
	}
	w.within(closeTimeout, func(grace context.Context) {
		for _, l := range w.lanes {
			select {
			case <-l.settler.idle():
			case <-grace.Done():
			}
		}
	})
	w.stopSettling()
	for _, l := range w.lanes {
		<-l.settler.idle()
		l.keeper.close()
	}
	w.stopWorking(ErrShutdown)
	var err error
	w.within(closeTimeout, func(grace context.Context) { err = w.closeConsumers(grace) })
	if cancelled > 0 {
		err = errors.Join(fmt.Errorf("batch: %d jobs were cancelled and given back because the drain took too long: %w", cancelled, context.Cause(ctx)), err)
	}
	return err
}

// within calls do with a context that ends after d.
func (w *Worker) within(d time.Duration, do func(context.Context)) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	do(ctx)
}

// quiet waits until no lane runs a job any more. It returns false if ctx ended
// first.
func (w *Worker) quiet(ctx context.Context) bool {
	for _, l := range w.lanes {
		select {
		case <-l.slots.quiet:
			continue
		default:
		}
		select {
		case <-l.slots.quiet:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// closeConsumers closes the consumers of all lanes.
func (w *Worker) closeConsumers(ctx context.Context) error {
	var errs []error
	for _, l := range w.lanes {
		if err := l.consumer.Close(ctx); err != nil && !errors.Is(err, ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
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
// because it could not start. [Worker.Run] then stops the worker; after
// [Worker.Start] you have to call [Worker.Stop].
func (w *Worker) Failed() <-chan struct{} { return w.failed }

// Stopped is closed when the worker has stopped.
func (w *Worker) Stopped() <-chan struct{} { return w.stopped }
