package conformance

import (
	"context"
	"slices"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

var txUnique = []string{txEnqueuer, "Deduplicator"}

var txKeyCases = []Case{
	{Name: "tx-duplicate", Rule: "In a transaction duplicates of stored jobs, of the same call and of the same transaction are reported at their places, and the others are stored.", Needs: txUnique, run: caseTxDuplicate},
	{Name: "tx-key-free", Rule: "The key of a job whose transaction was rolled back is free.", Needs: txUnique, run: caseTxKeyFree},
	{Name: "tx-key-commit", Rule: "A second transaction with a key of an open one waits for that, and is told of a duplicate when it is committed.", Needs: txUnique, run: func(s *stage) { s.secondTx(true) }},
	{Name: "tx-key-rollback", Rule: "A second transaction with a key of an open one waits for that, and has the key when it is rolled back.", Needs: txUnique, run: func(s *stage) { s.secondTx(false) }},
	{Name: "tx-key-context", Rule: "A call that waits for another transaction returns promptly when its context ends, and adds nothing.", Needs: txUnique, timed: true, run: caseTxKeyContext},
	{Name: "tx-key-enqueue", Rule: "An Enqueue with the key of an open transaction waits for that: it is a duplicate after the commit, and stored after a rollback.", Needs: txUnique, run: caseTxKeyEnqueue},
	{Name: "tx-key-atomic", Rule: "An atomic enqueue with the key of an open transaction waits for that: it is ErrDuplicate after the commit, and stored after a rollback.", Needs: append(slices.Clone(txUnique), "AtomicEnqueuer"), run: caseTxKeyAtomic},
	{Name: "tx-beside", Rule: "An open transaction holds up no job with another key, neither in a call of its own nor in one with a job that has its key. That one is ErrKeyHeld with FateNotStored, at once.", Needs: txUnique, timed: true, run: caseTxBeside},
	{Name: "tx-deadlock", Rule: "Of two transactions that wait for keys of each other one gets an error, and the other goes on when that is rolled back.", Needs: txUnique, run: caseTxDeadlock},
}

func caseTxDuplicate(s *stage) {
	const jobs = 8
	d := s.declared()
	s.put(d, unique("stored", "taken"))
	tx := s.transaction()
	s.putTx(tx, d, unique("before", "own"))
	all := messages(jobs)
	of := map[int]string{1: "stored", 4: name(3), 6: "before", 7: name(3)}
	for i, key := range map[int]string{1: "taken", 3: "within", 4: "within", 5: "free", 6: "own", 7: "within"} {
		all[i].DedupKey = key
	}
	results, err := s.enqueueTx(s.ctx, tx, d, s.queue, all...)
	s.check(err, "enqueue in a transaction with duplicates")
	equal(s, len(results), jobs, "results of a call with duplicates")
	want := []string{"stored", "before"}
	for i, r := range results {
		first, duplicate := of[i]
		equal(s, r.Duplicate, duplicate, "Duplicate of place %d, with the key %q", i, all[i].DedupKey)
		if r.DuplicateOf != "" {
			equal(s, r.DuplicateOf, first, "DuplicateOf of place %d", i)
		}
		if !duplicate {
			want = append(want, all[i].ID)
		}
	}
	s.commit(tx)
	s.wantDuplicate(d, unique("again", "free"), name(5))
	s.finish(d, len(want))
	s.check(ExactCover(s.history.Events(), want), "judge the history")
	s.waitDepth(d, driver.Depth{})
}

func caseTxKeyFree(s *stage) {
	d := s.declared()
	for range 2 {
		tx := s.transaction()
		s.putTx(tx, d, unique("rolled-back", "key"), unique("this-too", "other"))
		s.rollback(tx)
	}
	s.put(d, unique("first", "key"))
	tx := s.transaction()
	s.putTx(tx, d, unique("second", "other"))
	s.commit(tx)
	s.finish(d, 2)
	s.check(ExactCover(s.history.Events(), []string{"first", "second"}), "judge the history")
	s.nothingSeen(d, "all transactions with other jobs were rolled back")
}

// txResult is what EnqueueTx returned.
type txResult struct {
	results []driver.Result
	err     error
}

// duplicate tells whether its only job, or its first, is a duplicate.
func (r txResult) duplicate() bool { return len(r.results) > 0 && r.results[0].Duplicate }

// enqueueing calls EnqueueTx, which is to wait, and returns where its result will be.
func (s *stage) enqueueing(ctx context.Context, tx *transaction, d driver.Driver, all ...*driver.Message) <-chan txResult {
	returned := make(chan txResult, 1)
	go func() {
		results, err := s.enqueueTx(ctx, tx, d, s.queue, all...)
		returned <- txResult{results, err}
	}()
	return returned
}

// secondTx lets a second transaction wait for the end of the first, which has its key.
func (s *stage) secondTx(commit bool) {
	d := s.declared()
	first, second := s.transaction(), s.transaction()
	s.putTx(first, d, unique("first", "key"))
	s.putTx(second, s.open(), unique("own", "free"))
	returned := s.enqueueing(s.ctx, second, s.open(), unique("second", "key"), message("plain"))
	notYet(s, returned, "a transaction that is open has the key")
	want := []string{"own", "plain"}
	if commit {
		s.commit(first)
		want = append(want, "first")
	} else {
		s.rollback(first)
		want = append(want, "second")
	}
	got := comes(s, returned, "the call of the second transaction, after the end of the first")
	s.check(got.err, "enqueue with a key for which another transaction has ended")
	equal(s, got.duplicate(), commit, "whether the job is a duplicate of that of the other transaction")
	s.commit(second)
	s.finish(d, len(want))
	s.check(ExactCover(s.history.Events(), want), "judge the history")
	s.waitDepth(d, driver.Depth{})
}

func caseTxKeyContext(s *stage) {
	const after = 300 * time.Millisecond
	d := s.declared()
	first, second := s.transaction(), s.transaction()
	s.putTx(first, d, unique("first", "key"))
	ctx, cancel := context.WithTimeout(s.ctx, after)
	defer cancel()
	begin := s.history.Now()
	_, err := s.enqueueTx(ctx, second, d, s.queue, message("plain"), unique("second", "key"))
	s.check(Within("the return of a call that waits", begin, s.history.Now(), after-50*time.Millisecond, after+s.promptness()), "measure")
	s.is(err, context.DeadlineExceeded, "an EnqueueTx that waits for another transaction until its context ends")
	s.mayCommit(second)
	s.commit(first)
	s.finish(d, 1)
	s.check(ExactCover(s.history.Events(), []string{"first"}), "judge the history")
	s.nothingSeen(d, "the context of its call has ended")
}

func caseTxKeyEnqueue(s *stage) {
	d := s.declared()
	for _, commit := range []bool{true, false} {
		key := map[bool]string{true: "committed", false: "rolled-back"}[commit]
		tx := s.transaction()
		s.putTx(tx, d, unique("first", key))
		type told struct {
			receipt batch.Receipt
			err     error
		}
		returned := make(chan told, 1)
		q := queueOf[batch.Deduplicator](s, s.open())
		go func() {
			receipt, err := q.Enqueue(s.ctx, task{}, batch.ID(q, "second"), batch.Unique(q, key))
			returned <- told{receipt, err}
		}()
		notYet(s, returned, "a transaction that is open has the key")
		end, want := s.rollback, "second"
		if commit {
			end, want = s.commit, "first"
		}
		end(tx)
		got := comes(s, returned, "an Enqueue with a key of a transaction, after the end of that")
		s.check(got.err, "enqueue with a key of a transaction that has ended")
		equal(s, got.receipt.Duplicate, commit, "Duplicate of the receipt, when the transaction with the key %q has ended", key)
		c := s.consume(d, 1)
		s.next(c, want, "when the transaction has ended")
		s.check(c.Close(s.ctx), "close the consumer")
		s.nothingSeen(d, "one job of the key was stored")
	}
}

func caseTxKeyAtomic(s *stage) {
	d := s.declared()
	for _, commit := range []bool{true, false} {
		key := map[bool]string{true: "committed", false: "rolled-back"}[commit]
		tx := s.transaction()
		s.putTx(tx, d, unique("first", key))
		returned := make(chan error, 1)
		a := capable[batch.AtomicEnqueuer](s, s.open())
		go func() {
			returned <- a.EnqueueAtomic(s.ctx, s.queue, []*driver.Message{message("plain"), unique("second", key)})
		}()
		notYet(s, returned, "a transaction that is open has the key")
		end, want := s.rollback, []string{"plain", "second"}
		if commit {
			end, want = s.commit, []string{"first"}
		}
		end(tx)
		err := comes(s, returned, "an atomic enqueue with a key of a transaction, after the end of that")
		if commit {
			s.is(err, driver.ErrDuplicate, "enqueue atomically with a key of a transaction that was committed")
			s.notStored(err, "enqueue atomically with a key of a transaction that was committed")
		} else {
			s.check(err, "enqueue atomically with a key of a transaction that was rolled back")
		}
		c := s.consume(d, 1)
		for _, id := range want {
			s.next(c, id, "when the transaction has ended")
		}
		s.check(c.Close(s.ctx), "close the consumer")
		s.nothingSeen(d, "one job of the key was stored")
	}
}

func caseTxBeside(s *stage) {
	d := s.declared()
	tx := s.transaction()
	s.putTx(tx, d, unique("first", "key"), message("unseen"))
	c := s.consume(s.open(), 1)

	begin := s.history.Now()
	s.put(s.open(), unique("own-call", "other"), message("plain"))
	s.check(Within("an Enqueue of other jobs beside an open transaction", begin, s.history.Now(), 0, s.lateness()), "measure")
	for range 2 {
		s.settle(c, s.receiveOne(c), driver.OutcomeDone)
	}

	other := s.open()
	all := []*driver.Message{unique("before", "third"), unique("second", "key"), message("after")}
	begin = s.history.Now()
	results := s.inParts(other, all)
	s.check(Within("an Enqueue of three jobs, of which an open transaction has a key", begin, s.history.Now(), 0, s.lateness()), "measure")
	for i, r := range results {
		if i != 1 {
			s.check(r.Err, "enqueue place %d beside a job whose key an open transaction has", i)
			continue
		}
		s.is(r.Err, driver.ErrKeyHeld, "enqueue a job whose key an open transaction has")
		s.notStored(r.Err, "enqueue a job whose key an open transaction has")
	}
	for range 2 {
		got := s.receiveOne(c)
		if got.ID != "before" && got.ID != "after" {
			s.failf("%s was handed out while its transaction is open", got.ID)
		}
		s.settle(c, got, driver.OutcomeDone)
	}
	s.commit(tx)
	s.wantDuplicate(other, all[1], "first")
	for range 2 {
		s.settle(c, s.receiveOne(c), driver.OutcomeDone)
	}
	s.waitDepth(d, driver.Depth{})
}

// inParts enqueues messages in as few calls as the limits allow, and returns their results.
func (s *stage) inParts(d driver.Driver, all []*driver.Message) []driver.Result {
	ctx, cancel := s.soon()
	defer cancel()
	var results []driver.Result
	for part := range slices.Chunk(all, s.info.Limits.EnqueueBatch) {
		got := d.Enqueue(ctx, s.queue, part)
		if got == nil {
			got = make([]driver.Result, len(part))
		}
		results = append(results, got...)
	}
	equal(s, len(results), len(all), "results of %d jobs", len(all))
	return results
}

func caseTxDeadlock(s *stage) {
	d := s.declared()
	var all [2]*transaction
	keys := [2]string{"one", "two"}
	for i := range all {
		all[i] = s.transaction()
		s.putTx(all[i], d, unique(name(i), keys[i]))
	}
	var returned [2]<-chan txResult
	for i := range all {
		returned[i] = s.enqueueing(s.ctx, all[i], s.open(), unique(name(2+i), keys[1-i]))
	}
	ctx, cancel := s.soon()
	defer cancel()
	var got txResult
	loser := 0
	select {
	case got = <-returned[0]:
	case got = <-returned[1]:
		loser = 1
	case <-ctx.Done():
		s.failf("two transactions wait for keys of each other, and neither gets an error: %v", context.Cause(ctx))
	}
	var first *txResult
	if got.err == nil {
		// The database has rolled the other one back before the error was read.
		first, loser = &got, 1-loser
		other := comes(s, returned[loser], "the call of a transaction whose key another one got")
		if other.err == nil {
			s.failf("two transactions wait for keys of each other, and both get them: %v", other.results)
		}
		s.notStored(other.err, "an EnqueueTx that waits for a transaction that waits for it")
	} else {
		s.notStored(got.err, "an EnqueueTx that waits for a transaction that waits for it")
	}
	_ = all[loser].rollback(s.ctx) // the database may have done that
	winner := 1 - loser
	if first == nil {
		got = comes(s, returned[winner], "the call of the other transaction, after the rollback of the first")
	}
	s.check(got.err, "enqueue in the transaction that goes on")
	equal(s, got.duplicate(), false, "whether the job is a duplicate of one that was rolled back")
	s.commit(all[winner])
	s.finish(d, 2)
	s.check(ExactCover(s.history.Events(), []string{name(winner), name(2 + winner)}), "judge the history")
	s.waitDepth(d, driver.Depth{})
}
