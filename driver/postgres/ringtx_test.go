package postgres

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/batch-go/batch/driver"
)

// TestTransactionsShareRings: of the transactions of 10 ms one rings, and for those after the last that did the driver
// rings once, when none has come for 10 ms.
func TestTransactionsShareRings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTxRings()
		var echoes atomic.Int64
		r.loud = func([]string) { echoes.Add(1) }
		rings := 0
		for range 1000 { // one each ms
			if r.rings("q") {
				rings++
			}
			time.Sleep(time.Millisecond)
			synctest.Wait()
		}
		if rings != 100 || echoes.Load() != 0 {
			t.Errorf("1000 transactions in a second ring %d times, and the driver %d times", rings, echoes.Load())
		}
		time.Sleep(2 * ringGap)
		synctest.Wait()
		if echoes.Load() != 1 {
			t.Errorf("the driver has rung %d times for the last", echoes.Load())
		}
		if !r.rings("q") || r.rings("q") || !r.rings("other") {
			t.Error("the first of a queue has to ring, and the second has not")
		}
		r.close()
		synctest.Wait()
		if echoes.Load() != 1 {
			t.Error("the driver rings after its close")
		}
	})
}

// TestOneEcho: while the server does not answer, transactions go on, and one goroutine waits to ring for all of them.
func TestOneEcho(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTxRings()
		answers := make(chan struct{})
		var mu sync.Mutex
		waiting := 0
		var rung []string
		r.loud = func(queues []string) {
			mu.Lock()
			waiting++
			mu.Unlock()
			<-answers
			mu.Lock()
			waiting--
			rung = append(rung, queues...)
			mu.Unlock()
		}
		for n := range 100 {
			queue := "q"
			if n > 50 {
				queue = "other"
			}
			r.rings(queue)
			r.rings(queue) // and this one does not
			time.Sleep(3 * ringGap)
			synctest.Wait()
		}
		mu.Lock()
		if waiting != 1 || len(rung) != 0 {
			t.Errorf("%d goroutines ring, and have rung for %v", waiting, rung)
		}
		mu.Unlock()
		close(answers)
		time.Sleep(3 * ringGap)
		synctest.Wait()
		slices.Sort(rung)
		if want := []string{"other", "q", "q"}; !slices.Equal(rung, want) {
			t.Errorf("the driver has rung for %v, want %v", rung, want)
		}
		r.close()
	})
}

// TestRingAfterRollback: a consumer that rests has the job of a transaction that does not ring, although the one that
// was to was rolled back.
func TestRingAfterRollback(t *testing.T) {
	t.Parallel()
	d, writes := openCounted(t)
	d.bell.poll, d.bell.forget = func() { <-d.bell.done }, func() {}
	q := queue(t, d)
	c := consume(t, d, q)
	await(t, "listening", func() bool { return listeners(t, connect(t, plainURL(t)), d) == 1 })
	idle(t, c, 100*time.Millisecond)
	resting(c)
	ctx, cancel := context.WithTimeout(testContext(t), bound)
	defer cancel()
	before := writes.Load()
	came := make(chan error, 1)
	go func() {
		_, err := c.Receive(ctx, 1)
		came <- err
	}()
	await(t, "the first look", func() bool { return writes.Load() > before })
	store := func(end func(pgx.Tx) error) {
		t.Helper()
		tx := begin(t, pgx.ReadCommitted)
		if _, err := d.EnqueueTx(ctx, tx, q, []*driver.Message{message("a")}); err != nil {
			t.Fatal(err)
		}
		if err := end(tx); err != nil {
			t.Fatal(err)
		}
	}
	store(func(tx pgx.Tx) error { return tx.Rollback(ctx) })
	// Some, as on a busy machine a commit may be later than the ring for it, which a look that is switched off here makes good.
	for range 20 {
		d.bell.inTx.rings(q) // as another may just now, so that this one does not
		store(func(tx pgx.Tx) error { return tx.Commit(ctx) })
		select {
		case err := <-came:
			if err != nil {
				t.Errorf("nothing has come: %v", err)
			}
			return
		case <-time.After(20 * ringGap):
		}
	}
	if err := <-came; err != nil {
		t.Errorf("nothing has come: %v", err)
	}
}
