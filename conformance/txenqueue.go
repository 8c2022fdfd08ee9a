package conformance

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

var transactional = []string{txEnqueuer}

var txCases = []Case{
	{Name: "tx-commit", Rule: "What a transaction stores is there after its commit, each job once and whole, with what the driver's other capabilities make of it.", Needs: transactional, run: caseTxCommit},
	{Name: "tx-unseen", Rule: "Before the commit no job of a transaction is counted, listed or handed out.", Needs: transactional, run: caseTxUnseen},
	{Name: "tx-rollback", Rule: "A job of a transaction that was rolled back is never there.", Needs: transactional, run: caseTxRollback},
	{Name: "tx-wakes-idle", Rule: "A consumer that has waited for seconds gets a job at once when its transaction is committed, and the next too.", Needs: transactional, timed: true, run: caseTxWakesIdle},
	{Name: "tx-wakes-worker", Rule: "An idle worker begins with all jobs of a transaction at once when it is committed.", Needs: transactional, timed: true, run: caseTxWakesWorker},
	{Name: "tx-many", Rule: "A call takes EnqueueBatch jobs: all are there after the commit, and none after a rollback.", Needs: transactional, run: caseTxMany},
	{Name: "tx-queues", Rule: "Jobs on several queues, of several calls, are all there after the commit, and none after a rollback.", Needs: transactional, run: caseTxQueues},
	{Name: "tx-concurrent", Rule: "With many transactions at once, of which some are rolled back, the jobs of those that were committed run, each once, and no other.", Needs: transactional, run: caseTxConcurrent},
	{Name: "tx-delay", Rule: "A delay counts from the call: its job is not early, and not later because of the transaction.", Needs: []string{txEnqueuer, "Delayer"}, timed: true, run: caseTxDelay},
	{Name: "tx-priority", Rule: "Jobs of a transaction are handed out by their levels among those that were there before.", Needs: []string{txEnqueuer, "Prioritizer"}, run: caseTxPriority},
	{Name: "tx-group", Rule: "Jobs of a group in a transaction are handed out one at a time, in their order, behind those that were there before.", Needs: []string{txEnqueuer, "Grouper"}, run: caseTxGroup},
}

func caseTxCommit(s *stage) {
	d := s.declared()
	whole := full("full")
	s.withCapabilities(d, whole)
	tx := s.transaction()
	s.putTx(tx, d, whole, message("plain"))
	s.putTx(tx, s.open(), message("later"))
	s.commit(tx)
	c := s.consume(s.open(), 3)
	for range 3 { // one by one, whatever the groups
		got := s.receiveOne(c)
		if got.ID == whole.ID {
			s.check(sameMessage(&got.Message, whole), "received")
		}
		equal(s, got.Deliveries, 1, "Deliveries of %s", got.ID)
		s.settle(c, got, driver.OutcomeDone)
	}
	s.check(c.Close(s.ctx), "close the consumer")
	if whole.DedupKey != "" {
		s.wantDuplicate(d, unique("again", whole.DedupKey), whole.ID)
	}

	tx = s.transaction()
	for _, some := range [][]txJob{{{task{N: 0}, name(0)}}, {{task{N: 1}, name(1)}, {task{N: 2}, name(2)}}} {
		receipts, err := tx.enqueue(s.ctx, d, s.queue, some...)
		s.check(err, "enqueue %d jobs in a transaction", len(some))
		equal(s, len(receipts), len(some), "receipts")
		for i, r := range receipts {
			equal(s, r.ID, some[i].id, "the ID of a receipt")
		}
	}
	s.commit(tx)
	s.work(s.open(), nothing)
	s.waitCount(6, Done)
	s.check(ExactCover(s.history.Events(), append(names(3), "full", "plain", "later")), "judge the history")
	s.waitDepth(d, driver.Depth{})
}

func caseTxUnseen(s *stage) {
	d := s.declared()
	tx := s.transaction()
	s.putTx(tx, d, messages(3)...)
	s.nothingSeen(s.open(), "the transaction with all jobs is open")
	s.commit(tx)
	s.finish(d, 3)
	s.check(ExactCover(s.history.Events(), names(3)), "judge the history")
	s.waitDepth(d, driver.Depth{})
}

func caseTxRollback(s *stage) {
	d := s.declared()
	tx := s.transaction()
	s.putTx(tx, d, messages(3)...)
	s.rollback(tx)
	s.nothingSeen(s.open(), "the transaction with all jobs was rolled back")
	tx = s.transaction()
	s.putTx(tx, d, message("other"))
	s.commit(tx)
	s.finish(d, 1)
	s.check(ExactCover(s.history.Events(), []string{"other"}), "judge the history")
	s.waitDepth(d, driver.Depth{})
}

func caseTxWakesIdle(s *stage) {
	const idle = 3 * time.Second
	d := s.declared()
	c := s.consume(s.open(), 1)
	for n, wait := range []time.Duration{0, idle, 0} {
		tx := s.transaction()
		s.putTx(tx, d, message(name(n)))
		arrived := s.waiting(c, wait)
		s.pass(wait + waitsBy)
		before := s.history.Now()
		s.commit(tx)
		got := s.arrives(arrived, before, s.history.Now()+s.lateness(), fmt.Sprintf("the job of a transaction, after the consumer waited for %s", wait))
		s.settle(c, got, driver.OutcomeDone)
	}
}

func caseTxWakesWorker(s *stage) {
	const jobs = 4
	d := s.declared()
	gate := s.gate()
	s.work(s.open(), func(ctx context.Context, _ *batch.Job[task]) error { return gate.wait(ctx) }, concurrency(jobs, batch.NoPrefetch))
	s.pass(time.Second)
	tx := s.transaction()
	s.putTx(tx, d, tasks(jobs)...)
	s.pass(waitsBy)
	before := s.history.Now()
	s.commit(tx)
	committed := s.history.Now()
	s.waitCount(jobs, Started)
	for _, e := range s.history.Events() {
		if e.Op == Started {
			s.check(Within("the start of "+e.ID, 0, e.At, before, committed+s.lateness()), "measure")
		}
	}
	gate.open()
	s.waitCount(jobs, Done)
	s.check(ExactCover(s.history.Events(), names(jobs)), "judge the history")
}

func caseTxMany(s *stage) {
	d := s.declared()
	n := s.info.Limits.EnqueueBatch
	tx := s.transaction()
	_, err := tx.enqueue(s.ctx, d, s.queue, slices.Repeat([]txJob{{task{}, "many"}}, n+1)...)
	s.is(err, batch.ErrInvalid, "enqueue one job more than EnqueueBatch in a transaction")
	s.putTx(tx, d, messages(n)...)
	s.rollback(tx)
	s.nothingSeen(d, "the transaction with all jobs was rolled back")
	tx = s.transaction()
	s.putTx(tx, d, messages(n)...)
	s.commit(tx)
	s.finish(d, n)
	s.check(ExactCover(s.history.Events(), names(n)), "judge the history")
	s.waitDepth(d, driver.Depth{})
}

func caseTxQueues(s *stage) {
	d, first, second := s.declared(), s.queue, s.newQueue()
	s.check(d.Declare(s.ctx, second), "declare")
	for round, ends := range []func(*transaction){s.rollback, s.commit} {
		tx := s.transaction()
		s.putTxOn(tx, d, first, message(name(2*round)))
		s.putTxOn(tx, d, second, message(name(2*round+1)))
		ends(tx)
	}
	for i, queue := range []string{first, second} {
		s.queue = queue
		c := s.consume(d, 1)
		s.next(c, name(2+i), "which was committed")
		s.waitDepth(d, driver.Depth{})
	}
}

func caseTxConcurrent(s *stage) {
	const producers, rounds, each = 6, 10, 3
	s.declared()
	var mu sync.Mutex
	var committed []string
	var all sync.WaitGroup
	for p := range producers {
		d := s.open()
		random := rand.New(rand.NewPCG(s.seed, uint64(p)))
		all.Go(func() {
			for round := range rounds {
				ids, err := txRound(s, d, (p*rounds+round)*each, each, random.IntN(3) > 0)
				if err != nil {
					s.problem("transaction %d of producer %d: %v", round, p, err)
					return
				}
				mu.Lock()
				committed = append(committed, ids...)
				mu.Unlock()
			}
		})
	}
	for range 2 {
		s.work(s.open(), nothing, concurrency(4, 4))
	}
	all.Wait()
	s.waitCount(len(committed), Done)
	s.waitDepth(s.open(), driver.Depth{})
	s.check(ExactCover(s.history.Events(), committed), "judge the history")
}

// txRound enqueues n tasks, one call for each, in a transaction that it commits or rolls back,
// and returns the IDs of those that were committed.
func txRound(s *stage, d driver.Driver, first, n int, commit bool) ([]string, error) {
	tx, err := s.tryBegin(s.ctx, s.harness.Transactions)
	if err != nil {
		return nil, err
	}
	var ids []string
	for i := range n {
		ids = append(ids, name(first+i))
		if _, err := tx.enqueue(s.ctx, d, s.queue, txJob{task{N: first + i}, ids[i]}); err != nil {
			return nil, err
		}
	}
	if !commit {
		return nil, tx.rollback(s.ctx)
	}
	return ids, tx.commit(s.ctx)
}

func caseTxDelay(s *stage) {
	d := s.declared()
	c := s.consume(s.open(), 1)
	// Longer than the lateness that is allowed: a delay that counts from the commit is seen.
	delay := s.lateness() + 500*time.Millisecond
	tx := s.transaction()
	s.putTx(tx, d, delayed("due", delay))
	s.pass(delay)
	begin := s.history.Now()
	s.putTx(tx, d, delayed("later", delay), message("now"))
	end := s.history.Now()
	s.commit(tx)
	committed := s.history.Now()
	for range 2 {
		got := s.receiveOne(c)
		if !slices.Contains([]string{"due", "now"}, got.ID) {
			s.failf("%s was handed out %s after a call with a delay of %s", got.ID, s.history.Now()-begin, delay)
		}
		s.check(Within("the job "+got.ID, committed, s.history.Now(), 0, s.lateness()), "measure")
		s.settle(c, got, driver.OutcomeDone)
	}
	later := s.receiveBy(delay, c, 1)[0]
	now := s.history.Now()
	s.check(Within("the delayed job", begin, now, delay, now), "measure")
	s.check(Within("the delayed job", end, now, 0, delay+s.lateness()), "measure")
	s.settle(c, later, driver.OutcomeDone)
	s.waitDepth(d, driver.Depth{})
}

func caseTxPriority(s *stage) {
	d := s.declared()
	s.put(d, level("normal", driver.Normal), level("high", driver.High))
	tx := s.transaction()
	s.putTx(tx, d, level("trivial", driver.Trivial), level("critical", driver.Critical))
	s.putTx(tx, d, level("low", driver.Low))
	s.commit(tx)
	c := s.consume(d, 1)
	for _, want := range []string{"critical", "high", "normal", "low", "trivial"} {
		s.next(c, want, "by its level")
	}
}

func caseTxGroup(s *stage) {
	const jobs = 6
	d := s.declared()
	s.putGroup(d, 2)
	tx := s.transaction()
	s.putTx(tx, d, grouped(name(2), "group"), grouped(name(3), "group"))
	for i := 4; i < jobs; i++ {
		s.putTx(tx, d, grouped(name(i), "group"))
	}
	s.commit(tx)
	c, other := s.consume(d, 1), s.consume(s.open(), 1)
	for i := range jobs {
		got := s.receiveOne(c)
		equal(s, got.ID, name(i), "the group's next job")
		if i == 2 {
			s.receiveNone(other, 100*time.Millisecond, "another job of its group is running")
		}
		s.settle(c, got, driver.OutcomeDone)
	}
	s.waitDepth(d, driver.Depth{})
}
