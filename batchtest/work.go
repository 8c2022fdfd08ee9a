package batchtest

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/batch-go/batch"
)

// workOption is an option that is about the worker, and none of a job.
type workOption func(*work) error

func (o workOption) set(w *work) error { return o(w) }

// Middleware wraps the handler; the first is the outermost. Given twice, the second list is inside the first.
func Middleware(list ...batch.Middleware) WorkOption {
	return workOption(func(w *work) error {
		w.middleware = append(w.middleware, list...)
		return nil
	})
}

// Handling are the options that the handler has in the program, such as [batch.HandleTimeout],
// [batch.HandleMaxAttempts] and [batch.HandleRetry].
func Handling(options ...batch.HandleOption) WorkOption {
	return workOption(func(w *work) error {
		w.handling = append(w.handling, options...)
		return nil
	})
}

// Context has the values that the handler finds in its context. Its end and its deadline are not passed on, as a worker
// does not either. Defaults to that of the test.
func Context(ctx context.Context) WorkOption {
	return workOption(func(w *work) error {
		if ctx == nil {
			return errors.New("Context is nil: must be a context")
		}
		w.values = context.WithoutCancel(ctx)
		return nil
	})
}

// Work runs a handler once on a job with these args, by a worker and on a memory driver of its own, and returns
// what became of it. What differs from a worker in the program is the worker's config, which is the
// default one; [Handling] and [Middleware] have what matters of it. A handler that fails does not fail the
// test: see [RequireDone] and its like, and [Result].
//
// The handler is on a goroutine of its own. It may fail the test at once, which ends the test. One that does not
// return is waited for until the job's timeout and 30 s have passed, which takes no time in a bubble of
// testing/synctest.
func Work[A batch.Args](t testing.TB, handler func(ctx context.Context, job *batch.Job[A]) error, args A, options ...WorkOption) Result {
	t.Helper()
	if handler == nil {
		t.Fatalf("batchtest: the handler is nil")
	}
	ctx, cancel := bounded(t)
	defer cancel()
	w, _ := prepare(ctx, t, args, options)
	before := t.Failed() || t.Skipped()
	var returned atomic.Bool
	once := &firstEnd{work: w, ended: make(chan Result, 1)}
	worker, err := batch.TryNewWorker(w.driver, batch.WorkerConfig{
		Queues: []batch.WorkerQueue{{Name: w.queue, Concurrency: 1, Prefetch: batch.NoPrefetch}},
		Codecs: []batch.Codec{w.codec}, Middleware: w.middleware,
		Hooks: []batch.Hook{once}, Log: slog.New(slog.DiscardHandler),
	})
	if err == nil {
		err = batch.TryHandle(worker, func(ctx context.Context, job *batch.Job[A]) error {
			err := handler(ctx, job)
			returned.Store(true)
			return err
		}, w.handling...)
	}
	if err == nil {
		err = worker.Start(w.values)
	}
	if err != nil {
		t.Fatalf("batchtest: the worker cannot start: %v", err)
	}
	result := <-once.ended
	if err := worker.Stop(withoutEnd(t)); err != nil {
		t.Fatalf("batchtest: %v", err)
	}
	if _, panicked := errors.AsType[*batch.PanicError](result.Err); panicked && !returned.Load() {
		endWith(t, before)
	}
	return result
}

// firstEnd is the hook that waits for the end of the first run.
type firstEnd struct {
	work  *work
	ended chan Result
}

// OnJobEnd sees to it that there is no second run: the broker has not been told yet, and a job that comes back at once
// stays where it is.
func (f *firstEnd) OnJobEnd(ctx context.Context, e batch.JobEnd) {
	_ = f.work.driver.Pause(context.WithoutCancel(ctx), f.work.queue) // it fails only if the queue is gone
	f.ended <- newResult(e)
}

// endWith ends the test if something else has said so: a handler that calls t.FailNow or t.SkipNow ends its own
// goroutine by that, and no other. Of a test that had failed or was skipped before that handler, nobody knows, and it goes
// on.
func endWith(t testing.TB, before bool) {
	t.Helper()
	switch {
	case before:
	case t.Failed():
		t.FailNow()
	case t.Skipped():
		t.SkipNow()
	}
}
