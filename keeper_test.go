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

func shortLease(c *batch.WorkerConfig) {
	c.Queues[0].Concurrency, c.Queues[0].Prefetch, c.Queues[0].Lease = 1, 5, 3*time.Second
}

// Running and prefetched jobs outlive many leases without being handed out again.
func TestLeasesOfAllHeldJobsAreExtended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memory.New(), shortLease)
		batch.Handle(r.worker, func(context.Context, *batch.Job[task]) error {
			time.Sleep(30 * time.Second) // fake time: ten leases
			return nil
		})
		for n := range 4 {
			r.enqueue(t, task{n})
		}
		r.start(t)
		for range 4 {
			if end := <-r.events.ended; end.Job.Deliveries != 1 || end.Verdict.Outcome != batch.OutcomeDone {
				t.Errorf("job ended as %+v after %d deliveries", end.Verdict, end.Job.Deliveries)
			}
		}
		r.stop(t)
	})
}

// A lease that the broker says is lost cancels the running job with a cause,
// keeps the prefetched one from starting, and settles neither.
func TestLostLeaseCancelsTheJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newScripted()
		d.onExtend = func(n int, deliveries []*driver.Delivery) []error {
			return sameError(deliveries, &driver.Error{Driver: "scripted", Op: "extend", Kind: driver.ErrLeaseLost})
		}
		r := newRig(t, d, shortLease)
		started := 0
		batch.Handle(r.worker, func(ctx context.Context, _ *batch.Job[task]) error {
			started++
			<-ctx.Done()
			if context.Cause(ctx) != batch.ErrLeaseLost {
				t.Errorf("cause = %v, want ErrLeaseLost", context.Cause(ctx))
			}
			// Keeps the slot until the worker stops, so that what was handed out
			// again meanwhile is not started.
			time.Sleep(time.Second)
			return ctx.Err()
		})
		r.enqueue(t, task{0})
		r.enqueue(t, task{1})
		r.start(t)
		end := <-r.events.ended
		if end.Verdict.Outcome != 0 || !errors.Is(end.Err, batch.ErrLeaseLost) {
			t.Errorf("ended as %+v, %v; want no outcome", end.Verdict, end.Err)
		}
		synctest.Wait()
		if d.settles != 0 {
			t.Errorf("%d settlements of jobs that are not held", d.settles)
		}
		if started != 1 || r.events.leasesLost() != 2 {
			t.Errorf("%d started, %d leases reported lost; want 1 and 2", started, r.events.leasesLost())
		}
		go func() {
			for range r.events.ended {
			}
		}()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = r.worker.Stop(ctx)
		close(r.events.ended)
	})
}

// While the broker cannot be reached nothing is given up before the lease has
// ended by this process's clock.
func TestLeaseIsLostWhenItCannotBeExtendedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newScripted()
		d.onExtend = func(n int, deliveries []*driver.Delivery) []error {
			return sameError(deliveries, unavailable(driver.FateUnknown))
		}
		r := newRig(t, d, shortLease)
		var held time.Duration
		batch.Handle(r.worker, func(ctx context.Context, job *batch.Job[task]) error {
			if job.Deliveries > 1 {
				return nil
			}
			start := time.Now()
			<-ctx.Done()
			held = time.Since(start)
			return ctx.Err()
		})
		r.enqueue(t, task{})
		r.start(t)
		if end := <-r.events.ended; !errors.Is(end.Err, batch.ErrLeaseLost) {
			t.Errorf("ended with %v, want ErrLeaseLost", end.Err)
		}
		if held < 3*time.Second || held > 4*time.Second {
			t.Errorf("given up after %s, want just after the lease of 3s", held)
		}
		if ops := r.events.faultOps(); len(ops) < 2 || ops[0] != "extend" {
			t.Errorf("faults = %v, want each failed extension", ops)
		}
		if again := <-r.events.ended; again.Job.Deliveries != 2 || again.Job.Attempt != 1 {
			t.Errorf("handed out again as attempt %d, delivery %d; want 1 and 2", again.Job.Attempt, again.Job.Deliveries)
		}
		r.stop(t)
	})
}

// A settlement is carried out, and before its answer arrives the lease of the
// same job is extended: the broker does not know it any more, which is no loss.
func TestExtensionBehindASettlementIsNoLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newScripted()
		d.slowSettle = 5 * time.Second
		r := newRig(t, d, shortLease)
		batch.Handle(r.worker, func(context.Context, *batch.Job[task]) error { return nil })
		r.enqueue(t, task{})
		r.start(t)
		<-r.events.ended
		time.Sleep(4 * time.Second) // fake time: the keeper extends meanwhile
		if n := count(&d.mu, &d.extends); n < 2 {
			t.Errorf("the lease was extended %d times while the answer was on its way, want once at least", n-1)
		}
		r.stop(t)
		if n := r.events.leasesLost(); n != 0 {
			t.Errorf("%d leases reported lost, want none", n)
		}
		if left := depth(t, r.queue); left != (batch.Depth{}) {
			t.Errorf("left = %+v, want nothing", left)
		}
	})
}
