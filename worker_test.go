package batch_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
)

func TestOutcomes(t *testing.T) {
	boom := errors.New("boom")
	minute := batch.ConstantBackoff(time.Minute)
	tests := []struct {
		name    string
		handler func(context.Context, *batch.Job[task]) error
		want    batch.Verdict
		wantErr string
	}{
		{"done", func(context.Context, *batch.Job[task]) error { return nil }, batch.Verdict{Outcome: batch.OutcomeDone}, ""},
		{"failure", func(context.Context, *batch.Job[task]) error { return boom }, batch.Verdict{Outcome: batch.OutcomeRetry, Delay: time.Minute, Failures: 1}, "boom"},
		{"permanent", func(context.Context, *batch.Job[task]) error { return batch.Permanent(boom) }, batch.Verdict{Outcome: batch.OutcomeDead, Reason: batch.ReasonPermanent, Failures: 1}, "boom"},
		{"snooze", func(context.Context, *batch.Job[task]) error { return batch.Snooze(time.Hour) }, batch.Verdict{Outcome: batch.OutcomeRetry, Delay: time.Hour}, "snoozed for 1h0m0s"},
		{"retry after", func(context.Context, *batch.Job[task]) error { return batch.RetryAfter(time.Second, boom) }, batch.Verdict{Outcome: batch.OutcomeRetry, Delay: time.Second, Failures: 1}, "boom"},
		{"panic", func(context.Context, *batch.Job[task]) error { panic(boom) }, batch.Verdict{Outcome: batch.OutcomeRetry, Delay: time.Minute, Failures: 1}, "worker_test.go:33: boom"},
		{"goexit", func(context.Context, *batch.Job[task]) error { runtime.Goexit(); return nil }, batch.Verdict{Outcome: batch.OutcomeRetry, Delay: time.Minute, Failures: 1}, "Goexit"},
		{"timeout", func(ctx context.Context, _ *batch.Job[task]) error {
			<-ctx.Done()
			if !errors.Is(ctx.Err(), context.DeadlineExceeded) || context.Cause(ctx) != batch.ErrTimeout {
				return batch.Permanent(errors.New("the context does not say that it timed out"))
			}
			return ctx.Err()
		}, batch.Verdict{Outcome: batch.OutcomeRetry, Delay: time.Minute, Failures: 1}, "timed out after 30m0s"},
		{"done in spite of the timeout", func(ctx context.Context, _ *batch.Job[task]) error { <-ctx.Done(); return nil }, batch.Verdict{Outcome: batch.OutcomeDone}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, memory.New(), func(c *batch.WorkerConfig) { c.RetryPolicy = minute; c.Queues[0].Concurrency = 1 })
				batch.Handle(r.worker, tt.handler)
				r.enqueue(t, task{})
				r.start(t)
				end := <-r.events.ended
				if end.Verdict != tt.want {
					t.Errorf("verdict = %+v, want %+v", end.Verdict, tt.want)
				}
				if tt.wantErr == "" && end.Err != nil || tt.wantErr != "" && (end.Err == nil || !strings.Contains(end.Err.Error(), tt.wantErr)) {
					t.Errorf("error = %v, want %q", end.Err, tt.wantErr)
				}
				// The one slot must be there for the next job, whatever became of this one.
				go func() {
					for range r.events.ended {
					}
				}()
				r.stop(t)
				close(r.events.ended)
			})
		})
	}
}

// A handler that ignores its context is detached: its job fails, its slot goes to
// the next job, and what it returns in the end changes nothing.
func TestStuckHandlerFreesItsSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memory.New(), func(c *batch.WorkerConfig) {
			c.Queues[0].Concurrency = 1
			c.Timeout, c.StuckAfter = time.Minute, time.Second
			c.RetryPolicy = batch.ConstantBackoff(time.Hour)
		})
		release := make(chan struct{})
		batch.Handle(r.worker, func(_ context.Context, job *batch.Job[task]) error {
			if job.Args.N == 0 {
				<-release
			}
			return nil
		})
		r.enqueue(t, task{0})
		r.start(t)
		start := time.Now()
		stuck := <-r.events.ended
		if took := time.Since(start); took != time.Minute+time.Second {
			t.Errorf("it was detached after %s, want 1m1s", took)
		}
		if stuck.Verdict.Outcome != batch.OutcomeRetry || stuck.Verdict.Failures != 1 {
			t.Errorf("verdict = %+v, want a retry that spent an attempt", stuck.Verdict)
		}
		r.enqueue(t, task{1})
		if next := <-r.events.ended; next.Job.Attempt != 1 || next.Verdict.Outcome != batch.OutcomeDone {
			t.Errorf("the job behind it: %+v", next)
		}
		close(release)
		synctest.Wait()
		if d := depth(t, r.queue); d.Scheduled != 1 || d.Running != 0 {
			t.Errorf("depth after it returned = %+v, want its retry scheduled", d)
		}
		r.stop(t)
	})
}

func TestDrain(t *testing.T) {
	type result struct {
		verdicts []batch.Verdict
		err      error
		took     time.Duration
	}
	// drain stops a worker with one slot, a job in it and one prefetched.
	drain := func(t *testing.T, handler func(context.Context, *batch.Job[task]) error, within time.Duration) (res result, left batch.Depth) {
		r := newRig(t, memory.New(), func(c *batch.WorkerConfig) {
			c.Queues[0].Concurrency, c.Queues[0].Prefetch = 1, 1
			c.CancelTimeout = 10 * time.Second
		})
		batch.Handle(r.worker, handler)
		r.enqueue(t, task{0})
		r.enqueue(t, task{1})
		r.start(t)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), within)
		defer cancel()
		start := time.Now()
		res.err = r.worker.Stop(ctx)
		res.took = time.Since(start)
		close(r.events.ended)
		for e := range r.events.ended {
			res.verdicts = append(res.verdicts, e.Verdict)
		}
		if want := []batch.WorkerState{batch.WorkerRunning, batch.WorkerDraining, batch.WorkerStopped}; !slices.Equal(r.events.states, want) {
			t.Errorf("states = %v, want %v", r.events.states, want)
		}
		return res, depth(t, r.queue)
	}
	outcomes := func(verdicts []batch.Verdict) (all []batch.Outcome) {
		for _, v := range verdicts {
			all = append(all, v.Outcome)
			if v.Failures != 0 {
				t.Errorf("a drain spent an attempt: %+v", v)
			}
		}
		return all
	}

	t.Run("lets the running job finish", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			res, left := drain(t, func(ctx context.Context, _ *batch.Job[task]) error {
				time.Sleep(time.Minute) // fake time
				return ctx.Err()
			}, time.Hour)
			if res.err != nil || res.took != time.Minute {
				t.Errorf("Stop = %v after %s, want nil after 1m", res.err, res.took)
			}
			if got := outcomes(res.verdicts); !slices.Equal(got, []batch.Outcome{batch.OutcomeRelease, batch.OutcomeDone}) {
				t.Errorf("outcomes = %v", got)
			}
			if left.Waiting != 1 || left.Running != 0 {
				t.Errorf("left = %+v, want the prefetched job waiting", left)
			}
		})
	})
	t.Run("cancels at the deadline", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			res, left := drain(t, func(ctx context.Context, _ *batch.Job[task]) error {
				<-ctx.Done()
				if context.Cause(ctx) != batch.ErrShutdown {
					t.Errorf("cause = %v", context.Cause(ctx))
				}
				return ctx.Err()
			}, time.Minute)
			// 5 s of the total are for settling and closing, and 10 s for the handler.
			if res.err != nil || res.took != 45*time.Second {
				t.Errorf("Stop = %v after %s, want nil after 45s", res.err, res.took)
			}
			if got := outcomes(res.verdicts); !slices.Equal(got, []batch.Outcome{batch.OutcomeRelease, batch.OutcomeRelease}) {
				t.Errorf("outcomes = %v", got)
			}
			if left.Waiting != 2 {
				t.Errorf("left = %+v, want both jobs waiting", left)
			}
		})
	})
	t.Run("gives up on a handler that ignores it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			done := make(chan struct{})
			defer func() { close(done); synctest.Wait() }()
			res, left := drain(t, func(context.Context, *batch.Job[task]) error { <-done; return nil }, time.Minute)
			if res.err != nil || res.took != 55*time.Second {
				t.Errorf("Stop = %v after %s, want nil after 55s", res.err, res.took)
			}
			if got := outcomes(res.verdicts); !slices.Equal(got, []batch.Outcome{batch.OutcomeRelease, batch.OutcomeRelease}) {
				t.Errorf("outcomes = %v", got)
			}
			if left.Waiting != 2 {
				t.Errorf("left = %+v, want both jobs waiting", left)
			}
		})
	})
}

func TestRunStopsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memory.New(), nil)
		batch.Handle(r.worker, func(context.Context, *batch.Job[task]) error { return nil })
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error)
		go func() { ran <- r.worker.Run(ctx) }()
		r.enqueue(t, task{})
		<-r.events.ended
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
		<-r.worker.Stopped()
		if err := r.worker.Run(t.Context()); !errors.Is(err, batch.ErrStarted) {
			t.Errorf("a second Run = %v, want ErrStarted", err)
		}
		if err := r.worker.Stop(t.Context()); err != nil {
			t.Errorf("a second Stop = %v, want nil", err)
		}
	})
}

func TestRunEndsWhenItsDriverIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := memory.New()
		r := newRig(t, d, nil)
		batch.Handle(r.worker, func(context.Context, *batch.Job[task]) error { return nil })
		ran := make(chan error)
		go func() { ran <- r.worker.Run(t.Context()) }()
		synctest.Wait()
		if err := d.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-ran; !errors.Is(err, batch.ErrClosed) {
			t.Errorf("Run = %v, want ErrClosed", err)
		}
	})
}

func TestStartWithoutHandlers(t *testing.T) {
	r := newRig(t, memory.New(), nil)
	if err := r.worker.Start(t.Context()); !errors.Is(err, batch.ErrInvalid) || !strings.Contains(err.Error(), "without a handler") {
		t.Errorf("Start without a handler = %v, want ErrInvalid", err)
	}
	batch.Handle(r.worker, func(context.Context, *batch.Job[task]) error { return nil })
	r.start(t) // it has not been started
	r.stop(t)
	if err := r.worker.Start(t.Context()); !errors.Is(err, batch.ErrStopped) || strings.Contains(err.Error(), "already started") {
		t.Errorf("Start of a worker that has stopped = %v", err)
	}
}

func TestStartReportsWhatTheBrokerSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newScripted()
		d.onDeclare = func(int) error {
			return &driver.Error{Driver: "scripted", Op: "declare", Queue: "tasks", Kind: driver.ErrConflict, Fate: driver.FateNotStored}
		}
		r := newRig(t, d, nil)
		batch.Handle(r.worker, func(context.Context, *batch.Job[task]) error { return nil })
		if err := r.worker.Start(t.Context()); !errors.Is(err, batch.ErrConflict) {
			t.Errorf("Start = %v, want ErrConflict", err)
		}
		<-r.worker.Failed()
		r.stop(t)
	})
}

// Receive errors are reported and followed by a backoff, and a queue that was
// deleted while the worker runs is declared again.
func TestReceiveFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newScripted()
		gone := &driver.Error{Driver: "scripted", Op: "receive", Kind: driver.ErrNotFound}
		d.onReceive = func(n int) error {
			switch {
			case n <= 5:
				return unavailable(driver.FateUnknown)
			case n == 6:
				return gone
			}
			return nil
		}
		r := newRig(t, d, nil)
		batch.Handle(r.worker, func(context.Context, *batch.Job[task]) error { return nil })
		r.enqueue(t, task{})
		r.start(t)
		start := time.Now()
		<-r.events.ended
		// Pauses double from 50 ms, between half and all of the ceiling each.
		if took := time.Since(start); took < (50+100+200+400+800+1600)*time.Millisecond/2 || took > 3150*time.Millisecond {
			t.Errorf("six faults took %s: backoff is off", took)
		}
		if got := len(r.events.faultOps()); got != 6 {
			t.Errorf("%d faults reported, want 6", got)
		}
		if d.declares != 3 { // the enqueue's, the start's, the one after ErrNotFound
			t.Errorf("%d declares, want 3", d.declares)
		}
		r.stop(t)
	})
}

// Jobs of a higher priority overtake those that are prefetched already.
func TestPrefetchedJobsStartByPriority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := memory.New()
		r := newRig(t, d, func(c *batch.WorkerConfig) { c.Queues[0].Concurrency, c.Queues[0].Prefetch = 1, 10 })
		gate := make(chan struct{})
		var order []int
		batch.Handle(r.worker, func(_ context.Context, job *batch.Job[task]) error {
			order = append(order, job.Args.N)
			<-gate
			return nil
		})
		r.enqueue(t, task{0})
		r.start(t)
		synctest.Wait()
		for i, level := range []batch.Level{batch.Low, batch.Normal, batch.Trivial, batch.Critical, batch.High} {
			r.enqueue(t, task{i + 1}, batch.Priority(r.queue, level))
			synctest.Wait()
		}
		close(gate)
		for range 6 {
			<-r.events.ended
		}
		if want := []int{0, 4, 5, 2, 1, 3}; !slices.Equal(order, want) {
			t.Errorf("order = %v, want %v", order, want)
		}
		r.stop(t)
	})
}

func TestMiddlewareOrderAndSkip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var trace []string
		tag := func(name string) batch.Middleware {
			return func(next batch.Handler) batch.Handler {
				return func(ctx context.Context, job *batch.JobInfo) error {
					trace = append(trace, name)
					if job.DecodedArgs().(task).N == 1 && name == "inner" {
						return nil
					}
					return next(ctx, job)
				}
			}
		}
		r := newRig(t, memory.New(), func(c *batch.WorkerConfig) {
			c.Queues[0].Concurrency = 1
			c.Middleware = []batch.Middleware{tag("outer"), tag("inner")}
		})
		batch.Handle(r.worker, func(context.Context, *batch.Job[task]) error { trace = append(trace, "handler"); return nil })
		r.enqueue(t, task{0})
		r.enqueue(t, task{1})
		r.start(t)
		<-r.events.ended
		<-r.events.ended
		r.stop(t)
		if want := []string{"outer", "inner", "handler", "outer", "inner"}; !slices.Equal(trace, want) {
			t.Errorf("trace = %v, want %v", trace, want)
		}
	})
}

// Concurrency is a bound, and is reached.
func TestConcurrencyPerQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := memory.New()
		other := batch.NewQueue(d, "other")
		r := newRig(t, d, func(c *batch.WorkerConfig) {
			c.Queues = []batch.WorkerQueue{{Name: "tasks", Concurrency: 7}, {Name: "other", Concurrency: 2, Prefetch: batch.NoPrefetch}}
		})
		var running, most [2]atomic.Int64
		batch.Handle(r.worker, func(_ context.Context, job *batch.Job[task]) error {
			i := 0
			if job.Queue == "other" {
				i = 1
			}
			if n := running[i].Add(1); n > most[i].Load() {
				most[i].Store(n)
			}
			time.Sleep(time.Second) // fake time
			running[i].Add(-1)
			return nil
		})
		for n := range 50 {
			r.enqueue(t, task{n})
			if _, err := other.Enqueue(t.Context(), task{n}); err != nil {
				t.Fatal(err)
			}
		}
		r.start(t)
		synctest.Wait()
		if d := depth(t, other); d.Running != 2 {
			t.Errorf("a queue without prefetch holds %d jobs, want its concurrency of 2", d.Running)
		}
		for range 100 {
			<-r.events.ended
		}
		if a, b := most[0].Load(), most[1].Load(); a != 7 || b != 2 {
			t.Errorf("at most %d and %d ran at the same time, want 7 and 2", a, b)
		}
		r.stop(t)
	})
}

// What is received while the worker stops is given back.
func TestJobsThatArriveDuringTheStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newScripted()
		d.onReceived = func(n int, got []*driver.Delivery) ([]*driver.Delivery, error) {
			if len(got) > 0 {
				time.Sleep(time.Second) // they are on their way
			}
			return got, nil
		}
		d.asks = 10
		r := newRig(t, d, nil)
		batch.Handle(r.worker, func(context.Context, *batch.Job[task]) error { t.Error("a job was started"); return nil })
		r.start(t)
		<-time.After(time.Minute)
		for n := range 3 {
			r.enqueue(t, task{n})
		}
		time.Sleep(100 * time.Millisecond)
		r.stop(t)
		if left := depth(t, r.queue); left.Waiting != 3 || left.Running != 0 {
			t.Errorf("left = %+v, want all jobs waiting", left)
		}
	})
}
