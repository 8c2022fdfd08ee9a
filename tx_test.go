package batch_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
)

// transaction is what a test's application commits or not.
type transaction struct {
	d        *transactional
	enqueued []*driver.Message
	ended    []*driver.Delivery
}

// transactional is a memory driver with transactions that store nothing before they are
// committed.
type transactional struct {
	*memory.Driver
	// refusal is the error of the calls within transactions.
	refusal error
	calls   int
}

func (d *transactional) TxType() reflect.Type { return reflect.TypeFor[*transaction]() }

func (d *transactional) EnqueueTx(_ context.Context, tx *transaction, _ string, messages []*driver.Message) ([]driver.Result, error) {
	d.calls++
	if d.refusal != nil {
		return nil, d.refusal
	}
	var results []driver.Result
	for i, m := range messages {
		for _, other := range tx.enqueued {
			if m.DedupKey != "" && m.DedupKey == other.DedupKey {
				results = make([]driver.Result, len(messages))
				results[i] = driver.Result{Duplicate: true, DuplicateOf: other.ID}
			}
		}
		if results == nil || !results[i].Duplicate {
			tx.enqueued = append(tx.enqueued, m)
		}
	}
	return results, nil
}

func (d *transactional) CompleteTx(_ context.Context, tx *transaction, delivery *driver.Delivery) error {
	if d.refusal != nil {
		return d.refusal
	}
	tx.ended = append(tx.ended, delivery)
	return nil
}

// commit makes what the transaction did true. A queue's deliveries may be settled by any
// consumer of it.
func (tx *transaction) commit(t *testing.T) {
	t.Helper()
	c, err := tx.d.Consume(t.Context(), "tasks", driver.ConsumeOptions{Lease: time.Minute, Prefetch: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	for _, r := range tx.d.Enqueue(t.Context(), "tasks", tx.enqueued) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	for _, delivery := range tx.ended {
		if errs := c.Settle(t.Context(), []driver.Settlement{{Delivery: delivery, Outcome: driver.OutcomeDone}}); errs != nil {
			t.Fatal(errs)
		}
	}
}

// TestEnqueueTx: a job is as the options say, hooks and middleware see it, and it exists
// from the commit on.
func TestEnqueueTx(t *testing.T) {
	d := &transactional{Driver: memory.New()}
	var seen []string
	watch := func(next batch.Enqueuer) batch.Enqueuer {
		return func(ctx context.Context, jobs []*batch.EnqueueJob) []batch.Result {
			for _, job := range jobs {
				seen = append(seen, job.Kind)
			}
			return next(ctx, jobs)
		}
	}
	h := &spans{}
	q := batch.NewQueue(d, "tasks", batch.WithEnqueueMiddleware(watch), batch.WithHooks(h))
	tx := &transaction{d: d}
	receipt, err := batch.EnqueueTx(t.Context(), tx, q, task{1}, batch.Priority(q, batch.High), batch.Unique(q, "key"))
	if err != nil || receipt.Duplicate {
		t.Fatal(receipt, err)
	}
	again, err := batch.EnqueueTx(t.Context(), tx, q, task{2}, batch.Unique(q, "key"))
	if err != nil || !again.Duplicate || again.ID != receipt.ID {
		t.Errorf("the second with the key: %+v, %v", again, err)
	}
	if depth, err := q.Depth(t.Context()); err != nil || depth.Waiting != 0 {
		t.Errorf("before the commit: %+v, %v", depth, err)
	}
	tx.commit(t)
	job, err := batch.FindJob(t.Context(), q, receipt.ID)
	if err != nil || job.Level != batch.High || string(job.Body) != `{"N":1}` {
		t.Errorf("after the commit: %+v, %v", job, err)
	}
	if !slices.Equal(seen, []string{"task", "task"}) || len(h.take()) != 2 {
		t.Errorf("the middleware saw %v", seen)
	}
}

// TestEnqueueManyTxIsRefused: nothing is sent of what is out of bounds, and a call that
// failed is not repeated.
func TestEnqueueManyTxIsRefused(t *testing.T) {
	d := &transactional{Driver: memory.New()}
	q := batch.NewQueue(d, "tasks")
	tx := &transaction{d: d}
	many := make([]batch.Request[*transactional], d.Info().Limits.EnqueueBatch+1)
	for i := range many {
		many[i].Args = task{i}
	}
	_, err := batch.EnqueueManyTx(t.Context(), tx, q, many)
	if !errors.Is(err, batch.ErrInvalid) || d.calls != 0 {
		t.Errorf("too many: %v after %d calls", err, d.calls)
	}
	many[1].Options = []batch.Option[*transactional]{batch.ID(q, "a b")}
	_, err = batch.EnqueueManyTx(t.Context(), tx, q, many[:2])
	if !errors.Is(err, batch.ErrInvalid) || !strings.Contains(err.Error(), "job 2 of 2") || d.calls != 0 {
		t.Errorf("a bad ID: %v after %d calls", err, d.calls)
	}
	d.refusal = &driver.Error{Driver: "test", Op: "enqueue", Kind: driver.ErrUnavailable, Fate: driver.FateNotStored}
	_, err = batch.EnqueueTx(t.Context(), tx, q, task{1})
	var failed *batch.EnqueueError
	if !errors.As(err, &failed) || failed.Fate != batch.FateNotStored || d.calls != 1 {
		t.Errorf("refused: %v after %d calls", err, d.calls)
	}
}

// TestCompleteTx: a job whose transaction is committed has ended once, whatever its handler
// returns; one that is not comes back.
func TestCompleteTx(t *testing.T) {
	for name, test := range map[string]struct {
		commit  bool
		returns error
		runs    int
		verdict batch.Outcome // of the first run, as hooks are told
		faults  int
	}{
		"committed":             {true, nil, 1, batch.OutcomeDone, 0},
		"committed, and failed": {true, errors.New("after the commit"), 1, batch.OutcomeRetry, 0},
		"not committed":         {false, nil, 2, batch.OutcomeDone, 1},
		"rolled back":           {false, errors.New("rolled back"), 2, batch.OutcomeRetry, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &transactional{Driver: memory.New()}
				r := newRig(t, d, func(c *batch.WorkerConfig) { c.RetryPolicy = batch.ConstantBackoff(time.Second) })
				runs, last := 0, ""
				batch.Handle(r.worker, func(ctx context.Context, job *batch.Job[task]) error {
					runs++
					if last = job.LastError; runs > 1 {
						return nil
					}
					tx := &transaction{d: d}
					if err := batch.CompleteTx(ctx, tx, r.queue, job); err != nil {
						t.Error(err)
					}
					if test.commit {
						tx.commit(t)
					}
					time.Sleep(5 * time.Minute) // leases are extended, or not any more
					return test.returns
				})
				r.enqueue(t, task{1}, batch.Timeout(r.queue, time.Hour))
				r.start(t)
				if end := <-r.events.ended; end.Verdict.Outcome != test.verdict {
					t.Errorf("the first run ended as %+v", end.Verdict)
				}
				time.Sleep(time.Minute)
				r.stop(t)
				r.events.mu.Lock()
				defer r.events.mu.Unlock()
				if runs != test.runs || len(r.events.faults) != test.faults || r.events.lost != 0 {
					t.Errorf("%d runs, faults %v, %d lost leases", runs, r.events.faults, r.events.lost)
				}
				if test.faults > 0 && (!errors.Is(r.events.faults[0].Err, batch.ErrUncommitted) || last != batch.ErrUncommitted.Error()) {
					t.Errorf("faults %v, and the last error is %q", r.events.faults, last)
				}
				if depth, err := r.queue.Depth(t.Context()); err != nil || depth.Waiting+depth.Running+depth.Scheduled+depth.Dead != 0 {
					t.Errorf("left: %+v, %v", depth, err)
				}
			})
		})
	}
}

// TestCompleteTxIsRefused: the job is one that a worker runs, of this queue.
func TestCompleteTxIsRefused(t *testing.T) {
	d := &transactional{Driver: memory.New()}
	tx := &transaction{d: d}
	r := newRig(t, d, nil)
	if err := batch.CompleteTx(t.Context(), tx, r.queue, batch.NewJob(batch.JobInfo{ID: "a", Queue: "tasks"}, task{})); !errors.Is(err, batch.ErrInvalid) {
		t.Errorf("a job that no worker received: %v", err)
	}
	other := batch.NewQueue(d, "other")
	kept := make(chan *batch.Job[task], 1)
	batch.Handle(r.worker, func(ctx context.Context, job *batch.Job[task]) error {
		if err := batch.CompleteTx(ctx, tx, other, job); !errors.Is(err, batch.ErrInvalid) {
			t.Errorf("another queue: %v", err)
		}
		kept <- job
		return nil
	})
	r.enqueue(t, task{1})
	r.start(t)
	<-r.events.ended
	r.stop(t)
	if err := batch.CompleteTx(t.Context(), tx, r.queue, <-kept); !errors.Is(err, batch.ErrLeaseLost) {
		t.Errorf("a job that has ended: %v", err)
	}
	if len(tx.ended) != 0 {
		t.Errorf("the transaction ends %d jobs", len(tx.ended))
	}
}

// TestEnqueueTxOnDeletedQueue: the first call after the queue was deleted fails, and the next declares it again.
func TestEnqueueTxOnDeletedQueue(t *testing.T) {
	d := memory.New()
	q := batch.NewQueue(d, "tasks")
	try := func() error {
		tx, err := d.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := batch.EnqueueTx(t.Context(), tx, q, task{1}); err != nil {
			_ = tx.Rollback(t.Context())
			return err
		}
		return tx.Commit(t.Context())
	}
	if err := try(); err != nil {
		t.Fatal(err)
	}
	if err := d.DeleteQueue(t.Context(), "tasks"); err != nil {
		t.Fatal(err)
	}
	if err := try(); !errors.Is(err, batch.ErrNotFound) {
		t.Errorf("the first call after the deletion: %v", err)
	}
	if err := try(); err != nil {
		t.Errorf("the second: %v", err)
	}
	if depth, err := q.Depth(t.Context()); err != nil || depth.Waiting != 1 {
		t.Errorf("the depth is %+v, %v", depth, err)
	}
}
