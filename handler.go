package batch

import (
	"context"
	"fmt"
	"time"
)

// Handler works on a job whose type is erased, which is what [Middleware] wraps.
// Its error decides what becomes of the job, as [Handle] says.
type Handler func(ctx context.Context, job *JobInfo) error

// Middleware wraps the handling of every job of a worker: it is called after the
// job is decoded and before its handler. The first of several is the outermost. It
// may skip next, and then decides the outcome with what it returns. It must not
// call next more than once, or after it has returned.
type Middleware func(next Handler) Handler

// handler is what a worker knows about a kind. Its fields do not change once the
// worker runs.
type handler struct {
	kind    string
	aliases []string // more kinds that it handles
	// decode makes info.decoded and fills its args.
	decode func(context.Context, Codec, *JobInfo) error
	// run calls the application's function, inside the middleware once the worker
	// was started.
	run Handler

	retry       RetryPolicy   // nil: the worker's
	timeout     time.Duration // 0: the worker's
	maxAttempts int           // 0: the worker's
}

// wrap puts middleware around the handler. It is an error if one panics or returns
// no handler.
func (h *handler) wrap(middleware []Middleware) error {
	run, failed, err := wrapAll(middleware, h.run, "handler")
	if err != nil {
		return fmt.Errorf("batch: middleware %d around kind %s: %w", failed, h.kind, err)
	}
	h.run = run
	return nil
}

// decodeArgs runs the codec. If it panics on a hostile body, that must not take
// the worker down.
func (h *handler) decodeArgs(ctx context.Context, codec Codec, job *JobInfo) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = newPanicError(fmt.Sprintf("the codec, of type %T", codec), r)
		}
		if err != nil {
			job.decoded = nil
		}
	}()
	return sound(h.decode(ctx, codec, job), "the codec")
}

// call runs middleware and handler, and turns a panic into an error.
func (h *handler) call(ctx context.Context, job *JobInfo) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = newPanicError("", r)
		}
	}()
	return sound(h.run(ctx, job), "the handler")
}
