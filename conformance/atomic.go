package conformance

import (
	"context"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

var atomicEnqueuer = []string{"AtomicEnqueuer"}

var atomicCases = []Case{
	{Name: "atomic", Rule: "An atomic enqueue stores all jobs, each once and whole.", Needs: atomicEnqueuer, run: caseAtomic},
	{Name: "atomic-limit", Rule: "AtomicLimit jobs are stored; one more is refused and none is stored.", Needs: atomicEnqueuer, run: caseAtomicLimit},
	{Name: "atomic-invalid", Rule: "If one job of an atomic enqueue is invalid, none is stored.", Needs: atomicEnqueuer, run: caseAtomicInvalid},
	{Name: "atomic-bytes", Rule: "An atomic enqueue over EnqueueBytes is refused and none is stored.", Needs: atomicEnqueuer, heavy: true, run: caseAtomicBytes},
	{Name: "atomic-duplicate", Rule: "If one job is a duplicate, of a stored job or within the call, none is stored, and the error wraps ErrDuplicate.", Needs: []string{"AtomicEnqueuer", "Deduplicator"}, run: caseAtomicDuplicate},
	{Name: "atomic-delay", Rule: "Jobs of an atomic enqueue keep their delays.", Needs: []string{"AtomicEnqueuer", "Delayer"}, timed: true, run: caseAtomicDelay},
	{Name: "atomic-context", Rule: "An atomic enqueue whose context has ended stores none.", Needs: atomicEnqueuer, run: caseAtomicContext},
}

// requests makes n requests of tasks.
func requests[D driver.Driver](q *batch.Queue[D], n int) []batch.Request[D] {
	all := make([]batch.Request[D], n)
	for i := range all {
		all[i] = batch.Request[D]{Args: task{N: i}, Options: []batch.Option[D]{batch.ID(q, name(i))}}
	}
	return all
}

func caseAtomic(s *stage) {
	q := queueOf[batch.AtomicEnqueuer](s, s.open())
	n := min(q.Driver().AtomicLimit(), 10)
	receipts, err := batch.EnqueueAtomic(s.ctx, q, requests(q, n))
	s.check(err, "enqueue %d jobs atomically", n)
	equal(s, len(receipts), n, "receipts")
	for i, r := range receipts {
		equal(s, r.ID, name(i), "the ID of receipt %d", i)
	}
	_, err = batch.EnqueueAtomic(s.ctx, q, nil)
	s.check(err, "enqueue nothing atomically")
	w := s.work(s.open(), nothing)
	s.waitCount(n, Done)
	s.check(ExactCover(s.history.Events(), names(n)), "judge the history")
	s.check(w.Stop(s.ctx), "stop the worker")

	d := s.open()
	whole := full("full")
	s.withCapabilities(d, whole)
	s.check(capable[batch.AtomicEnqueuer](s, d).EnqueueAtomic(s.ctx, s.queue, []*driver.Message{whole, message("plain")}), "enqueue a full message atomically")
	c := s.consume(d, 2)
	for _, got := range s.receive(c, 2) {
		if got.ID == whole.ID {
			s.check(sameMessage(&got.Message, whole), "received")
		}
		s.settle(c, got, driver.OutcomeDone)
	}
}

func caseAtomicLimit(s *stage) {
	q := queueOf[batch.AtomicEnqueuer](s, s.open())
	n := q.Driver().AtomicLimit()
	_, err := batch.EnqueueAtomic(s.ctx, q, requests(q, n+1))
	s.is(err, batch.ErrInvalid, "enqueue one job more than AtomicLimit")
	s.check(q.Declare(s.ctx), "declare")
	s.waitDepth(q.Driver(), driver.Depth{})
	_, err = batch.EnqueueAtomic(s.ctx, q, requests(q, n))
	s.check(err, "enqueue AtomicLimit jobs")
	s.finish(q.Driver(), n)
	s.check(ExactCover(s.history.Events(), names(n)), "judge the history")
}

// none ends the case if the queue has a job.
func (s *stage) none(d driver.Driver) {
	s.check(d.Declare(s.ctx, s.queue), "declare")
	s.waitDepth(d, driver.Depth{})
	s.receiveNone(s.consume(d, 1), 100*time.Millisecond, "none of the call was to be stored")
}

func caseAtomicInvalid(s *stage) {
	q := queueOf[batch.AtomicEnqueuer](s, s.open())
	all := requests(q, min(q.Driver().AtomicLimit(), 3))
	all[len(all)-1].Args = unencodable{}
	_, err := batch.EnqueueAtomic(s.ctx, q, all)
	s.is(err, batch.ErrInvalid, "enqueue atomically with an invalid job")
	s.none(q.Driver())
}

func caseAtomicBytes(s *stage) {
	d := s.open()
	q := queueOf[batch.AtomicEnqueuer](s, d, batch.WithCodec(rawCodec{}))
	l := s.info.Limits
	n := l.EnqueueBytes/l.MaxBody + 1
	if limit := q.Driver().AtomicLimit(); n > limit {
		s.failf("AtomicLimit is %d jobs of at most MaxBody bytes, which never reach the EnqueueBytes of %d", limit, l.EnqueueBytes)
	}
	body := raw(make([]byte, l.MaxBody))
	all := make([]batch.Request[batch.AtomicEnqueuer], n)
	for i := range all {
		all[i].Args = body
	}
	_, err := batch.EnqueueAtomic(s.ctx, q, all)
	s.is(err, batch.ErrTooLarge, "enqueue more than EnqueueBytes atomically")
	s.none(d)
}

func caseAtomicDuplicate(s *stage) {
	d := s.declared()
	a := capable[batch.AtomicEnqueuer](s, d)
	s.put(d, unique("stored", "key"))
	c := s.consume(d, 1)
	s.settle(c, s.receiveOne(c), driver.OutcomeDone)
	for what, all := range map[string][]*driver.Message{
		"a duplicate of a stored job": {message("a"), unique("b", "key"), unique("c", "free")},
		"a duplicate within the call": {unique("a", "twice"), message("b"), unique("c", "twice")},
	} {
		err := a.EnqueueAtomic(s.ctx, s.queue, all)
		s.is(err, driver.ErrDuplicate, "%s", what)
		equal(s, driver.FateOf(err), driver.FateNotStored, "the fate of an atomic enqueue with %s", what)
	}
	s.waitDepth(d, driver.Depth{})
	s.receiveNone(c, 100*time.Millisecond, "none of the call was to be stored")
	// Keys of calls that stored nothing are free.
	s.check(a.EnqueueAtomic(s.ctx, s.queue, []*driver.Message{unique("d", "free"), unique("e", "twice")}), "use the keys of calls that stored nothing")
	s.wantDuplicate(d, unique("f", "free"), "d")
	s.finish(d, 2)
}

func caseAtomicDelay(s *stage) {
	const delay = 400 * time.Millisecond
	d := s.declared()
	begin := s.history.Now()
	s.check(capable[batch.AtomicEnqueuer](s, d).EnqueueAtomic(s.ctx, s.queue, []*driver.Message{delayed("later", delay), message("now")}), "enqueue atomically")
	end := s.history.Now()
	c := s.consume(d, 1)
	s.next(c, "now", "which has no delay")
	later := s.receiveOne(c)
	now := s.history.Now()
	equal(s, later.ID, "later", "the next job, after its delay")
	s.settle(c, later, driver.OutcomeDone)
	s.check(Within("the delayed job", begin, now, delay, now), "measure")
	s.check(Within("the delayed job", end, now, 0, delay+s.lateness()), "measure")
}

func caseAtomicContext(s *stage) {
	d := s.declared()
	ended, cancel := context.WithCancel(s.ctx)
	cancel()
	err := capable[batch.AtomicEnqueuer](s, d).EnqueueAtomic(ended, s.queue, messages(2))
	s.is(err, context.Canceled, "enqueue atomically with a context that has ended")
	equal(s, driver.FateOf(err), driver.FateNotStored, "its fate")
	s.none(d)
}
