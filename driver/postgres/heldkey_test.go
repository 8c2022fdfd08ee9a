package postgres

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

// noted is a job's args.
type noted struct{ N int }

// Kind is the kind.
func (noted) Kind() string { return "noted" }

// holdKeys begins a transaction that holds keys of a queue.
func holdKeys(t *testing.T, d *Driver, q string, keys ...string) pgx.Tx {
	t.Helper()
	tx := begin(t, pgx.ReadCommitted)
	var all []*driver.Message
	for i, key := range keys {
		all = append(all, message(fmt.Sprint("holder-", i), dedup(key)))
	}
	if _, err := d.EnqueueTx(testContext(t), tx, q, all); err != nil {
		t.Fatal(err)
	}
	return tx
}

// TestHeldKeysTakeNoConnection: with many calls that wait for keys of an open transaction, by one handle of the
// queue and atomically, a driver of two connections goes on as if there were none.
func TestHeldKeysTakeNoConnection(t *testing.T) {
	t.Parallel()
	d := open(t, "pool_size", "2")
	q := queue(t, d)
	handle := batch.NewQueue(d, q)
	const waiting = 8
	tx := holdKeys(t, d, q, "k", "l")
	var all sync.WaitGroup
	var mu sync.Mutex // guards following
	duplicates := 0
	for range waiting {
		all.Go(func() {
			err := d.EnqueueAtomic(testContext(t), q, []*driver.Message{message("plain"), message("a", dedup("k"))})
			if mu.Lock(); errors.Is(err, driver.ErrDuplicate) {
				duplicates++
			}
			mu.Unlock()
		})
		all.Go(func() {
			r, err := handle.Enqueue(testContext(t), noted{1}, batch.Unique(handle, "l"))
			if mu.Lock(); err == nil && r.Duplicate {
				duplicates++
			}
			mu.Unlock()
		})
	}
	c := consume(t, d, q)
	begun := time.Now()
	const jobs = 20
	for i := range jobs {
		var one sync.WaitGroup // with and without a key of its own
		for k, options := range [][]batch.Option[*Driver]{nil, {batch.Unique(handle, fmt.Sprint("free-", i))}} {
			one.Go(func() {
				if _, err := handle.Enqueue(testContext(t), noted{k}, options...); err != nil {
					t.Error(err)
				}
			})
		}
		one.Wait()
		for n := 0; n < 2; {
			got := receive(t, c, 2)
			n += len(got)
			done(t, c, got...)
		}
	}
	if took := time.Since(begun); took > bound {
		t.Errorf("%d jobs took %s beside %d that wait", 2*jobs, took, 2*waiting)
	}
	if err := tx.Commit(testContext(t)); err != nil {
		t.Fatal(err)
	}
	all.Wait()
	if duplicates != 2*waiting {
		t.Errorf("%d of %d were told of a duplicate", duplicates, 2*waiting)
	}
}

// TestHeldKeyIsAlone: of the jobs of one Enqueue that whose key an open transaction has is refused at once, with
// its twin, and the others are stored; after the end of the transaction it is stored, or a duplicate.
func TestHeldKeyIsAlone(t *testing.T) {
	t.Parallel()
	d := open(t)
	q := queue(t, d)
	tx := holdKeys(t, d, q, "k")
	all := []*driver.Message{message("a"), message("b", dedup("k")), message("c", dedup("l")), message("d", dedup("k"))}
	results := d.Enqueue(testContext(t), q, all)
	for i, want := range []error{nil, driver.ErrKeyHeld, nil, driver.ErrKeyHeld} {
		if err := results[i].Err; !errors.Is(err, want) || want != nil && driver.FateOf(err) != driver.FateNotStored {
			t.Errorf("result %d is %+v", i, results[i])
		}
	}
	if err := tx.Rollback(testContext(t)); err != nil {
		t.Fatal(err)
	}
	check(t, d.Enqueue(testContext(t), q, []*driver.Message{all[1], all[3]}), []driver.Result{{}, {Duplicate: true, DuplicateOf: "b"}})
	if got := depth(t, d, q); got.Waiting != 3 {
		t.Errorf("the depth is %+v", got)
	}
}
