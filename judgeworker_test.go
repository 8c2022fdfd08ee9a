package batch_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

// countingCodec counts the bodies that it decodes.
type countingCodec struct {
	batch.JSON
	decoded *atomic.Int64
}

func (c countingCodec) Decode(body []byte, args any) error {
	c.decoded.Add(1)
	return c.JSON.Decode(body, args)
}

// A job that is poison or expired is not decoded, as that may be what kills; and poison does
// not run alone, as it does not run.
func TestWhatIsNotToRunIsNotDecoded(t *testing.T) {
	for name, reason := range map[string]string{"poison": batch.ReasonPoison, "expired": batch.ReasonExpired} {
		synctest.Test(t, func(t *testing.T) {
			d := newScripted()
			if name == "poison" {
				d.onDelivery = func(d *driver.Delivery) { d.Redeliveries = 21 }
			}
			var decoded atomic.Int64
			r := newRig(t, d, func(c *batch.WorkerConfig) { c.Codecs = []batch.Codec{countingCodec{decoded: &decoded}} })
			batch.Handle(r.worker, func(context.Context, *batch.Job[task]) error { t.Error("it ran"); return nil })
			r.enqueue(t, task{}, batch.ExpiresIn(r.queue, 10*time.Second))
			if name == "expired" {
				time.Sleep(10 * time.Second) // to the moment
			}
			r.start(t)
			if end := <-r.events.ended; end.Verdict.Reason != reason {
				t.Errorf("ended as %+v, want %s", end.Verdict, reason)
			}
			r.stop(t)
			r.events.mu.Lock()
			defer r.events.mu.Unlock()
			if decoded.Load() != 0 || len(r.events.suspects) != 0 {
				t.Errorf("%s: decoded %d times and isolated %d times", name, decoded.Load(), len(r.events.suspects))
			}
		})
	}
}

// raiser is a hook that changes what it must not.
type raiser struct{}

func (raiser) OnJobStart(ctx context.Context, job *batch.JobInfo) context.Context {
	job.MaxAttempts = 1000
	return ctx
}

// What the producer set for a job comes before what is set for its kind, and that before the
// worker's. A hook changes none of it. A policy is told how often the job has failed.
func TestWhoseBoundsCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newScripted()
		var failures []int
		r := newRig(t, d, func(c *batch.WorkerConfig) {
			c.MaxAttempts, c.Timeout = 7, 7*time.Minute
			c.Hooks = append(c.Hooks, raiser{})
		})
		kind := []batch.HandleOption{
			batch.HandleMaxAttempts(5), batch.HandleTimeout(5 * time.Minute),
			batch.HandleRetry(batch.RetryFunc(func(n int, _ error) time.Duration { failures = append(failures, n); return time.Second })),
		}
		var timeouts []time.Duration
		batch.Handle(r.worker, func(ctx context.Context, job *batch.Job[task]) error {
			deadline, _ := ctx.Deadline()
			timeouts = append(timeouts, time.Until(deadline))
			return errors.New("no")
		}, kind...)
		batch.Handle(r.worker, func(ctx context.Context, job *batch.Job[unoptioned]) error {
			deadline, _ := ctx.Deadline()
			timeouts = append(timeouts, time.Until(deadline))
			return errors.New("no")
		})
		r.start(t)
		for _, test := range []struct {
			args     batch.Args
			options  []batch.Option[*scripted]
			attempts int
			timeout  time.Duration
		}{
			{task{}, []batch.Option[*scripted]{batch.MaxAttempts(r.queue, 3), batch.Timeout(r.queue, 3*time.Minute)}, 3, 3 * time.Minute},
			{task{}, nil, 5, 5 * time.Minute},
			{unoptioned{}, nil, 7, 7 * time.Minute},
		} {
			failures, timeouts = nil, nil
			r.enqueue(t, test.args, test.options...)
			attempts := 0
			for {
				end := <-r.events.ended
				if attempts++; end.Verdict.Outcome == batch.OutcomeDead {
					break
				}
			}
			if attempts != test.attempts || timeouts[0] != test.timeout {
				t.Errorf("%d attempts of %s, want %d of %s", attempts, timeouts[0], test.attempts, test.timeout)
			}
			if _, ok := test.args.(task); ok {
				want := make([]int, test.attempts)
				for i := range want {
					want[i] = i + 1
				}
				if !slices.Equal(failures, want) {
					t.Errorf("the policy was asked about failures %v, want %v", failures, want)
				}
			}
		}
		r.stop(t)
	})
}

// unoptioned is the args of a kind without options.
type unoptioned struct{ N int }

func (unoptioned) Kind() string { return "unoptioned" }

// A job whose lease is lost while it is decoded does not start, and gives its permit back,
// whether it could be decoded or not.
func TestLeaseIsLostWhileDecoding(t *testing.T) {
	for _, readable := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			d := newScripted()
			d.onExtend = func(n int, l []*driver.Delivery) []error {
				if n == 1 {
					return sameError(l, driver.ErrLeaseLost)
				}
				return nil
			}
			slow := true
			r := newRig(t, d, func(c *batch.WorkerConfig) {
				c.Queues[0].Concurrency, c.Queues[0].Prefetch = 1, batch.NoPrefetch
				c.Codecs = []batch.Codec{hostileCodec{decode: func() error {
					if slow {
						slow = false
						time.Sleep(20 * time.Second)
					}
					if readable {
						return nil
					}
					return errors.New("unreadable")
				}}}
			})
			var started atomic.Int64
			batch.Handle(r.worker, func(_ context.Context, job *batch.Job[task]) error {
				if job.Deliveries == 1 && job.Args.N != 1 {
					started.Add(1)
				}
				return nil
			})
			r.enqueue(t, task{666})
			r.start(t)
			synctest.Wait()
			r.enqueue(t, task{1})
			for {
				select {
				case end := <-r.events.ended:
					if end.Job.Deliveries == 1 && string(end.Job.Body) == `{"N":1}` {
						goto ran
					}
				case <-time.After(time.Hour):
					t.Fatal("the next job never ran")
				}
			}
		ran:
			if started.Load() != 0 || r.events.leasesLost() != 1 {
				t.Errorf("%d started and %d leases lost, want none and one", started.Load(), r.events.leasesLost())
			}
			time.Sleep(time.Hour)
			r.stop(t)
		})
	}
}

// A stuck handler that returns late is no slot any more: no more jobs run at once than there
// are slots.
func TestStuckHandlersThatReturnAreNoSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newScripted()
		r := newRig(t, d, func(c *batch.WorkerConfig) {
			c.Queues[0].Concurrency = 1
			c.Timeout, c.StuckAfter, c.MaxAttempts = time.Second, time.Second, 1
		})
		var running, most atomic.Int64
		batch.Handle(r.worker, func(_ context.Context, job *batch.Job[task]) error {
			if job.Args.N == 0 {
				time.Sleep(10 * time.Second) // ignores its end
				return nil
			}
			if n := running.Add(1); n > most.Load() {
				most.Store(n)
			}
			time.Sleep(900 * time.Millisecond)
			running.Add(-1)
			return nil
		})
		r.enqueue(t, task{0})
		r.start(t)
		for n := range 40 {
			r.enqueue(t, task{n + 1})
		}
		for range 41 {
			<-r.events.ended
		}
		if most.Load() != 1 {
			t.Errorf("%d jobs ran at once in one slot", most.Load())
		}
		r.stop(t)
	})
}

// Receives that fail back off, and begin anew after one that has succeeded. A buffer that is
// half full is filled in one request.
func TestPaceOfReceives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newScripted()
		d.onReceive = func(n int) error {
			if n <= 8 || n == 10 {
				return unavailable(driver.FateNotStored)
			}
			return nil
		}
		r := newRig(t, d, func(c *batch.WorkerConfig) { c.Queues[0].Concurrency, c.Queues[0].Prefetch = 1, 20 })
		batch.Handle(r.worker, func(context.Context, *batch.Job[task]) error { time.Sleep(time.Second); return nil })
		for n := range 100 {
			r.enqueue(t, task{n})
		}
		r.start(t)
		for range 100 {
			<-r.events.ended
		}
		r.events.mu.Lock()
		if n := len(r.events.faults); n != 9 {
			t.Fatalf("%d faults, want 9", n)
		}
		if eighth, ninth := r.events.faults[7].RetryIn, r.events.faults[8].RetryIn; eighth < 2*time.Second || ninth > 50*time.Millisecond {
			t.Errorf("the eighth failure waits %s and the first after a success %s, want seconds and 50 ms", eighth, ninth)
		}
		r.events.mu.Unlock()
		d.mu.Lock()
		if n := d.receives - 9; n > 20 {
			t.Errorf("%d requests for 100 jobs, with a buffer of 20", n)
		}
		d.mu.Unlock()
		r.stop(t)
	})
}
