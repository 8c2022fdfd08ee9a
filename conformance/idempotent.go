package conformance

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/idempotency"
)

var idempotencyCases = []Case{
	{Name: "idempotency-twice", Rule: "A job that was enqueued twice has one effect with the idempotency middleware; while one runs the other comes back without an attempt spent.", run: caseIdempotencyTwice},
	{Name: "idempotency-lease-lost", Rule: "A job that is handed to another worker while its handler still runs has one effect.", leases: true, run: caseIdempotencyLeaseLost},
	{Name: "idempotency-retry", Rule: "A handler that failed is called again, and its effect happens once.", run: caseIdempotencyRetry},
}

// idempotent puts the middleware with a store in front of a worker's handlers.
func idempotent(store idempotency.Store) func(*batch.WorkerConfig) {
	return func(c *batch.WorkerConfig) {
		c.Middleware = append(c.Middleware, idempotency.Middleware(store, idempotency.Wait(50*time.Millisecond)))
	}
}

// store is a new one: that of the harness, or one in memory.
func (s *stage) store() idempotency.Store {
	if s.harness.Store == nil {
		return idempotency.NewMemory(0)
	}
	store, err := s.harness.Store(s.ctx)
	s.check(err, "make a store")
	return store
}

func caseIdempotencyTwice(s *stage) {
	store := s.store()
	gate := s.gate()
	var effects atomic.Int32
	handle := func(ctx context.Context, _ *batch.Job[task]) error {
		if err := gate.wait(ctx); err != nil {
			return err
		}
		effects.Add(1)
		return nil
	}
	q := s.portable()
	for range 2 {
		s.work(s.open(), handle, idempotent(store))
	}
	enqueue(s, q, 0)
	enqueue(s, q, 0)
	// One is in progress, so the other comes back, again and again.
	s.waitCount(3, Returned)
	equal(s, s.history.Count(Done), 0, "jobs done while the first runs")
	gate.open()
	s.waitCount(2, Done)
	// A third time, when it is done.
	enqueue(s, q, 0)
	s.waitCount(3, Done)
	equal(s, effects.Load(), 1, "effects of a job that was enqueued three times")
	s.check(AttemptCounts(s.history.Events()), "judge the history")
	s.waitDepth(q.Driver(), driver.Depth{})
}

// deaf is a handle whose consumers do not extend, like those of a process that is
// stopped or cut off and does not know it.
type deaf struct{ driver.Driver }

// deafConsumer is a consumer of such a handle.
type deafConsumer struct{ driver.Consumer }

// Consume opens a consumer that does not extend.
func (d deaf) Consume(ctx context.Context, queue string, o driver.ConsumeOptions) (driver.Consumer, error) {
	c, err := d.Driver.Consume(ctx, queue, o)
	return deafConsumer{c}, err
}

// Extend does nothing.
func (deafConsumer) Extend(context.Context, []*driver.Delivery) []error { return nil }

func caseIdempotencyLeaseLost(s *stage) {
	store := s.store()
	gate := s.gate()
	var effects atomic.Int32
	handle := func(context.Context, *batch.Job[task]) error {
		<-gate.done // whatever its context says: it does not see the loss
		effects.Add(1)
		return nil
	}
	q := s.portable()
	first := s.open()
	s.work(deaf{first}, handle, idempotent(store))
	enqueue(s, q, 0)
	s.waitCount(1, Started)
	s.work(s.open(), handle, idempotent(store))
	after := s.vanish(first)
	s.waitBy(after+s.overdue(), "the job at another worker", func() bool { return s.history.Count(Returned) > 0 })
	gate.open()
	s.wait("the job to be done at the other worker", func() bool {
		for _, e := range s.history.Events() {
			if e.Op == Done && e.Deliveries > 1 {
				return true
			}
		}
		return false
	})
	s.waitDepth(q.Driver(), driver.Depth{})
	equal(s, effects.Load(), 1, "effects of a job whose lease was lost while it ran")
}

func caseIdempotencyRetry(s *stage) {
	store := s.store()
	var effects atomic.Int32
	q := s.portable()
	s.work(s.open(), func(_ context.Context, job *batch.Job[task]) error {
		if job.Attempt < 3 {
			return errors.New("before the effect")
		}
		effects.Add(1)
		return nil
	}, idempotent(store))
	enqueue(s, q, 0)
	s.waitCount(1, Done)
	enqueue(s, q, 0)
	s.waitCount(2, Done)
	equal(s, effects.Load(), 1, "effects of a job that failed twice and was enqueued twice")
	equal(s, s.history.Count(Failed), 2, "failures")
}
