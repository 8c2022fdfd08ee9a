package batch_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
)

// Whatever hangs, a stop ends within its total: that of its ctx, or StopTimeout.
func TestStopEndsWithinItsTotal(t *testing.T) {
	tests := []struct {
		name  string
		total time.Duration // of ctx; zero for none
		want  time.Duration
	}{
		{"StopTimeout", 0, 25 * time.Second},
		{"longer deadline", time.Minute, time.Minute},
		{"shorter deadline", time.Second, time.Second},
	}
	for _, tt := range tests {
		for _, hangs := range []bool{false, true} {
			t.Run(tt.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					d := newScripted()
					r := newRig(t, d, func(c *batch.WorkerConfig) { c.Queues[0].Concurrency, c.Queues[0].Prefetch = 1, 3 })
					end := make(chan struct{})
					defer func() { close(end); synctest.Wait() }()
					batch.Handle(r.worker, func(context.Context, *batch.Job[task]) error { <-end; return nil })
					for n := range 4 {
						r.enqueue(t, task{n})
					}
					r.start(t)
					synctest.Wait()
					d.hangs.Store(hangs)
					ctx := context.Background()
					if tt.total > 0 {
						bounded, cancel := context.WithTimeout(ctx, tt.total)
						defer cancel()
						ctx = bounded
					}
					start := time.Now()
					err := r.worker.Stop(ctx)
					took := time.Since(start)
					if took > tt.want || took < tt.want/2 {
						t.Errorf("Stop took %s, want at most %s and not much less", took, tt.want)
					}
					if !hangs {
						if err != nil {
							t.Errorf("Stop = %v although all jobs were given back", err)
						}
						if left := depth(t, r.queue); left.Waiting != 4 {
							t.Errorf("left = %+v, want all jobs waiting", left)
						}
					} else if err == nil || !strings.Contains(err.Error(), " jobs could not be settled") {
						t.Errorf("Stop = %v, want an error that counts the jobs", err)
					}
				})
			})
		}
	}
}

// A ctx that is cancelled, before or during the stop, cancels the jobs at once. They
// have CancelTimeout to return, and are given back.
func TestStopWithACancelledContext(t *testing.T) {
	for _, after := range []time.Duration{0, 3 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, memory.New(), nil)
			batch.Handle(r.worker, func(ctx context.Context, _ *batch.Job[task]) error {
				<-ctx.Done()
				time.Sleep(2 * time.Second) // fake time
				return ctx.Err()
			})
			r.enqueue(t, task{})
			r.start(t)
			synctest.Wait()
			ctx, cancel := context.WithCancel(context.Background())
			if after == 0 {
				cancel()
			}
			time.AfterFunc(after, cancel)
			start := time.Now()
			if err := r.worker.Stop(ctx); err != nil {
				t.Errorf("Stop = %v, want nil", err)
			}
			if took := time.Since(start); took != after+2*time.Second {
				t.Errorf("Stop took %s, want %s", took, after+2*time.Second)
			}
			if left := depth(t, r.queue); left.Waiting != 1 {
				t.Errorf("left = %+v, want the job waiting", left)
			}
		})
	}
}

// A rollout ends Run: jobs that take too long are given back, which is no failure.
func TestRunThatGivesJobsBackIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memory.New(), nil)
		batch.Handle(r.worker, func(ctx context.Context, _ *batch.Job[task]) error { <-ctx.Done(); return ctx.Err() })
		for n := range 15 {
			r.enqueue(t, task{n})
		}
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error)
		go func() { ran <- r.worker.Run(ctx) }()
		synctest.Wait()
		start := time.Now()
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
		if took := time.Since(start); took != 15*time.Second {
			t.Errorf("the jobs were cancelled after %s, want 15s", took)
		}
		if left := depth(t, r.queue); left.Waiting != 15 {
			t.Errorf("left = %+v, want all jobs waiting", left)
		}
	})
}

// What the broker's client has fetched goes back when the stop begins, and not when
// the jobs that run have ended.
func TestStopGivesBackWhatTheClientHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newScripted()
		r := newRig(t, d, nil)
		end := make(chan struct{})
		batch.Handle(r.worker, func(context.Context, *batch.Job[task]) error { <-end; return nil })
		r.enqueue(t, task{})
		r.start(t)
		synctest.Wait()
		stopped := make(chan error)
		go func() { stopped <- r.worker.Stop(context.Background()) }()
		synctest.Wait()
		d.mu.Lock()
		if d.stops != 1 {
			t.Errorf("%d consumers were stopped while a job runs, want 1", d.stops)
		}
		d.mu.Unlock()
		close(end)
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
}

// A worker that is started while the broker is away tries again until it is back.
func TestStartWhileTheBrokerIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newScripted()
		d.onDeclare = func(n int) error {
			if n <= 5 {
				return unavailable(driver.FateNotStored)
			}
			return nil
		}
		r := newRig(t, d, nil)
		batch.Handle(r.worker, func(context.Context, *batch.Job[task]) error { return nil })
		r.start(t)
		if ops := r.events.faultOps(); !slices.Equal(ops, []string{"declare", "declare", "declare", "declare", "declare"}) {
			t.Errorf("faults = %v, want each failed try", ops)
		}
		r.enqueue(t, task{})
		<-r.events.ended
		r.stop(t)
	})
}

// What ends a start whose broker stays away.
func TestStartGivesUp(t *testing.T) {
	away := func(t *testing.T, hangs bool) *rig[*scripted] {
		d := newScripted()
		d.hangs.Store(hangs)
		d.onDeclare = func(int) error { return unavailable(driver.FateNotStored) }
		r := newRig(t, d, nil)
		batch.Handle(r.worker, func(context.Context, *batch.Job[task]) error { return nil })
		return r
	}
	for _, hangs := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			r := away(t, hangs)
			start := time.Now()
			err := r.worker.Run(t.Context())
			if !errors.Is(err, context.DeadlineExceeded) || !hangs && !errors.Is(err, batch.ErrUnavailable) || !strings.Contains(err.Error(), "start timeout of 30s") {
				t.Errorf("Run = %v, want one that says that the broker was away for the start timeout", err)
			}
			if took := time.Since(start); took != 30*time.Second {
				t.Errorf("Run gave up after %s, want 30s", took)
			}
			<-r.worker.Failed()
			r.stop(t)
		})
		synctest.Test(t, func(t *testing.T) {
			r := away(t, hangs)
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			start := time.Now()
			if err := r.worker.Start(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 3*time.Second {
				t.Errorf("Start = %v after %s, want the end of its ctx after 3s", err, time.Since(start))
			}
		})
		synctest.Test(t, func(t *testing.T) {
			r := away(t, hangs)
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(3*time.Second, cancel)
			if err := r.worker.Run(ctx); err != nil {
				t.Errorf("Run = %v when it was told to end as it started, want nil", err)
			}
		})
		synctest.Test(t, func(t *testing.T) {
			r := away(t, hangs)
			started := make(chan error)
			go func() { started <- r.worker.Start(t.Context()) }()
			time.Sleep(3 * time.Second) // fake time
			start := time.Now()
			r.stop(t)
			if err := <-started; !errors.Is(err, batch.ErrStopped) || time.Since(start) != 0 {
				t.Errorf("Start = %v, %s after Stop, want ErrStopped at once", err, time.Since(start))
			}
		})
	}
}

// A stop whose ctx is cancelled ends when handlers have had CancelTimeout, and not when its
// whole time is over.
func TestCancelledStopDoesNotWaitForItsTotal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memory.New(), func(c *batch.WorkerConfig) { c.StopTimeout = 10 * time.Minute })
		end := make(chan struct{})
		batch.Handle(r.worker, func(context.Context, *batch.Job[task]) error { <-end; return nil })
		r.enqueue(t, task{})
		r.start(t)
		synctest.Wait()
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		start := time.Now()
		if err := r.worker.Stop(ctx); err != nil || time.Since(start) > 6*time.Second {
			t.Errorf("Stop = %v after %s, want 5s", err, time.Since(start))
		}
		close(end)
		synctest.Wait()
	})
}
