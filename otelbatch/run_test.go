package otelbatch_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/codes"
	api "go.opentelemetry.io/otel/trace"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/otelbatch"
)

// startHook is a hook for the start of runs.
type startHook func()

func (h startHook) OnJobStart(context.Context, *batch.JobInfo) context.Context { h(); return nil }

// ending is a way in which a run ends, and how its span then looks.
type ending struct {
	handle func(ctx context.Context, release <-chan struct{}) error
	set    func(r *rig, release <-chan struct{})
	stopAt time.Duration // after which the worker is stopped, with 10 s for that; an hour if zero

	outcome, reason, errorType string
	events                     []string
	notCalled, noText          bool
}

var errBoom = errors.New("boom")

// endings are all of them.
var endings = map[string]ending{
	"nil":    {handle: func(context.Context, <-chan struct{}) error { return nil }, outcome: "done"},
	"error":  {handle: func(context.Context, <-chan struct{}) error { return errBoom }, outcome: "retry", errorType: "*errors.errorString"},
	"snooze": {handle: func(context.Context, <-chan struct{}) error { return batch.Snooze(time.Second) }, outcome: "snooze"},
	"last attempt": {
		handle: func(context.Context, <-chan struct{}) error {
			return fmt.Errorf("sending: %w", &batch.CapabilityError{})
		},
		set:     func(r *rig, _ <-chan struct{}) { r.config.MaxAttempts = 1 },
		outcome: "dead", reason: batch.ReasonAttempts, errorType: "capability",
	},
	"permanent": {
		handle:  func(context.Context, <-chan struct{}) error { return batch.Permanent(errBoom) },
		outcome: "dead", reason: batch.ReasonPermanent, errorType: "*errors.errorString",
	},
	"retry after": {
		handle:  func(context.Context, <-chan struct{}) error { return batch.RetryAfter(time.Second, context.Canceled) },
		outcome: "retry", errorType: "canceled",
	},
	"panic":  {handle: func(context.Context, <-chan struct{}) error { panic("boom") }, outcome: "retry", errorType: "panic"},
	"Goexit": {handle: func(context.Context, <-chan struct{}) error { runtime.Goexit(); return nil }, outcome: "retry", errorType: "panic"},
	"error whose methods panic": {
		handle: func(context.Context, <-chan struct{}) error { return (*badError)(nil) }, outcome: "retry", errorType: "panic",
	},
	"error whose methods panic later": {
		handle:  func(context.Context, <-chan struct{}) error { return &turningError{calls: 1} },
		outcome: "retry", errorType: "*otelbatch_test.turningError", noText: true, events: []string{"exception"},
	},
	"timeout": {
		handle: func(ctx context.Context, _ <-chan struct{}) error { <-ctx.Done(); return ctx.Err() }, outcome: "retry", errorType: "timeout",
	},
	"nil after the timeout": {
		handle: func(ctx context.Context, _ <-chan struct{}) error { <-ctx.Done(); return nil }, outcome: "done",
	},
	"stuck": {
		handle:  func(_ context.Context, release <-chan struct{}) error { <-release; return nil },
		outcome: "retry", errorType: "timeout", events: []string{"batch.handler.stuck"},
	},
	"stop": {
		handle: func(ctx context.Context, _ <-chan struct{}) error { <-ctx.Done(); return ctx.Err() },
		stopAt: time.Second, outcome: "release",
	},
	"stop that it ignores": {
		handle: func(_ context.Context, release <-chan struct{}) error { <-release; return nil },
		stopAt: time.Second, outcome: "release", events: []string{"batch.handler.stuck"},
	},
	"lost lease": {
		handle: func(ctx context.Context, _ <-chan struct{}) error {
			<-ctx.Done()
			time.Sleep(time.Second) // or the span may end before the event
			return ctx.Err()
		},
		set: func(r *rig, _ <-chan struct{}) {
			r.driver.extend = func(d []*driver.Delivery) []error {
				return same(len(d), fault(batch.ErrLeaseLost, driver.FateNotStored))
			}
		},
		outcome: "lost", errorType: "lease_lost", events: []string{"batch.lease.lost"},
	},
	"broker away": {
		handle: func(context.Context, <-chan struct{}) error { return nil },
		set: func(r *rig, _ <-chan struct{}) {
			r.driver.settle = func(s []driver.Settlement) []error {
				return same(len(s), fault(batch.ErrUnavailable, driver.FateUnknown))
			}
		},
		outcome: "done",
	},
	"a later hook panics": {
		handle: func(context.Context, <-chan struct{}) error { return nil },
		set: func(r *rig, _ <-chan struct{}) {
			r.config.Hooks = append(r.config.Hooks, startHook(func() { panic("boom") }))
		},
		outcome: "done",
	},
	"a later hook ends the goroutine": {
		handle:  func(context.Context, <-chan struct{}) error { return nil },
		set:     func(r *rig, _ <-chan struct{}) { r.config.Hooks = append(r.config.Hooks, startHook(runtime.Goexit)) },
		outcome: "retry", errorType: "panic", notCalled: true,
	},
	"a later hook hangs": {
		handle: func(context.Context, <-chan struct{}) error { return nil },
		set: func(r *rig, release <-chan struct{}) {
			var again atomic.Bool
			r.config.Hooks = append(r.config.Hooks, startHook(func() {
				if !again.Swap(true) {
					<-release
				}
			}))
		},
		outcome: "retry", errorType: "timeout", notCalled: true,
	},
	"the hook is given twice": {
		handle:  func(context.Context, <-chan struct{}) error { return nil },
		set:     func(r *rig, _ <-chan struct{}) { r.config.Hooks = append(r.config.Hooks, r.hook) },
		outcome: "done",
	},
}

// badError is an error whose methods panic on a nil pointer.
type badError struct{ text string }

func (e *badError) Error() string { return e.text }

// turningError is an error whose methods panic after some calls.
type turningError struct{ calls int }

func (e *turningError) Error() string {
	if e.calls--; e.calls < 0 {
		panic("boom")
	}
	return "boom"
}

// TestEveryRunHasOneSpanThatEnds ends runs in all ways.
func TestEveryRunHasOneSpanThatEnds(t *testing.T) {
	for name, e := range endings {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				release := make(chan struct{})
				r.config.Timeout, r.config.StuckAfter = time.Minute, 10*time.Second
				if e.set != nil {
					e.set(r, release)
				}
				var again atomic.Bool
				r.enqueue(task{})
				r.start(func(ctx context.Context, _ *batch.Job[task]) error {
					if again.Swap(true) {
						return nil
					}
					return e.handle(ctx, release)
				})
				if e.stopAt == 0 {
					e.stopAt = time.Hour
				}
				time.Sleep(e.stopAt)
				r.stop(10 * time.Second)
				close(release)
				synctest.Wait()
				e.check(r)
			})
		})
	}
}

// check looks at the span of the first run.
func (e *ending) check(r *rig) {
	t := r.t
	t.Helper()
	spans := r.ended("process tasks")
	if len(spans) == 0 || !e.notCalled && len(spans) != int(r.runs.Load()) {
		t.Fatalf("%d runs have %d spans", r.runs.Load(), len(spans))
	}
	span := spans[0]
	if got := valueOf(span, "batch.job.outcome"); got != e.outcome {
		t.Errorf("the outcome is %q, want %q", got, e.outcome)
	}
	if got := valueOf(span, "batch.job.reason"); got != e.reason {
		t.Errorf("the reason is %q, want %q", got, e.reason)
	}
	if got := valueOf(span, "error.type"); got != e.errorType {
		t.Errorf("error.type is %q, want %q", got, e.errorType)
	}
	if status := span.Status(); (status.Code == codes.Error) != (e.errorType != "") || status.Code == codes.Ok || status.Code == codes.Error && (status.Description == "") != e.noText {
		t.Errorf("the status is %+v with the error type %q", status, e.errorType)
	}
	var events []string
	for _, event := range span.Events() {
		events = append(events, event.Name)
	}
	if strings.Join(events, " ") != strings.Join(e.events, " ") {
		t.Errorf("the events are %q, want %q", events, e.events)
	}
	if span.SpanKind() != api.SpanKindConsumer || span.Parent().IsValid() || len(span.Links()) != 1 {
		t.Errorf("the span is of kind %s with the parent %v and the links %v", span.SpanKind(), span.Parent(), span.Links())
	}
}

// TestRunsLinkToTheEnqueue looks at the traces of a job that fails first and succeeds then,
// with and without the choice that the first run is in the trace of the enqueue.
func TestRunsLinkToTheEnqueue(t *testing.T) {
	for _, parent := range []bool{false, true} {
		t.Run(fmt.Sprintf("ParentFirstRun=%t", parent), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, func(c *otelbatch.Config) { c.ParentFirstRun, c.BodySize = parent, true })
				ctx, request := r.tracer.Tracer("test").Start(t.Context(), "POST /users")
				receipt, err := r.queue.Enqueue(ctx, task{7})
				if err != nil {
					t.Fatal(err)
				}
				request.End()
				// What the worker is started in is no part of the runs.
				ctx, starting := r.tracer.Tracer("test").Start(t.Context(), "start")
				var inside []api.SpanContext
				r.worker = batch.NewWorker(r.driver, r.config)
				batch.Handle(r.worker, func(ctx context.Context, job *batch.Job[task]) error {
					inside = append(inside, api.SpanContextFromContext(ctx))
					if job.Attempt == 1 {
						return errBoom
					}
					return nil
				})
				if err := r.worker.Start(ctx); err != nil {
					t.Fatal(err)
				}
				starting.End()
				time.Sleep(time.Minute)
				r.stop(time.Minute)
				send := r.only("send tasks")
				if send.Parent().SpanID() != request.SpanContext().SpanID() || send.SpanKind() != api.SpanKindProducer {
					t.Errorf("the enqueue is a %s with the parent %v, want that of the request", send.SpanKind(), send.Parent())
				}
				runs := r.ended("process tasks")
				if len(runs) != 2 || len(inside) != 2 {
					t.Fatalf("there are %d runs, and spans of %d", len(inside), len(runs))
				}
				traces := map[api.TraceID]bool{send.SpanContext().TraceID(): true}
				for i, run := range runs {
					if run.SpanContext().SpanID() != inside[i].SpanID() {
						t.Errorf("run %d: the handler has another span in its context", i+1)
					}
					if links := run.Links(); len(links) != 1 || links[0].SpanContext.SpanID() != send.SpanContext().SpanID() {
						t.Errorf("run %d has the links %v, want one to the enqueue", i+1, links)
					}
					if got := valueOf(run, "messaging.message.id"); got != receipt.ID {
						t.Errorf("run %d is of the job %q", i+1, got)
					}
					if got, want := valueOf(run, "batch.job.attempt"), fmt.Sprint(i+1); got != want {
						t.Errorf("run %d is attempt %s", i+1, got)
					}
					child := run.Parent().SpanID() == send.SpanContext().SpanID()
					if child != (parent && i == 0) || child != traces[run.SpanContext().TraceID()] {
						t.Errorf("run %d has the parent %v, in the trace %s", i+1, run.Parent(), run.SpanContext().TraceID())
					}
					traces[run.SpanContext().TraceID()] = true
				}
			})
		})
	}
}

// TestSnoozedJobIsNoFirstRun: a job that comes back a day later is not in the trace of the
// enqueue, although it is still its first attempt.
func TestSnoozedJobIsNoFirstRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *otelbatch.Config) { c.ParentFirstRun = true })
		r.enqueue(task{})
		r.start(func(_ context.Context, job *batch.Job[task]) error {
			if job.Deliveries == 1 {
				return batch.Snooze(24 * time.Hour)
			}
			return nil
		})
		time.Sleep(48 * time.Hour)
		r.stop(time.Minute)
		if runs := r.ended("process"); len(runs) != 2 || !runs[0].Parent().IsValid() || runs[1].Parent().IsValid() {
			t.Errorf("want two runs, of which only the first has a parent: %v", runs)
		}
		metrics, err := r.collect()
		if waited := points(metrics["batch.job.wait.duration"]); err != nil || len(waited) != 1 || waited[0].value != 1 {
			t.Errorf("the waiting time was measured as %v, %v, want once", waited, err)
		}
	})
}

// TestUnstartedJobs: a job that never starts has a span only if that is its end.
func TestUnstartedJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		expired := r.enqueue(task{}, batch.ExpiresIn(r.queue, time.Second))
		r.enqueue(unknown{})
		time.Sleep(time.Minute)
		r.start(func(context.Context, *batch.Job[task]) error { return nil })
		time.Sleep(time.Second / 2)
		r.stop(time.Minute)
		span := r.only("dead_letter tasks")
		if len(r.ended("process")) > 0 || valueOf(span, "messaging.message.id") != expired.ID || valueOf(span, "error.type") != batch.ReasonExpired ||
			span.Status().Code != codes.Error || len(span.Links()) != 1 || span.Parent().IsValid() || span.SpanKind() != api.SpanKindClient {
			t.Errorf("the dead letter has the span %+v", span)
		}
		metrics, err := r.collect()
		if err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprint(points(metrics["batch.job.outcomes"]))
		for _, want := range []string{"batch.job.outcome=dead,batch.job.reason=expired", "batch.job.kind=unknown,batch.job.outcome=bounce"} {
			if !strings.Contains(got, want) {
				t.Errorf("the outcomes are %s, want one with %s", got, want)
			}
		}
		if _, ok := metrics["messaging.process.duration"]; ok {
			t.Error("what did not run has a duration")
		}
	})
}

// unknown is a job that the worker has no handler for.
type unknown struct{}

func (unknown) Kind() string { return "unknown" }
