package memory

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch/driver"
)

// TestCompleteTxLease: a lease does not end in a transaction, and after a rollback it ends
// when it would have, or when it was extended to.
func TestCompleteTxLease(t *testing.T) {
	for name, test := range map[string]struct {
		open   time.Duration // until the rollback
		extend bool          // right before it
		left   time.Duration // of the lease
	}{
		"early":    {2 * time.Second, false, testLease - 2*time.Second},
		"late":     {3 * testLease, false, 0},
		"extended": {3 * testLease, true, testLease},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, Options{})
				r.add("a")
				first := r.get(1, "a")[0]
				time.Sleep(time.Second)
				r.add("b")
				second := r.get(1, "b")[0] // whose lease ends later, and is extended
				tx := r.begin()
				r.ok(r.d.CompleteTx(t.Context(), tx, first))
				for begin := time.Now(); time.Since(begin) < test.open-time.Second; {
					time.Sleep(500 * time.Millisecond)
					if errs := r.c.Extend(t.Context(), []*driver.Delivery{second}); errs != nil {
						t.Fatal(errs)
					}
				}
				if test.extend {
					if errs := r.c.Extend(t.Context(), []*driver.Delivery{first}); errs != nil {
						t.Fatal(errs)
					}
				}
				r.none()
				r.is(r.settle(first, driver.Settlement{Outcome: driver.OutcomeDone}), driver.ErrUnavailable)
				r.depth(0, 0, 2, 0)
				r.ok(tx.Rollback(t.Context()))
				rolledBack := time.Now()
				if test.left > 0 {
					r.none()
				}
				again := r.get(1, "a")[0]
				if waited := time.Since(rolledBack).Round(time.Second); waited != test.left.Round(time.Second) {
					t.Errorf("the job came %s after the rollback, want %s", waited, test.left)
				}
				r.history(again, 0, 2, 1)
				r.is(r.settle(first, driver.Settlement{Outcome: driver.OutcomeDone}), driver.ErrLeaseLost)
			})
		})
	}
}

// TestCompleteTxTwice: a second transaction waits for the one that completes a delivery.
func TestCompleteTxTwice(t *testing.T) {
	for name, commit := range map[string]bool{"commit": true, "rollback": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, Options{})
				r.add("a")
				held := r.get(1, "a")[0]
				first, second := r.begin(), r.begin()
				r.ok(r.d.CompleteTx(t.Context(), first, held))
				r.is(r.d.CompleteTx(t.Context(), first, held), driver.ErrLeaseLost)
				returned := make(chan error, 1)
				go func() { returned <- r.d.CompleteTx(t.Context(), second, held) }()
				synctest.Wait()
				if commit {
					r.ok(first.Commit(t.Context()))
					r.is(<-returned, driver.ErrLeaseLost)
				} else {
					r.ok(first.Rollback(t.Context()))
					r.ok(<-returned)
				}
				r.ok(second.Commit(t.Context()))
				r.depth(0, 0, 0, 0)
				if bytes, jobs := r.d.broker.capacity.used(); bytes != 0 || jobs != 0 {
					t.Errorf("%d bytes and %d jobs are reserved on an empty broker", bytes, jobs)
				}
			})
		})
	}
}

// TestCompleteTxMeets: a delivery that is locked meets the end of its queue and of the broker.
func TestCompleteTxMeets(t *testing.T) {
	for name, test := range map[string]struct {
		meet    func(*rig)
		commit  error // nil for success
		waiting int64 // of the jobs, afterwards
	}{
		"delete": {func(r *rig) { r.ok(r.d.DeleteQueue(r.Context(), "q")); r.ok(r.d.Declare(r.Context(), "q")) }, nil, 0},
		"crash":  {func(r *rig) { r.d.Broker().Crash() }, driver.ErrUnavailable, 1},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, Options{})
			r.add("a")
			held := r.get(1, "a")[0]
			tx := r.begin()
			r.ok(r.d.CompleteTx(t.Context(), tx, held))
			test.meet(r)
			if err := tx.Commit(t.Context()); test.commit != nil {
				r.is(err, test.commit)
			} else {
				r.ok(err)
			}
			d, err := r.d.Broker().Open()
			r.ok(err)
			defer d.Close(t.Context())
			got, err := d.Depth(t.Context(), "q")
			r.ok(err)
			if got.Waiting != test.waiting || got.Running != 0 {
				t.Errorf("depth %+v, want %d waiting", got, test.waiting)
			}
			if _, jobs := d.broker.capacity.used(); jobs != int(test.waiting) {
				t.Errorf("room for %d jobs is taken, want %d", jobs, test.waiting)
			}
		})
	}
}

// TestTxConcurrent: transactions with keys in any order, on two queues, plain enqueues,
// settlements and crashes at once end, and leave no room taken, no key held and no lock.
func TestTxConcurrent(t *testing.T) {
	r := newRig(t, Options{})
	b := r.d.Broker()
	r.ok(r.d.Declare(t.Context(), "p"))
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() { txRounds(t, b, n) })
	}
	all.Wait()
	d, err := b.Open()
	r.ok(err)
	defer d.Close(t.Context())
	for _, queue := range []string{"q", "p"} {
		r.ok(d.DeleteQueue(t.Context(), queue))
	}
	if bytes, jobs := b.capacity.used(); bytes != 0 || jobs != 0 {
		t.Errorf("%d bytes and %d jobs are reserved on an empty broker", bytes, jobs)
	}
	if len(b.holders.all)+len(b.holders.waits) != 0 {
		t.Error("the broker remembers transactions that have ended")
	}
}

// txRounds is one goroutine of TestTxConcurrent.
func txRounds(t *testing.T, b *Broker, n int) {
	queues, keys := []string{"q", "p"}, []string{"a", "b", "c"}
	for round := range 60 {
		if n == 0 && round%20 == 19 {
			b.Crash()
		}
		d, err := b.Open()
		if err != nil {
			t.Error(err)
			return
		}
		tx, err := d.Begin(t.Context())
		for i := 0; err == nil && i < 3; i++ {
			m := message("job")
			m.DedupKey = keys[(n+i*(1+n%2))%3]
			m.DedupWithin = time.Second
			_, err = d.EnqueueTx(t.Context(), tx, queues[(n+i)%2], []*driver.Message{m})
		}
		if err == nil {
			c, failed := d.Consume(t.Context(), "q", driver.ConsumeOptions{Lease: testLease, Prefetch: 1})
			if failed == nil && round%3 == 0 {
				d.Enqueue(t.Context(), "q", []*driver.Message{message("plain")})
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
				got, _ := c.Receive(ctx, 1) // another may have taken it
				cancel()
				for _, held := range got {
					_ = d.CompleteTx(t.Context(), tx, held)
				}
			}
		}
		if err == nil && round%2 == 0 {
			_ = tx.Commit(t.Context())
		} else if tx != nil {
			_ = tx.Rollback(t.Context())
		}
		_ = d.Close(t.Context())
	}
}
