package batch_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
)

// derivations make contexts from the handler's, as its callees do.
var derivations = map[string]func(context.Context) (context.Context, context.CancelFunc){
	"itself":     func(ctx context.Context) (context.Context, context.CancelFunc) { return ctx, func() {} },
	"WithCancel": context.WithCancel,
	"WithTimeout": func(ctx context.Context) (context.Context, context.CancelFunc) {
		return context.WithTimeout(ctx, time.Hour)
	},
	"twice": func(ctx context.Context) (context.Context, context.CancelFunc) {
		outer, cancel := context.WithCancel(context.WithValue(ctx, derivedKey{}, 1))
		inner, end := context.WithCancel(outer)
		return inner, func() { end(); cancel() }
	},
}

// derivedKey is the key of a value in a derived context.
type derivedKey struct{}

// TestContextsOfAHandlerAgree asks the handler's context and those derived from it why they
// ended, whether they were made before that or after it, waited for or only asked.
func TestContextsOfAHandlerAgree(t *testing.T) {
	for name, test := range map[string]struct {
		prepare    func(*scripted)
		timeout    time.Duration
		err, cause error
	}{
		"timeout":  {func(*scripted) {}, 5 * time.Second, context.DeadlineExceeded, batch.ErrTimeout},
		"shutdown": {func(*scripted) {}, time.Minute, context.Canceled, batch.ErrShutdown},
		"lease lost": {func(d *scripted) {
			d.onExtend = func(_ int, l []*driver.Delivery) []error { return sameError(l, driver.ErrLeaseLost) }
		}, time.Minute, context.Canceled, batch.ErrLeaseLost},
	} {
		for how, derive := range derivations {
			t.Run(name+"/"+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					d := newScripted()
					test.prepare(d)
					r := newRig(t, d, func(c *batch.WorkerConfig) { c.Timeout = test.timeout })
					check := func(when string, ctx context.Context) {
						t.Helper()
						if err := ctx.Err(); err != test.err || context.Cause(ctx) != test.cause {
							t.Errorf("%s: %v because of %v, want %v because of %v", when, err, context.Cause(ctx), test.err, test.cause)
						}
					}
					batch.Handle(r.worker, func(ctx context.Context, job *batch.Job[task]) error {
						if job.Args.N == 0 { // nobody waits before it has ended
							for ctx.Err() == nil {
								time.Sleep(time.Second)
							}
							check("not waited for", ctx)
						} else {
							derived, cancel := derive(ctx)
							defer cancel()
							if derived.Err() != nil {
								t.Errorf("ended at once: %v", derived.Err())
							}
							<-derived.Done()
							check("derived before", derived)
							<-ctx.Done()
							check("waited for", ctx)
						}
						after, cancel := derive(ctx)
						defer cancel()
						<-after.Done()
						check("derived after", after)
						check("the handler's", ctx)
						return ctx.Err()
					})
					r.enqueue(t, task{0})
					r.enqueue(t, task{1})
					r.start(t)
					synctest.Wait()
					if name != "shutdown" {
						<-r.events.ended
						<-r.events.ended
					}
					r.stop(t)
				})
			})
		}
	}
}

// TestTheFirstEndOfAContextCounts lets the deadline pass after a handler was cancelled for
// another reason, and waits only then.
func TestTheFirstEndOfAContextCounts(t *testing.T) {
	for name, cause := range map[string]error{"lease lost": batch.ErrLeaseLost, "shutdown": batch.ErrShutdown} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newScripted()
				if cause == batch.ErrLeaseLost {
					d.onExtend = func(_ int, l []*driver.Delivery) []error { return sameError(l, driver.ErrLeaseLost) }
				}
				r := newRig(t, d, func(c *batch.WorkerConfig) { c.Timeout = time.Minute })
				batch.Handle(r.worker, func(ctx context.Context, job *batch.Job[task]) error {
					if job.Deliveries > 1 { // it was handed out again when its lease was lost
						return nil
					}
					time.Sleep(61 * time.Second)
					if err := ctx.Err(); err != context.Canceled || context.Cause(ctx) != cause {
						t.Errorf("%v because of %v", err, context.Cause(ctx))
					}
					<-ctx.Done()
					if err := ctx.Err(); err != context.Canceled || context.Cause(ctx) != cause {
						t.Errorf("once it is waited for, %v because of %v", err, context.Cause(ctx))
					}
					return ctx.Err()
				})
				r.enqueue(t, task{})
				r.start(t)
				time.Sleep(59 * time.Second)
				cancelled, cancel := context.WithCancel(t.Context())
				cancel()
				if err := r.worker.Stop(cancelled); err != nil {
					t.Error(err)
				}
				if end := <-r.events.ended; cause == batch.ErrShutdown && end.Verdict.Outcome != batch.OutcomeRelease {
					t.Errorf("a job that the worker interrupted ended with %+v", end.Verdict)
				}
			})
		})
	}
}

// The context of a handler that has returned has ended, and not because the worker has ended
// since: asked only, waited for or the parent of another.
func TestContextAfterTheHandler(t *testing.T) {
	for how, derive := range derivations {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, memory.New(), nil)
				kept := make(chan context.Context, 1)
				batch.Handle(r.worker, func(ctx context.Context, _ *batch.Job[task]) error { kept <- ctx; return nil })
				r.enqueue(t, task{})
				r.start(t)
				<-r.events.ended
				ctx := <-kept
				synctest.Wait()
				if err := ctx.Err(); err != context.Canceled {
					t.Errorf("Err = %v, want Canceled", err)
				}
				r.stop(t)
				derived, cancel := derive(ctx)
				defer cancel()
				<-derived.Done()
				for _, ended := range []context.Context{ctx, derived} {
					if err, cause := ended.Err(), context.Cause(ended); err != context.Canceled || cause != context.Canceled {
						t.Errorf("%v because of %v, want both to be Canceled", err, cause)
					}
				}
			})
		})
	}
}

// A stop does not say that all is well while a handler runs whose lease was lost.
func TestStopCountsHandlersThatLostTheirLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newScripted()
		d.onExtend = func(_ int, l []*driver.Delivery) []error { return sameError(l, driver.ErrLeaseLost) }
		r := newRig(t, d, nil)
		end := make(chan struct{})
		batch.Handle(r.worker, func(ctx context.Context, job *batch.Job[task]) error {
			if job.Args.N == 1 {
				<-ctx.Done()
				return ctx.Err()
			}
			<-end
			return nil
		})
		r.enqueue(t, task{0})
		r.enqueue(t, task{1})
		r.start(t)
		time.Sleep(20 * time.Second) // their leases are extended and lost
		start := time.Now()
		err := r.worker.Stop(t.Context())
		const want = "batch: stop: 1 handlers still run that did not return after their leases were lost"
		if err == nil || err.Error() != want {
			t.Errorf("Stop = %v, want %s", err, want)
		}
		if took := time.Since(start); took < 15*time.Second || took > 25*time.Second {
			t.Errorf("Stop took %s, want it to wait for the handler", took)
		}
		close(end)
		synctest.Wait()
		if n := r.events.leasesLost(); n != 2 {
			t.Errorf("%d leases lost, want 2", n)
		}
	})
}

// A worker that could not start has stopped.
func TestStoppedAfterAFailedStart(t *testing.T) {
	d := newScripted()
	d.onDeclare = func(int) error { return driver.ErrUnauthorized }
	r := newRig(t, d, nil)
	batch.Handle(r.worker, func(context.Context, *batch.Job[task]) error { return nil })
	if err := r.worker.Start(t.Context()); !errors.Is(err, batch.ErrUnauthorized) {
		t.Fatalf("Start = %v, want ErrUnauthorized", err)
	}
	<-r.worker.Stopped()
	<-r.worker.Failed()
	if err := r.worker.Start(t.Context()); !errors.Is(err, batch.ErrStopped) {
		t.Errorf("Start = %v, want ErrStopped", err)
	}
	r.stop(t)
}
