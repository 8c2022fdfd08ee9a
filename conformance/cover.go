package conformance

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

var coverCases = []Case{
	{Name: "exact-cover", Rule: "Of thousands of jobs with many producers and workers, each runs once: none is lost, none doubled, none is with two workers at once.", run: caseExactCover},
	{Name: "exact-cover-retries", Rule: "When handlers fail at random, each job succeeds once and its attempts are counted exactly.", run: caseExactCoverRetries},
	{Name: "fair-share", Rule: "Workers on two handles share a backlog: neither starves.", run: caseFairShare},
}

// defaultLease gives a worker the lease that applications have: the cases that
// keep the machine busy must not lose one because of that.
func defaultLease(c *batch.WorkerConfig) { c.Queues[0].Lease = 0 }

// cover enqueues jobs from two handles while workers on four run them, and waits
// until all are done.
func (s *stage) cover(jobs int, handle handler, adjust ...func(*batch.WorkerConfig)) {
	const producers, handles, callers = 2, 4, 10
	for range handles {
		s.work(s.open(), handle, append([]func(*batch.WorkerConfig){concurrency(8, 16), defaultLease}, adjust...)...)
	}
	failed := make(chan error, jobs)
	var all sync.WaitGroup
	for p := range producers {
		q := s.portable()
		for caller := range callers {
			all.Go(func() {
				for n := p*callers + caller; n < jobs; n += producers * callers {
					if err := tryEnqueue(s, q, n); err != nil {
						failed <- fmt.Errorf("%s: %w", name(n), err)
					}
				}
			})
		}
	}
	all.Wait()
	close(failed)
	for err := range failed {
		s.failf("%d enqueues failed, one of them: %v", len(failed)+1, err)
	}
	s.waitCount(jobs, Done)
	s.waitDepth(s.open(), driver.Depth{})
	s.check(NoOverlap(s.history.Events(), 0), "judge the history")
}

func caseExactCover(s *stage) {
	const jobs = 3000
	s.cover(jobs, nothing)
	s.check(ExactCover(s.history.Events(), names(jobs)), "judge the history")
}

func caseExactCoverRetries(s *stage) {
	const jobs = 500
	// Decided by the job and the attempt, so that a seed repeats it whatever the
	// order in which workers come.
	fails := func(job *batch.Job[task]) bool {
		return rand.New(rand.NewPCG(s.seed, uint64(job.Args.N*100+job.Attempt))).IntN(3) == 0
	}
	s.cover(jobs, func(_ context.Context, job *batch.Job[task]) error {
		if fails(job) {
			return errors.New("at random")
		}
		return nil
	}, retryAfter(time.Millisecond), func(c *batch.WorkerConfig) { c.MaxAttempts = 1000 })
	events := s.history.Events()
	s.check(AttemptCounts(events), "judge the history")
	done := make(map[string]int)
	for _, e := range events {
		if e.Op == Done {
			done[e.ID]++
		}
	}
	for _, id := range names(jobs) {
		if done[id] != 1 {
			s.failf("%s succeeded %d times", id, done[id])
		}
	}
}

func caseFairShare(s *stage) {
	// Each worker holds its first job until the other has one too, which never
	// comes if one is handed everything.
	var mu sync.Mutex
	first := make(map[int]chan struct{})
	both := s.gate()
	handle := func(worker int) handler {
		return func(ctx context.Context, _ *batch.Job[task]) error {
			mu.Lock()
			if _, ok := first[worker]; !ok {
				first[worker] = nil
				if len(first) == 2 {
					both.open()
				}
			}
			mu.Unlock()
			return both.wait(ctx)
		}
	}
	q := s.portable()
	for worker := range 2 {
		s.work(s.open(), handle(worker))
	}
	for n := range 4 {
		enqueue(s, q, n)
	}
	s.waitCount(4, Done)
	s.check(ExactCover(s.history.Events(), names(4)), "judge the history")
}
