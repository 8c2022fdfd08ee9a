package memory

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch/driver"
)

// begin begins a transaction that is rolled back after the test.
func (r *rig) begin() *Tx {
	r.Helper()
	tx, err := r.d.Begin(r.Context())
	r.ok(err)
	r.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	return tx
}

// addTx enqueues a job as part of a transaction, and expects no duplicate.
func (r *rig) addTx(tx *Tx, id string, change ...func(*driver.Message)) {
	r.Helper()
	if results, err := r.tryTx(r.Context(), tx, id, change...); err != nil || results != nil {
		r.Fatalf("enqueue of %s in a transaction: %+v, %v", id, results, err)
	}
}

func (r *rig) tryTx(ctx context.Context, tx *Tx, id string, change ...func(*driver.Message)) ([]driver.Result, error) {
	m := message(id)
	for _, f := range change {
		f(m)
	}
	return r.d.EnqueueTx(ctx, tx, "q", []*driver.Message{m})
}

// TestCommitIsOneInstant looks at two queues again and again while transactions on both are
// committed: the first never has a job whose counterpart the second lacks.
func TestCommitIsOneInstant(t *testing.T) {
	const rounds = 300
	r := newRig(t, Options{})
	r.ok(r.d.Declare(t.Context(), "p"))
	depth := func(queue string) int64 {
		d, err := r.d.Depth(t.Context(), queue)
		r.ok(err)
		return d.Waiting
	}
	var all sync.WaitGroup
	all.Go(func() {
		for range rounds {
			tx, err := r.d.Begin(t.Context())
			if err == nil {
				_, err = r.d.EnqueueTx(t.Context(), tx, "p", []*driver.Message{message("p")})
			}
			if err == nil {
				_, err = r.d.EnqueueTx(t.Context(), tx, "q", []*driver.Message{message("q")})
			}
			if err == nil {
				err = tx.Commit(t.Context())
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
	})
	for last := int64(0); last < rounds && !t.Failed(); {
		if last = depth("q"); depth("p") < last {
			t.Fatalf("queue p has fewer jobs than the %d that q had before", last)
		}
	}
	all.Wait()
}

// TestTxEnds: what a transaction does counts once, and calls on one that has ended fail.
func TestTxEnds(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, test := range map[string]struct {
		end    func(*rig, *Tx) error
		kind   error // of the first end
		later  error // of calls from then on
		stored int64
	}{
		"commit":           {func(_ *rig, tx *Tx) error { return tx.Commit(t.Context()) }, nil, driver.ErrClosed, 1},
		"rollback":         {func(_ *rig, tx *Tx) error { return tx.Rollback(ended) }, nil, driver.ErrClosed, 0},
		"commit too late":  {func(_ *rig, tx *Tx) error { return tx.Commit(ended) }, context.Canceled, driver.ErrClosed, 0},
		"crash":            {func(r *rig, tx *Tx) error { r.d.Broker().Crash(); return tx.Commit(t.Context()) }, driver.ErrUnavailable, driver.ErrUnavailable, 0},
		"close":            {func(r *rig, tx *Tx) error { r.ok(r.d.Close(t.Context())); return tx.Commit(t.Context()) }, driver.ErrClosed, driver.ErrClosed, 0},
		"the queue's end":  {func(r *rig, tx *Tx) error { r.ok(r.d.DeleteQueue(t.Context(), "q")); return tx.Commit(t.Context()) }, driver.ErrNotFound, driver.ErrClosed, 0},
		"the queue's next": {redeclared, driver.ErrNotFound, driver.ErrClosed, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, Options{})
			before, jobs := r.d.Broker().capacity.used()
			tx := r.begin()
			r.addTx(tx, "a", key("k"))
			if err := test.end(r, tx); test.kind == nil {
				r.ok(err)
			} else {
				r.is(err, test.kind)
			}
			for _, err := range []error{tx.Commit(t.Context()), tx.Rollback(t.Context())} {
				r.is(err, test.later)
				if errors.Is(err, ErrTxEnded) != (name != "crash" && name != "close") {
					t.Errorf("the error of a transaction that has ended is %v", err)
				}
			}
			d, err := r.d.Broker().Open()
			r.ok(err)
			defer d.Close(t.Context())
			r.ok(d.Declare(t.Context(), "q"))
			_, err = d.EnqueueTx(t.Context(), tx, "q", []*driver.Message{message("late")})
			r.is(err, test.later)
			if got, err := d.Depth(t.Context(), "q"); err != nil || got.Waiting != test.stored {
				t.Errorf("depth %+v, %v; want %d waiting", got, err, test.stored)
			}
			if bytes, n := d.broker.capacity.used(); test.stored == 0 && (bytes != before || n != jobs) {
				t.Errorf("%d bytes and %d jobs are reserved, want %d and %d", bytes, n, before, jobs)
			}
			if len(d.broker.holders.all)+len(d.broker.holders.waits) != 0 {
				t.Error("the broker remembers a transaction that has ended")
			}
		})
	}
}

// redeclared deletes the queue and declares it again, and commits.
func redeclared(r *rig, tx *Tx) error {
	r.ok(r.d.DeleteQueue(r.Context(), "q"))
	r.ok(r.d.Declare(r.Context(), "q"))
	return tx.Commit(r.Context())
}

// TestTxOfAnotherBroker: neither it nor its deliveries are taken, nor is no transaction.
func TestTxOfAnotherBroker(t *testing.T) {
	r, other := newRig(t, Options{}), newRig(t, Options{})
	r.add("a")
	other.add("b")
	held, foreign := r.get(1, "a")[0], other.get(1, "b")[0]
	for _, tx := range []*Tx{nil, other.begin()} {
		_, err := r.tryTx(t.Context(), tx, "c")
		r.is(err, driver.ErrConfig)
		r.is(r.d.CompleteTx(t.Context(), tx, held), driver.ErrConfig)
	}
	tx := r.begin()
	for _, d := range []*driver.Delivery{nil, {}} {
		r.is(r.d.CompleteTx(t.Context(), tx, d), driver.ErrLeaseLost)
	}
	r.is(r.d.CompleteTx(t.Context(), tx, foreign), driver.ErrConfig)
	r.ok(tx.Commit(t.Context()))
	r.depth(0, 0, 1, 0)
	other.end(foreign, driver.OutcomeDone)
}

// TestTxCapacity: what a transaction is to store takes room from the call on.
func TestTxCapacity(t *testing.T) {
	r := newRig(t, Options{MaxJobs: 3})
	r.add("a", key("a"))
	tx := r.begin()
	r.addTx(tx, "b")
	_, err := r.d.EnqueueTx(t.Context(), tx, "q", []*driver.Message{message("c"), message("d")})
	r.is(err, driver.ErrFull)
	results, err := r.d.EnqueueTx(t.Context(), tx, "q", []*driver.Message{message("e"), {ID: "f", Kind: "k", DedupKey: "a"}})
	if err != nil || len(results) != 2 || results[0].Duplicate || results[1].DuplicateOf != "a" {
		t.Fatalf("a duplicate needs no room: %+v, %v", results, err)
	}
	r.is(r.try("g").Err, driver.ErrFull)
	r.ok(tx.Rollback(t.Context()))
	r.add("h")
	r.depth(2, 0, 0, 0)
}

// TestTxWaits: a call waits for the transaction that holds its key, for as long as it, the
// caller's context and handle, and the caller's own transaction last.
func TestTxWaits(t *testing.T) {
	for name, test := range map[string]struct {
		end       func(r *rig, holder *Tx, caller *Driver, cancel func())
		kind      error // nil for success
		duplicate bool
	}{
		"commit":   {func(_ *rig, holder *Tx, _ *Driver, _ func()) { _ = holder.Commit(t.Context()) }, nil, true},
		"rollback": {func(_ *rig, holder *Tx, _ *Driver, _ func()) { _ = holder.Rollback(t.Context()) }, nil, false},
		"cancel":   {func(_ *rig, _ *Tx, _ *Driver, cancel func()) { cancel() }, context.Canceled, false},
		"close":    {func(_ *rig, _ *Tx, caller *Driver, _ func()) { _ = caller.Close(t.Context()) }, driver.ErrClosed, false},
		"crash":    {func(r *rig, _ *Tx, _ *Driver, _ func()) { r.d.Broker().Crash() }, driver.ErrUnavailable, false},
		"delete": {func(r *rig, holder *Tx, _ *Driver, _ func()) {
			r.ok(r.d.DeleteQueue(t.Context(), "q"))
			_ = holder.Rollback(t.Context())
		}, driver.ErrNotFound, false},
	} {
		for call, enqueue := range map[string]func(context.Context, *rig, *Driver, *driver.Message) driver.Result{
			"EnqueueAtomic": func(ctx context.Context, _ *rig, d *Driver, m *driver.Message) driver.Result {
				err := d.EnqueueAtomic(ctx, "q", []*driver.Message{m})
				if errors.Is(err, driver.ErrDuplicate) {
					return driver.Result{Duplicate: true}
				}
				return driver.Result{Err: err}
			},
			"EnqueueTx": func(ctx context.Context, _ *rig, d *Driver, m *driver.Message) driver.Result {
				tx, err := d.Begin(ctx)
				if err != nil {
					return driver.Result{Err: err}
				}
				results, err := d.EnqueueTx(ctx, tx, "q", []*driver.Message{m})
				if err == nil {
					err = tx.Commit(ctx)
				}
				r := append(results, driver.Result{})[0]
				r.Err = err
				return r
			},
		} {
			t.Run(name+"/"+call, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t, Options{})
					caller, err := r.d.Broker().Open()
					r.ok(err)
					defer caller.Close(t.Context())
					holder := r.begin()
					r.addTx(holder, "holder", key("k"))
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					returned := make(chan driver.Result, 1)
					m := message("caller")
					m.DedupKey = "k"
					go func() { returned <- enqueue(ctx, r, caller, m) }()
					synctest.Wait()
					select {
					case got := <-returned:
						t.Fatalf("the call did not wait: %+v", got)
					default:
					}
					test.end(r, holder, caller, cancel)
					got := <-returned
					if test.kind != nil {
						r.is(got.Err, test.kind)
					} else if got.Err != nil || got.Duplicate != test.duplicate {
						t.Errorf("%+v, want Duplicate %v", got, test.duplicate)
					}
				})
			})
		}
	}
}

// TestEnqueueOfHeldKey: a job whose key an open transaction has is refused at once, alone, and its twin in
// the same call with it.
func TestEnqueueOfHeldKey(t *testing.T) {
	r := newRig(t, Options{})
	holder := r.begin()
	r.addTx(holder, "holder", key("k"))
	held := func(id string) *driver.Message { return &driver.Message{ID: id, Kind: "k", DedupKey: "k"} }
	results := r.d.Enqueue(t.Context(), "q", []*driver.Message{message("a"), held("b"), message("c"), held("d")})
	for i, want := range []error{nil, driver.ErrKeyHeld, nil, driver.ErrKeyHeld} {
		if err := results[i].Err; !errors.Is(err, want) || want != nil && driver.FateOf(err) != driver.FateNotStored {
			t.Errorf("result %d is %+v, want %v", i, results[i], want)
		}
	}
	r.depth(2, 0, 0, 0)
	r.ok(holder.Rollback(t.Context()))
	if results := r.d.Enqueue(t.Context(), "q", []*driver.Message{held("b"), held("d")}); results[0].Err != nil || results[1].DuplicateOf != "b" {
		t.Errorf("after the rollback: %+v", results)
	}
	r.depth(3, 0, 0, 0)
}

// TestTxDeadlock: of three transactions that wait in a circle the last gets an error at once,
// and the others go on.
func TestTxDeadlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		keys := []string{"a", "b", "c"}
		txs := make([]*Tx, 3)
		for i := range txs {
			txs[i] = r.begin()
			r.addTx(txs[i], "own-"+keys[i], key(keys[i]))
		}
		returned := make([]chan error, 3)
		for i := range txs {
			returned[i] = make(chan error, 1)
			go func() {
				_, err := r.tryTx(t.Context(), txs[i], "next-"+keys[i], key(keys[(i+1)%3]))
				returned[i] <- err
			}()
			synctest.Wait()
		}
		begin := time.Now()
		r.is(<-returned[2], driver.ErrUnavailable)
		if took := time.Since(begin); took > 0 {
			t.Errorf("the deadlock was found after %s", took)
		}
		r.ok(txs[2].Rollback(t.Context())) // which has c, for which the second waits
		r.ok(<-returned[1])
		r.ok(txs[1].Commit(t.Context())) // and has b, so that the first is told of a duplicate
		r.ok(<-returned[0])
		r.ok(txs[0].Commit(t.Context()))
		r.depth(3, 0, 0, 0)
		if len(r.d.broker.holders.all)+len(r.d.broker.holders.waits) != 0 {
			t.Error("the broker remembers transactions that have ended")
		}
	})
}
