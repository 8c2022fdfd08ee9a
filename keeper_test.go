package batch_test

import (
	"context"
	"errors"
	"sync/atomic"
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

// An extension whose answer is slow says nothing of a job that was settled meanwhile: the
// lease is neither lost nor extended again.
func TestExtensionAroundASettlement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newScripted()
		d.onExtend = func(n int, l []*driver.Delivery) []error {
			time.Sleep(800 * time.Millisecond)
			if n == 1 {
				return make([]error, len(l))
			}
			return sameError(l, driver.ErrLeaseLost)
		}
		r := newRig(t, d, shortLease)
		batch.Handle(r.worker, func(context.Context, *batch.Job[task]) error { time.Sleep(1200 * time.Millisecond); return nil })
		r.enqueue(t, task{})
		r.start(t)
		<-r.events.ended
		time.Sleep(time.Minute)
		r.stop(t)
		if n := count(&d.mu, &d.extends); n != 2 || r.events.leasesLost() != 0 {
			t.Errorf("%d extensions and %d leases lost, want one and none", n-1, r.events.leasesLost())
		}
	})
}

// Of leases that take several requests none is extended of a job that was settled while an
// earlier request was under way: where it was given up, it would come back later by that.
func TestSettledBetweenExtensions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newScripted()
		d.limit = func(l *driver.Limits) { l.ExtendBatch = 1 }
		var settled atomic.Bool
		d.onExtend = func(_ int, l []*driver.Delivery) []error {
			if string(l[0].Body) == `{"N":1}` && settled.Load() {
				t.Error("the lease of a job was extended that was settled before")
			}
			time.Sleep(500 * time.Millisecond)
			return make([]error, len(l))
		}
		r := newRig(t, d, func(c *batch.WorkerConfig) { c.Queues[0].Concurrency, c.Queues[0].Lease = 2, 3*time.Second })
		batch.Handle(r.worker, func(_ context.Context, job *batch.Job[task]) error {
			time.Sleep(1200*time.Millisecond + time.Duration(1-job.Args.N)*time.Second) // one of them settles during the other's extension
			return nil
		})
		r.enqueue(t, task{0})
		r.enqueue(t, task{1})
		r.start(t)
		<-r.events.ended
		settled.Store(true)
		<-r.events.ended
		r.stop(t)
		if n := count(&d.mu, &d.extends); n < 2 {
			t.Error("no lease was extended")
		}
	})
}

// A lease that is the connection has no clock: it lives through a broker that does not answer.
func TestLeaseThatIsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newScripted()
		d.connected = true
		d.onExtend = func(_ int, l []*driver.Delivery) []error { return sameError(l, unavailable(driver.FateUnknown)) }
		r := newRig(t, d, func(c *batch.WorkerConfig) { c.Queues[0].Concurrency, c.Queues[0].Prefetch = 3, 4 })
		batch.Handle(r.worker, func(ctx context.Context, _ *batch.Job[task]) error {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(10 * time.Minute):
				return nil
			}
		})
		r.enqueue(t, task{})
		r.start(t)
		if end := <-r.events.ended; end.Verdict.Outcome != batch.OutcomeDone {
			t.Errorf("ended as %+v, %v; want done", end.Verdict, end.Err)
		}
		r.stop(t)
		if n := count(&d.mu, &d.extends); n < 50 || d.consumed.Prefetch != 7 || d.consumed.Lease != 0 {
			t.Errorf("%d extensions in ten minutes, of a consumer with %+v; want one each 10 s, and 7 prefetched without a lease", n-1, d.consumed)
		}
	})
}

// What is given up where the lease is the connection is handed out again at once.
func TestGivenUpOnAConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newScripted()
		d.connected = true
		d.refuse(full, func(s *driver.Settlement) bool { return s.Delivery.Deliveries == 1 })
		r := newRig(t, d, func(c *batch.WorkerConfig) {
			c.Queues[0].Concurrency, c.Queues[0].Prefetch = 1, batch.NoPrefetch
			c.SettleTimeout = 10 * time.Second
		})
		batch.Handle(r.worker, func(context.Context, *batch.Job[task]) error { return nil })
		r.enqueue(t, task{})
		start := time.Now()
		r.start(t)
		<-r.events.ended
		again := <-r.events.ended
		if took := time.Since(start); took > 10*time.Second || again.Job.Deliveries != 2 {
			t.Errorf("delivery %d after %s, want the second within the settle timeout of 10s", again.Job.Deliveries, took)
		}
		r.stop(t)
	})
}

// An extension that hangs does not use up the lease: the next one saves it.
func TestExtensionThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newScripted()
		d.hungExtends.Store(1)
		r := newRig(t, d, shortLease)
		batch.Handle(r.worker, func(ctx context.Context, _ *batch.Job[task]) error { time.Sleep(20 * time.Second); return ctx.Err() })
		r.enqueue(t, task{})
		r.start(t)
		if end := <-r.events.ended; end.Verdict.Outcome != batch.OutcomeDone || end.Job.Deliveries != 1 {
			t.Errorf("delivery %d ended as %+v, %v; want the first, done", end.Job.Deliveries, end.Verdict, end.Err)
		}
		r.stop(t)
	})
}

// A lease counts from before the request that extended it, as the broker may have begun it at
// any time since then.
func TestLeaseCountsFromBeforeItsRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newScripted()
		d.onExtend = func(n int, l []*driver.Delivery) []error {
			if n > 1 {
				return sameError(l, unavailable(driver.FateUnknown))
			}
			time.Sleep(900 * time.Millisecond)
			return make([]error, len(l))
		}
		r := newRig(t, d, shortLease)
		start := time.Now()
		var took time.Duration
		batch.Handle(r.worker, func(ctx context.Context, job *batch.Job[task]) error {
			if job.Deliveries == 1 {
				<-ctx.Done()
				took = time.Since(start)
			}
			return ctx.Err()
		})
		r.enqueue(t, task{})
		r.start(t)
		<-r.events.ended
		// Extended after a second, for three.
		if took < 4*time.Second || took > 4500*time.Millisecond {
			t.Errorf("the lease was lost after %s, want 4s", took)
		}
		time.Sleep(time.Minute)
		r.stop(t)
	})
}

// Of several leases those are lost that the broker says so of, and no others.
func TestExtensionsAreAnsweredByPosition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newScripted()
		d.onExtend = func(_ int, l []*driver.Delivery) []error {
			errs := make([]error, len(l))
			for i, one := range l {
				if string(one.Body) == `{"N":1}` {
					errs[i] = driver.ErrLeaseLost
				}
			}
			return errs
		}
		r := newRig(t, d, func(c *batch.WorkerConfig) { c.Queues[0].Concurrency = 3; c.Queues[0].Lease = time.Hour })
		batch.Handle(r.worker, func(ctx context.Context, job *batch.Job[task]) error {
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Minute):
			}
			if lost := context.Cause(ctx) == batch.ErrLeaseLost; lost != (job.Args.N == 1) && job.Deliveries == 1 {
				t.Errorf("the lease of job %d is lost: %v", job.Args.N, lost)
			}
			return nil
		})
		for n := range 3 {
			r.enqueue(t, task{n})
		}
		r.start(t)
		for range 3 {
			<-r.events.ended
		}
		if n := r.events.leasesLost(); n != 1 {
			t.Errorf("%d leases lost, want one", n)
		}
		r.stop(t)
	})
}

// While a queue has plenty, a lane that holds more than one Receive returns has several under
// way, as many as the driver has use for, and on a queue that has nothing left one. A small
// lane has one.
func TestReceivesUnderWay(t *testing.T) {
	for permits, want := range map[int]int{5: 1, 9: 1, 20: 4, 100: 4} {
		synctest.Test(t, func(t *testing.T) {
			d := newScripted()
			d.limit = func(l *driver.Limits) { l.ReceiveBatch, l.Receivers = 5, 4 }
			var under, most atomic.Int64
			d.onReceive = func(int) error {
				most.Store(max(most.Load(), under.Add(1)))
				time.Sleep(time.Millisecond) // fake time
				return nil
			}
			d.onReturn = func() { under.Add(-1) }
			r := newRig(t, d, func(c *batch.WorkerConfig) { c.Queues[0].Concurrency, c.Queues[0].Prefetch = permits, batch.NoPrefetch })
			batch.Handle(r.worker, func(context.Context, *batch.Job[task]) error { return nil })
			r.start(t)
			synctest.Wait()
			if n := under.Load(); n != 1 {
				t.Errorf("%d receives for %d permits on an idle queue, want 1", n, permits)
			}
			for n := range 500 {
				r.enqueue(t, task{n})
			}
			for range 500 {
				<-r.events.ended
			}
			if n := most.Load(); n != int64(want) {
				t.Errorf("%d receives for %d permits, want %d", n, permits, want)
			}
			time.Sleep(time.Minute)
			if n := under.Load(); n != 1 {
				t.Errorf("%d receives for %d permits when the queue has nothing left, want 1", n, permits)
			}
			if ops := r.events.faultOps(); len(ops) > 0 {
				t.Errorf("faults were reported: %v", ops)
			}
			r.stop(t)
		})
	}
}
