package conformance

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

var txWorkCases = []Case{
	{Name: "tx-effects", Rule: "The effect of a handler that ends its job in its transaction happens once, whether the handler fails, panics, rolls back or forgets to commit.", Needs: transactional, run: caseTxEffects},
	{Name: "tx-effects-killed", Rule: "When a worker is killed with transactions open, each effect happens once: with the commit of what was open, or by another worker.", Needs: transactional, leases: true, run: caseTxEffectsKilled},
	{Name: "tx-effects-lost", Rule: "A handler that goes on after its lease was lost cannot complete the job of another holder, and its effect does not happen.", Needs: transactional, leases: true, run: caseTxEffectsLost},
	{Name: "tx-effects-drain", Rule: "When a worker is stopped with transactions open, each effect happens once: by the handlers that may end, and by another worker for those that may not.", Needs: transactional, leases: true, run: caseTxEffectsDrain},
	{Name: "tx-effects-restart", Rule: "When the broker crashes with transactions open, each effect happens once.", Needs: []string{txEnqueuer, needsRestart}, leases: true, run: caseTxEffectsRestart},
}

var errOnPurpose = errors.New("on purpose")

// effects are what the handlers of a case do to the database: a job on a queue of its own,
// stored in the transaction that completes the handler's job.
type effects struct {
	*stage
	queue string
}

// effects makes the queue for them.
func (s *stage) effects() *effects {
	e := &effects{s, s.newQueue()}
	s.check(s.declared().Declare(s.ctx, e.queue), "declare")
	return e
}

// of is the ID of the effect of a job.
func (e *effects) of(id string) string { return "effect-of-" + id }

// begin begins a transaction with the effect of a job. It may be called from any goroutine.
func (e *effects) begin(ctx context.Context, d driver.Driver, job *job) (*transaction, error) {
	tx, err := e.tryBegin(ctx, e.harness.Transactions)
	if err == nil {
		_, err = tx.enqueue(ctx, d, e.queue, txJob{task{N: job.Args.N}, e.of(job.ID)})
	}
	return tx, err
}

// completing is begin with the end of the job.
func (e *effects) completing(ctx context.Context, d driver.Driver, job *job) (*transaction, error) {
	tx, err := e.begin(ctx, d, job)
	if err == nil {
		err = tx.complete(ctx, d, job.JobInfo)
	}
	if err != nil && tx != nil {
		_ = tx.rollback(context.WithoutCancel(ctx)) // the database may have given it up
	}
	return tx, err
}

// pays is a handler that has the effect and ends its job in one transaction.
func (e *effects) pays(d driver.Driver) handler {
	return func(ctx context.Context, job *job) error {
		tx, err := e.completing(ctx, d, job)
		if err != nil {
			return err
		}
		if err := busy(ctx, time.Millisecond); err != nil {
			_ = tx.rollback(context.WithoutCancel(ctx))
			return err
		}
		return tx.commit(ctx)
	}
}

// once waits until each of n jobs has had its effect, and ends the case unless it was once.
func (e *effects) once(after time.Duration, n int) {
	d := e.reopen()
	c := e.consumeFrom(d, e.queue, 10)
	seen := make(map[string]int)
	for len(seen) < n {
		for _, got := range e.receiveBy(after, c, 1) {
			seen[got.ID]++
			e.settle(c, got, driver.OutcomeDone)
		}
	}
	e.waitDepthBy(after, d, driver.Depth{}) // of the jobs: all handlers have ended
	e.receiveNone(c, silence, "each job has had its effect")
	for id, times := range seen {
		equal(e.stage, times, 1, "times that the effect %q happened", id)
	}
}

func caseTxEffects(s *stage) {
	const jobs, ways = 24, 6
	e, d := s.effects(), s.declared()
	handle := func(ctx context.Context, job *job) (err error) {
		way := job.Args.N % ways
		if job.Attempt > 1 {
			way = 0
		}
		tx, err := e.completing(ctx, d, job)
		if err != nil {
			return err
		}
		defer func() { _ = tx.rollback(context.WithoutCancel(ctx)) }()
		switch way {
		case 0, 1, 2:
			if err := tx.commit(ctx); err != nil {
				return err
			}
			switch way {
			case 1:
				panic("after the commit, on purpose")
			case 2:
				return errOnPurpose
			}
		case 3:
			panic("before the commit, on purpose")
		case 4:
			return errOnPurpose
		}
		return nil // without a commit, if the way is 5
	}
	for range 2 {
		s.work(s.open(), handle, concurrency(3, 3))
	}
	s.put(d, tasks(jobs)...)
	e.once(0, jobs)
	equal(s, s.history.Count(Lost), 0, "leases that count as lost, beside transactions that were committed")
	for id, runs := range s.runs() {
		var n int
		fmt.Sscanf(id, "job-%d", &n)
		want := 1
		if n%ways > 2 {
			want = 2
		}
		equal(s, runs, want, "runs of %s, whose handler ended in way %d", id, n%ways)
	}
}

// runs is how often workers began with each job.
func (s *stage) runs() map[string]int {
	all := make(map[string]int)
	for _, e := range s.history.Events() {
		if e.Op == Started && e.Attempt > 0 && e.Worker != "" && e.ID[:4] == "job-" {
			all[e.ID]++
		}
	}
	return all
}

func caseTxEffectsKilled(s *stage) {
	const jobs = 8
	e, d := s.effects(), s.declared()
	killed := s.gate()
	var ready, committed atomic.Int32
	dying := s.open()
	handle := func(ctx context.Context, job *job) error {
		ctx = context.WithoutCancel(ctx) // it does not know that its worker is dead
		begin := e.completing
		if job.Args.N%4 == 3 {
			begin = e.begin
		}
		tx, err := begin(ctx, dying, job)
		if err != nil {
			s.problem("%s before the worker was killed: %v", job.ID, err)
			return err
		}
		ready.Add(1)
		s.history.Add(Event{Op: Noted, ID: job.ID, Note: "its transaction is open"})
		<-killed.done
		switch job.Args.N % 4 {
		case 0, 1:
			if err = tx.commit(ctx); err == nil {
				committed.Add(1)
			} else {
				s.problem("%s: commit after the worker was killed: %v", job.ID, err)
			}
			return err
		case 3:
			if err = tx.complete(ctx, dying, job.JobInfo); err == nil {
				s.problem("%s was completed by a worker that was killed", job.ID)
			}
		}
		_ = tx.rollback(ctx)
		return errOnPurpose
	}
	s.put(d, tasks(jobs)...)
	w := s.worker(dying, concurrency(jobs, batch.NoPrefetch))
	s.check(batch.TryHandle(w, handle), "add the handler")
	s.start(w)
	s.waitSoon("all transactions to be open", func() bool { return ready.Load() == jobs })
	s.history.Add(Event{Op: Disturbed, Note: "the worker is killed"})
	s.check(dying.Close(s.ctx), "close the handle of the worker")
	next := s.open()
	s.work(next, e.pays(next), patient, concurrency(2, batch.NoPrefetch))
	s.pass(s.lease() + s.lease()/2)
	killed.open()
	e.once(s.lease()+s.overdue(), jobs)
	equal(s, committed.Load(), jobs/2, "transactions that were committed after their worker was killed")
}

func caseTxEffectsLost(s *stage) {
	const jobs = 3
	e, d := s.effects(), s.declared()
	s.put(d, tasks(jobs)...)
	first := &forgetful{Driver: s.open()}
	first.forget.Store(true)
	over := s.gate()
	var refused atomic.Int32
	s.work(first, func(ctx context.Context, job *job) error {
		tx, err := e.begin(ctx, d, job)
		if err != nil {
			return err
		}
		<-over.done
		ctx = context.WithoutCancel(ctx)
		if err = tx.complete(ctx, d, job.JobInfo); errors.Is(err, batch.ErrLeaseLost) {
			refused.Add(1)
		} else {
			s.problem("%s, which another has run, is completed by its first holder: the error is %s", job.ID, quoteErr(err))
		}
		_ = tx.rollback(ctx)
		if job.Args.N == 0 { // which does not look at the error
			return nil
		}
		return err
	}, patient, concurrency(jobs, batch.NoPrefetch))
	s.waitCount(jobs, Started)
	s.work(s.open(), e.pays(d), patient, concurrency(2, batch.NoPrefetch))
	s.waitBy(s.lease()+s.overdue(), "the jobs of the worker that extends nothing", func() bool { return s.history.Count(Done) >= jobs })
	over.open()
	e.once(s.lease()+s.overdue(), jobs)
	s.waitSoon("the handlers whose leases were lost", func() bool { return refused.Load() >= jobs })
}

func caseTxEffectsDrain(s *stage) {
	const jobs = 8
	e, d := s.effects(), s.declared()
	for _, hurry := range []bool{false, true} {
		gate := s.gate()
		open := int32(0)
		w := s.work(s.open(), func(ctx context.Context, job *job) error {
			tx, err := e.completing(ctx, d, job)
			if err != nil {
				return err
			}
			atomic.AddInt32(&open, 1)
			if err := gate.wait(ctx); err != nil { // the worker is stopped, and does not wait any longer
				_ = tx.rollback(context.WithoutCancel(ctx))
				return err
			}
			return tx.commit(ctx)
		}, patient, concurrency(jobs/2, 2))
		s.put(d, tasks(jobs)...)
		s.waitSoon("open transactions", func() bool { return atomic.LoadInt32(&open) == jobs/2 })
		ctx := s.ctx
		if hurry {
			ctx = hurried(ctx)
		}
		stopped := make(chan error, 1)
		go func() { stopped <- w.Stop(ctx) }()
		if !hurry {
			notYet(s, stopped, "its handlers have transactions open")
			gate.open()
		}
		s.check(comes(s, stopped, "the end of Stop"), "stop a worker whose handlers have ended their transactions")
		last := s.work(s.open(), e.pays(d), patient)
		e.once(s.lease()+s.overdue(), jobs)
		s.check(last.Stop(s.ctx), "stop the last worker")
	}
}

func caseTxEffectsRestart(s *stage) {
	const jobs = 60
	e, d := s.effects(), s.declared()
	s.put(d, tasks(jobs)...)
	first, holder := s.open(), s.open()
	gate := s.gate()
	var crashing atomic.Bool
	var opened atomic.Int64
	workers := []*batch.Worker{s.work(holder, func(ctx context.Context, job *job) error {
		tx, err := e.completing(ctx, holder, job)
		if err != nil {
			return err
		}
		open := !crashing.Load()
		opened.Add(1)
		<-gate.done // until the broker has crashed
		ctx = context.WithoutCancel(ctx)
		if err := tx.commit(ctx); err != nil {
			return err
		}
		if open { // else it may have begun after the crash
			s.problem("%s: a transaction was committed that was open when the broker crashed", job.ID)
		}
		return nil
	}, patient)}
	s.eventually("waiting for a transaction that the crash meets", func() error {
		if opened.Load() == 0 {
			return errors.New("none is open")
		}
		return nil
	})
	workers = append(workers, s.work(first, e.pays(first), patient))
	s.waitCount(jobs/4, Done)
	s.history.Add(Event{Op: Disturbed, Note: "the broker crashes"})
	crashing.Store(true)
	s.check(s.harness.Restart(s.ctx), "restart the broker")
	s.history.Add(Event{Op: Mended})
	gate.open()
	next := s.reopen()
	s.work(next, e.pays(next), patient)
	e.once(2*s.grace(), jobs)
	for _, w := range workers { // not for what they cannot settle any more
		ctx, cancel := context.WithTimeout(s.ctx, time.Second)
		w.Stop(ctx)
		cancel()
	}
}
