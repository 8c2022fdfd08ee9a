package batch

import (
	"context"
	"reflect"
	"slices"
	"time"
)

// Handle makes fn the handler for jobs of A's kind, on all queues of the worker.
// Call it before the worker is started. fn is called concurrently.
//
// What fn returns decides what becomes of the job:
//
//   - nil: done.
//   - an error: a failure, which spends an attempt. The job is retried after
//     the retry policy's backoff, and dead-lettered when it has failed
//     MaxAttempts times. A panic counts as an error, a [*PanicError].
//   - [RetryAfter]: the same with a delay of the handler's choice.
//   - [Permanent]: a failure that dead-letters the job at once.
//   - [Snooze]: the job comes back later and no attempt is spent.
//
// ctx is cancelled when the job's timeout has passed ([ErrTimeout]), when its
// lease was lost ([ErrLeaseLost]) or when the worker must stop ([ErrShutdown]);
// context.Cause tells which. If the handler returns nil nevertheless, the job is
// done. If it does not return, the worker waits no longer than StuckAfter for it,
// and the job has failed.
//
// A nil handler, an invalid kind, a second handler for a kind and a worker that
// was already started are programming errors and panic; [TryHandle] returns them.
func Handle[A Args](w *Worker, fn func(ctx context.Context, job *Job[A]) error, options ...HandleOption) {
	if err := TryHandle(w, fn, options...); err != nil {
		panic(err.Error())
	}
}

// TryHandle is [Handle], but returns mistakes as errors that wrap [ErrInvalid] or
// [ErrStarted].
func TryHandle[A Args](w *Worker, fn func(ctx context.Context, job *Job[A]) error, options ...HandleOption) error {
	if fn == nil {
		return invalid("handler", "nil for "+reflect.TypeFor[A]().String(), "a function")
	}
	if t := reflect.TypeFor[A](); t.Kind() == reflect.Interface {
		return invalid("args type", t.String(), "a concrete type: an interface cannot be decoded")
	}
	if _, raw := rawOf(zeroArgs[A]()); raw {
		return invalid("args type", "Raw", "the type that the jobs of the kind decode into")
	}
	kind, err := kindOf(zeroArgs[A]())
	if err != nil {
		return err
	}
	h := &handler{
		kind: kind,
		decode: func(ctx context.Context, codec Codec, info *JobInfo) error {
			job := &Job[A]{JobInfo: info}
			info.decoded = job
			return decodeBody(ctx, codec, info, target(&job.Args))
		},
		run: func(ctx context.Context, info *JobInfo) error { return fn(ctx, info.decoded.(*Job[A])) },
	}
	for _, o := range options {
		if o.apply == nil {
			return invalid("handle option", "the zero HandleOption", "made by one of the option functions")
		}
		if err := o.apply(h); err != nil {
			return err
		}
	}
	return w.add(h)
}

// target is what a codec decodes into: args, or what they point to if A is a pointer,
// as the types are that protobuf generates.
func target[A Args](args *A) any {
	if t := reflect.TypeFor[A](); t.Kind() == reflect.Pointer {
		*args = reflect.New(t.Elem()).Interface().(A)
		return *args
	}
	return args
}

// zeroArgs is a value of A on which Kind is safe to call.
func zeroArgs[A Args]() Args {
	if t := reflect.TypeFor[A](); t.Kind() == reflect.Pointer {
		return reflect.New(t.Elem()).Interface().(Args)
	}
	var zero A
	return zero
}

// HandleOption sets how one kind of job is handled. It overrides the worker's
// config, and what the producer set for a single job overrides it.
type HandleOption struct {
	apply func(*handler) error
}

// HandleAliases makes the handler run jobs of other kinds too: older names of its
// kind, so that a kind can be renamed while jobs of the old name are stored. The
// args are the same type, and the job's Kind is what was stored. New jobs have the
// new name, so deploy the workers before the producers.
func HandleAliases(kinds ...string) HandleOption {
	return HandleOption{func(h *handler) error {
		for _, kind := range kinds {
			if err := checkKind(kind); err != nil {
				return err
			}
			if kind == h.kind || slices.Contains(h.aliases, kind) {
				return invalid("alias", quote(kind), "another name than the kind's own, and given once")
			}
			h.aliases = append(h.aliases, kind)
		}
		return nil
	}}
}

// HandleRetry sets the kind's retry policy.
func HandleRetry(policy RetryPolicy) HandleOption {
	return HandleOption{func(h *handler) error {
		if policy == nil {
			return invalid("retry policy", "nil for kind "+h.kind, "a RetryPolicy")
		}
		h.retry = policy
		return nil
	}}
}

// HandleTimeout sets the timeout of the kind's jobs that come without one.
func HandleTimeout(d time.Duration) HandleOption {
	return HandleOption{func(h *handler) error {
		h.timeout = d
		return checkTimeout(d)
	}}
}

// HandleMaxAttempts sets the number of attempts of the kind's jobs that come
// without one.
func HandleMaxAttempts(n int) HandleOption {
	return HandleOption{func(h *handler) error {
		h.maxAttempts = n
		return checkMaxAttempts(n)
	}}
}

// AddHooks makes more hooks watch the worker, after those of its config and before its log:
// for a program that is handed a worker which other code made, such as a test. Call it
// before the worker is started; after that it is an error that wraps [ErrStarted]. A value
// that is no hook is an error that wraps [ErrInvalid], and none of the list is added.
func (w *Worker) AddHooks(list ...Hook) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state != 0 {
		return w.alreadyStarted("add hooks")
	}
	all := slices.Concat(w.config.Hooks, list)
	var h hooks // apart, so that a refused list leaves the worker as it was
	if err := h.append(all...); err != nil {
		return err
	}
	d, err := watchWith(unwatched(w.driver), &w.hooks, all, w.config.Log)
	if err == nil {
		w.config.Hooks, w.driver = all, d
	}
	return err
}

// add registers a handler with the worker.
func (w *Worker) add(h *handler) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state != 0 {
		return w.alreadyStarted("handle kind " + h.kind)
	}
	kinds := append([]string{h.kind}, h.aliases...)
	for _, kind := range kinds {
		if _, ok := w.handlers[kind]; ok {
			return invalid("kind", quote(kind), "handled once: it already has a handler")
		}
	}
	for _, kind := range kinds {
		w.handlers[kind] = h
	}
	return nil
}
