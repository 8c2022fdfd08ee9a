package conformance

import (
	"context"
	"sync/atomic"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

var isolationCases = []Case{
	{Name: "killers", Rule: "Of many jobs, those that kill the process of their worker whenever they run become dead letters as poison, and none of those that are lost with them does.", leases: true, run: caseKillers},
}

// caseKillers starts a worker again each time that one of two jobs has killed it. Its
// handle is closed then, without what the worker held being settled.
func caseKillers(s *stage) {
	const jobs, most = 102, 2
	kills := map[int]bool{0: true, 50: true}
	q := s.portable()
	for n := range jobs {
		enqueue(s, q, n)
	}
	var ran [jobs]atomic.Bool
	finished := func() bool {
		for n := range jobs {
			if !kills[n] && !ran[n].Load() {
				return false
			}
		}
		return s.history.Count(Died) >= len(kills)
	}
	for deaths := 0; !finished(); deaths++ {
		// Twice what it takes: a worker that dies as it gives jobs back may leave one of them twice, each with its own count.
		if deaths > 2*len(kills)*(most+1) {
			s.failf("the worker was killed %d times, by %d jobs that may be lost %d times each", deaths, len(kills), most)
		}
		d := s.open()
		var killed atomic.Bool
		w := s.work(d, func(ctx context.Context, job *batch.Job[task]) error {
			if kills[job.Args.N] {
				_ = d.Close(s.ctx)
				killed.Store(true)
				s.history.Add(Event{Op: Noted, ID: job.ID, Note: "killed its worker"})
				<-ctx.Done()
				return ctx.Err()
			}
			ran[job.Args.N].Store(true)
			return nil
		}, concurrency(2, 38), func(c *batch.WorkerConfig) { c.MaxRedeliveries = most })
		s.waitBy(s.lease()+s.overdue(), "the next death, or the end of the jobs", func() bool { return killed.Load() || finished() })
		if killed.Load() {
			_ = w.Stop(hurried(s.ctx)) // it cannot settle anything
		}
	}
	dead := s.waitDeadLetters(q.Driver(), len(kills))
	for _, letter := range dead {
		equal(s, letter.Reason, batch.ReasonPoison, "Reason of a dead letter")
		for n := range jobs {
			if letter.ID == name(n) && !kills[n] {
				s.failf("%s is poison, and kills nothing: %s", letter.ID, letter.LastError)
			}
		}
	}
	s.waitDepth(q.Driver(), driver.Depth{Dead: int64(len(kills))})
}
