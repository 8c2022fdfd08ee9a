package conformance

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

var unsettledCases = []Case{
	{Name: "refused-settle", Rule: "While the broker refuses what some jobs need stored, jobs that are done pass; what was refused is told again until it is taken, as it was.", run: caseRefusedSettle},
	{Name: "slow-settle", Rule: "A job that is done does not wait for another one that the broker is slow to store.", run: caseSlowSettle},
	{Name: "unknown-settle", Rule: "A settlement whose answer was lost is told again, and if it was carried out nothing happens twice.", run: caseUnknownSettle},
	{Name: "too-large-settle", Rule: "A job that does not fit with its history becomes a dead letter without its headers, marked, and holds up no other.", run: caseTooLargeSettle},
	{Name: "settle-given-up", Rule: "What cannot be settled within SettleTimeout is abandoned, comes back, and costs the worker neither slot nor permit.", leases: true, run: caseSettleGivenUp},
	{Name: "lost-settle-batch", Rule: "When some of the deliveries that a worker settles together are lost, it learns of exactly those.", run: caseLostSettleBatch},
}

// storing tells whether an outcome needs something stored.
func storing(o driver.Outcome) bool { return o == driver.OutcomeRetry || o == driver.OutcomeDead }

func caseRefusedSettle(s *stage) {
	const good, bad = 60, 6
	var full atomic.Bool
	full.Store(true)
	var refused atomic.Int32
	d := &flawed{Driver: s.open(), settle: func(_ context.Context, all []driver.Settlement, next func([]driver.Settlement) []error) []error {
		return except(all, func(one driver.Settlement) error {
			if storing(one.Outcome) && full.Load() {
				refused.Add(1)
				return negative(driver.ErrFull, driver.FateNotStored)
			}
			return nil
		}, next)
	}}
	q := s.portable()
	for n := range bad {
		enqueue(s, q, n)
	}
	s.work(d, func(_ context.Context, job *batch.Job[task]) error {
		if job.Args.N < bad && job.Attempt < 3 {
			return fmt.Errorf("failure %d", job.Attempt)
		}
		return nil
	}, concurrency(4, 8))
	s.wait("settlements to be refused", func() bool { return refused.Load() >= 2 || s.history.Count(Failed) >= bad && refused.Load() > 0 })
	for n := range good {
		enqueue(s, q, bad+n)
	}
	s.waitCount(good, Done)
	full.Store(false)
	s.waitBy(s.patience(), "what was refused", func() bool { return s.history.Count(Done) >= good+bad })
	s.check(AttemptCounts(s.history.Events()), "judge the history")
	equal(s, s.history.Count(Failed), 2*bad, "failures")
	equal(s, s.history.Count(Lost), 0, "leases lost")
	s.waitDepth(s.open(), driver.Depth{})
}

func caseSlowSettle(s *stage) {
	const good = 40
	gate := s.gate()
	var held atomic.Int32
	d := &flawed{Driver: s.open(), settle: func(ctx context.Context, all []driver.Settlement, next func([]driver.Settlement) []error) []error {
		for _, one := range all {
			if storing(one.Outcome) {
				held.Add(1)
				if err := gate.wait(ctx); err != nil {
					return except(all, func(driver.Settlement) error { return err }, next)
				}
				break
			}
		}
		return next(all)
	}}
	q := s.portable()
	enqueue(s, q, 0)
	s.work(d, func(_ context.Context, job *batch.Job[task]) error {
		if job.Args.N == 0 && job.Attempt == 1 {
			return errors.New("failed")
		}
		return nil
	}, concurrency(2, 4))
	s.waitCount(1, Failed)
	for n := range good {
		enqueue(s, q, 1+n)
	}
	s.waitCount(good, Done)
	other := s.open()
	s.eventually("counting what is left while a settlement hangs", func() error {
		depth, err := other.Depth(s.ctx, s.queue)
		if err == nil && depth.Waiting+depth.Running+depth.Scheduled > 1 && depth.Running != driver.UnknownCount && depth.Waiting != driver.UnknownCount {
			err = fmt.Errorf("it is %+v, want one job", depth)
		}
		return err
	})
	gate.open()
	s.waitCount(good+1, Done)
	s.check(AttemptCounts(s.history.Events()), "judge the history")
	s.waitDepth(other, driver.Depth{})
}

func caseUnknownSettle(s *stage) {
	const jobs = 12
	var mu sync.Mutex
	cut := make(map[string]bool)
	d := &flawed{Driver: s.open(), settle: func(_ context.Context, all []driver.Settlement, next func([]driver.Settlement) []error) []error {
		errs := next(all)
		if errs == nil {
			errs = make([]error, len(all))
		}
		mu.Lock()
		defer mu.Unlock()
		for i, one := range all {
			key := fmt.Sprint(one.Delivery.ID, one.Delivery.Deliveries)
			if errs[i] == nil && !cut[key] && len(cut)%3 < 2 { // carried out, and the answer is lost
				errs[i] = negative(driver.ErrUnavailable, driver.FateUnknown)
			}
			cut[key] = true
		}
		return errs
	}}
	q := s.portable()
	for n := range jobs {
		enqueue(s, q, n)
	}
	s.work(d, func(_ context.Context, job *batch.Job[task]) error {
		if job.Args.N%3 == 0 && job.Attempt == 1 {
			return errors.New("failed")
		}
		if job.Args.N%3 == 1 {
			return batch.Permanent(errors.New("for good"))
		}
		return nil
	}, concurrency(3, 3))
	s.waitCount(jobs, Done, Died)
	s.waitDepth(s.open(), driver.Depth{Dead: jobs / 3})
	s.check(AttemptCounts(s.history.Events()), "judge the history")
	equal(s, s.history.Count(Done)+s.history.Count(Died), jobs, "ends of jobs")
	equal(s, s.history.Count(Lost), 0, "leases that the worker believes lost")
}

func caseTooLargeSettle(s *stage) {
	const good = 20
	var mu sync.Mutex
	var tries []string
	d := &flawed{Driver: s.open(), settle: func(_ context.Context, all []driver.Settlement, next func([]driver.Settlement) []error) []error {
		return except(all, func(one driver.Settlement) error {
			if one.Delivery.ID != name(0) && one.Delivery.ID != name(1) || !storing(one.Outcome) {
				return nil
			}
			mu.Lock()
			tries = append(tries, fmt.Sprint(one.Outcome, one.Strip))
			mu.Unlock()
			if one.Strip {
				return nil
			}
			return negative(driver.ErrTooLarge, driver.FateNotStored)
		}, next)
	}}
	q := s.portable()
	enqueue(s, q, 0, batch.Header(q, "Large", "value"))
	enqueue(s, q, 1, batch.Header(q, "Large", "value"))
	s.work(d, func(_ context.Context, job *batch.Job[task]) error {
		switch job.Args.N {
		case 0:
			return errors.New("does not fit")
		case 1:
			return batch.Permanent(errors.New("does not fit"))
		}
		return nil
	}, concurrency(2, 2))
	for n := range good {
		enqueue(s, q, 2+n)
	}
	s.waitCount(good, Done)
	for _, dead := range s.waitDeadLetters(s.open(), 2) {
		equal(s, len(dead.Headers), 0, "headers of %s, which did not fit", dead.ID)
		if dead.ID == name(0) {
			equal(s, dead.Reason, driver.ReasonTooLarge, "Reason of a job whose retry did not fit")
		}
		if dead.LastError == "" {
			s.failf("LastError of %s, which did not fit, is empty", dead.ID)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(tries) > 6 {
		s.failf("what did not fit was tried %d times: %q", len(tries), tries)
	}
	s.waitDepth(s.open(), driver.Depth{Dead: 2})
}

func caseSettleGivenUp(s *stage) {
	const slots, prefetch, bad = 2, 2, 5
	var refusing atomic.Bool
	refusing.Store(true)
	d := &flawed{Driver: s.open(), settle: func(_ context.Context, all []driver.Settlement, next func([]driver.Settlement) []error) []error {
		return except(all, func(one driver.Settlement) error {
			if storing(one.Outcome) && refusing.Load() {
				return negative(driver.ErrFull, driver.FateNotStored)
			}
			return nil
		}, next)
	}}
	q := s.portable()
	var running atomic.Int64
	gate := s.gate()
	s.work(d, func(_ context.Context, job *batch.Job[task]) error {
		switch {
		case job.Args.N >= 1000:
			running.Add(1)
			<-gate.done
		case job.Attempt == 1:
			return errors.New("failed")
		}
		return nil
	}, concurrency(slots, prefetch), func(c *batch.WorkerConfig) { c.SettleTimeout = 300 * time.Millisecond })
	for n := range bad {
		enqueue(s, q, n)
	}
	s.waitBy(s.lease()+s.overdue(), "jobs to be given up", func() bool { return s.history.Count(Failed) >= bad+1 })
	s.eventually("abandoning what cannot be settled", func() error {
		for n := range bad {
			if d.timesAbandoned(name(n)) > 0 {
				return nil
			}
		}
		return errors.New("none was abandoned")
	})
	refusing.Store(false)
	s.waitBy(2*(s.lease()+s.overdue()), "the jobs that were given up", func() bool { return s.history.Count(Done) >= bad })
	s.waitDepth(s.open(), driver.Depth{})
	s.together(q, slots, prefetch, &running)
	gate.open()
}

func caseLostSettleBatch(s *stage) {
	const jobs = 12
	gate := s.gate()
	stolen := map[string]bool{name(0): true, name(4): true, name(5): true, name(11): true}
	d := &flawed{Driver: s.open(), settle: func(_ context.Context, all []driver.Settlement, next func([]driver.Settlement) []error) []error {
		return except(all, func(one driver.Settlement) error {
			if stolen[one.Delivery.ID] {
				// As if another had it: it is settled before, and so lost to the worker.
				next([]driver.Settlement{{Delivery: one.Delivery, Outcome: driver.OutcomeDone}})
				return only(next([]driver.Settlement{one}))
			}
			return nil
		}, next)
	}}
	q := s.portable()
	for n := range jobs {
		enqueue(s, q, n)
	}
	s.work(d, func(context.Context, *batch.Job[task]) error { <-gate.done; return nil }, concurrency(jobs, batch.NoPrefetch))
	s.waitCount(jobs, Started)
	gate.open() // all are settled together
	s.waitCount(jobs, Done)
	s.waitDepth(s.open(), driver.Depth{})
	s.wait("the worker to learn what it lost", func() bool { return s.history.Count(Lost) >= len(stolen) })
	s.pass(50 * time.Millisecond)
	for _, e := range s.history.Events() {
		if e.Op == Lost && !stolen[e.ID] {
			s.failf("the worker believes that it lost %s", e.ID)
		}
	}
	equal(s, s.history.Count(Lost), len(stolen), "leases that the worker knows to be lost")
}
