package batch_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
)

// holding begins a transaction that has the keys of n jobs, on a queue of a memory driver.
func holding(t *testing.T, n int) (*batch.Queue[*memory.Driver], *memory.Tx) {
	t.Helper()
	d := memory.New()
	q := batch.NewQueue(d, "tasks", batch.WithEnqueueTimeout(time.Minute))
	tx, err := d.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if _, err := batch.EnqueueTx(t.Context(), tx, q, task{i}, batch.Unique(q, key(i))); err != nil {
			t.Fatal(err)
		}
	}
	return q, tx
}

// key is a key of job i.
func key(i int) string { return fmt.Sprintf("key-%d", i) }

// outcome is what an enqueue returned.
type outcome struct {
	receipt batch.Receipt
	err     error
}

// TestHeldKeysHoldUpNothing: many jobs wait for an open transaction, one by one and together, and every
// other job of the handle is stored at once. When it ends, each of them is known.
func TestHeldKeysHoldUpNothing(t *testing.T) {
	const keys = 20
	for _, commit := range []bool{true, false} {
		t.Run(fmt.Sprint("commit ", commit), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q, tx := holding(t, keys)
				single := make(chan outcome, keys)
				for i := range keys {
					go func() {
						r, err := q.Enqueue(t.Context(), task{i}, batch.Unique(q, key(i)))
						single <- outcome{r, err}
					}()
				}
				together := make(chan []batch.Result, 1)
				go func() {
					results, _ := q.EnqueueMany(t.Context(), []batch.Request[*memory.Driver]{
						{Args: task{1}},
						{Args: task{2}, Options: []batch.Option[*memory.Driver]{batch.Unique(q, key(0))}},
					})
					together <- results
				}()
				time.Sleep(10 * time.Second) // all of them wait, and have looked often
				synctest.Wait()
				begin := time.Now()
				for i := range 100 {
					if _, err := q.Enqueue(t.Context(), task{i}, batch.Unique(q, fmt.Sprint("free-", i))); err != nil {
						t.Fatal(err)
					}
				}
				if took := time.Since(begin); took > 0 {
					t.Errorf("other jobs took %s", took)
				}
				if len(single) > 0 || len(together) > 0 {
					t.Fatal("a job whose key an open transaction has is answered")
				}
				if commit {
					_ = tx.Commit(t.Context())
				} else {
					_ = tx.Rollback(t.Context())
				}
				begin = time.Now()
				duplicates := 0
				for range keys {
					got := <-single
					if got.err != nil {
						t.Error(got.err)
					}
					if got.receipt.Duplicate {
						duplicates++
					}
				}
				results := <-together
				if took := time.Since(begin); took > 100*time.Millisecond {
					t.Errorf("the jobs that waited were known after %s", took)
				}
				if results[0].Err != nil || results[1].Err != nil {
					t.Errorf("together: %+v", results)
				}
				if results[1].Receipt.Duplicate {
					duplicates++
				}
				want := keys + 1
				if !commit { // one of the two with the first key is a duplicate of the other
					want = 1
				}
				if duplicates != want {
					t.Errorf("%d duplicates, want %d", duplicates, want)
				}
				if depth, err := q.Depth(t.Context()); err != nil || depth.Waiting != keys+100+1 {
					t.Errorf("the depth is %+v, %v", depth, err)
				}
			})
		})
	}
}

// TestHeldKeyGivesUp: a caller whose context ends, or whose enqueue timeout passes, while an open transaction
// has its key is told why, and that nothing is stored; and nothing is later.
func TestHeldKeyGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, tx := holding(t, 1)
		for name, within := range map[string]time.Duration{"context": time.Second, "timeout": time.Hour} {
			ctx, cancel := context.WithTimeout(t.Context(), within)
			begin := time.Now()
			_, err := q.Enqueue(ctx, task{1}, batch.Unique(q, key(0)))
			cancel()
			var failed *batch.EnqueueError
			if !errors.As(err, &failed) || failed.Fate != batch.FateNotStored || !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, batch.ErrKeyHeld) {
				t.Errorf("%s: %v", name, err)
			}
			if took := time.Since(begin); took != min(within, time.Minute) {
				t.Errorf("%s: it took %s", name, took)
			}
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if depth, err := q.Depth(t.Context()); err != nil || depth.Waiting != 0 {
			t.Errorf("the depth is %+v, %v", depth, err)
		}
	})
}
