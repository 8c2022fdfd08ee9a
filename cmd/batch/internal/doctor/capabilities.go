package doctor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/batch-go/batch/driver"
)

// capabilities uses what the driver has beyond what all have, once each. None needs the
// one before.
func (t *trial) capabilities(ctx context.Context) {
	if _, ok := t.driver.(driver.Deduplicator); ok {
		t.step(ctx, "enqueue a unique job", func(ctx context.Context) error {
			m := message("unique")
			m.DedupKey, m.DedupWithin = "doctor", time.Minute
			return t.send(ctx, m)
		})
	}
	if _, ok := t.driver.(driver.Grouper); ok {
		t.step(ctx, "enqueue a job of a group", func(ctx context.Context) error {
			m := message("group")
			m.Group = "doctor"
			return t.send(ctx, m)
		})
	}
	if _, ok := t.driver.(driver.Delayer); ok {
		t.step(ctx, "enqueue a delayed job", func(ctx context.Context) error {
			m := message("delayed")
			m.Delay = time.Hour
			return t.send(ctx, m)
		})
	}
	if d, ok := t.driver.(driver.AtomicEnqueuer); ok {
		t.step(ctx, "enqueue jobs in one step", func(ctx context.Context) error {
			return d.EnqueueAtomic(ctx, t.queue, []*driver.Message{message("first"), message("second")})
		})
	}
	if d, ok := t.driver.(driver.TxTrier); ok {
		t.step(ctx, "enqueue in a transaction", func(ctx context.Context) error { return t.inTx(ctx, d) })
	}
	if d, ok := t.driver.(driver.Inspector); ok {
		t.step(ctx, "list, find and delete a job", func(ctx context.Context) error { return t.inspect(ctx, d) })
	}
	if d, ok := t.driver.(driver.Pauser); ok {
		t.step(ctx, "pause and resume a queue", func(ctx context.Context) error {
			return errors.Join(d.Pause(ctx, t.queue), d.Resume(ctx, t.queue))
		})
	}
	if d, ok := t.driver.(driver.Importer); ok {
		t.step(ctx, "import a job", func(ctx context.Context) error {
			e := driver.Entry{Message: *message("imported"), State: driver.StateWaiting}
			return stored(d.Import(ctx, t.queue, []*driver.Entry{&e}))
		})
	}
	if d, ok := t.driver.(driver.Purger); ok {
		t.step(ctx, "purge a queue", func(ctx context.Context) error { _, err := d.Purge(ctx, t.queue); return err })
	}
	t.step(ctx, "purge dead letters", func(ctx context.Context) error {
		_, err := t.driver.Discard(ctx, t.queue, driver.Selection{All: true})
		return err
	})
}

// inspect looks at a job that it stores, and deletes it.
func (t *trial) inspect(ctx context.Context, d driver.Inspector) error {
	if err := t.send(ctx, message("inspected")); err != nil {
		return err
	}
	if _, _, err := d.List(ctx, t.queue, driver.StateWaiting, "", 10); err != nil {
		return err
	}
	found, err := d.Find(ctx, t.queue, "inspected")
	if err == nil && found.State != driver.StateWaiting {
		err = fmt.Errorf("the job that was just stored is %s", found.State)
	}
	if err != nil {
		return err
	}
	return d.Delete(ctx, t.queue, "inspected")
}

// inTx stores a job in a transaction that is rolled back, and one in a transaction that is committed, and looks
// whether the second alone is there.
func (t *trial) inTx(ctx context.Context, d driver.TxTrier) error {
	before, err := t.driver.Depth(ctx, t.queue)
	if err != nil {
		return err
	}
	for i, commit := range []bool{false, true} {
		if err := d.TryTx(ctx, t.queue, []*driver.Message{message("transaction")}, commit); err != nil {
			return err
		}
		after, err := t.driver.Depth(ctx, t.queue)
		if err != nil {
			return err
		}
		if n := after.Waiting - before.Waiting; n != int64(i) {
			return fmt.Errorf("the queue has %d jobs more after a transaction with one (committed: %t)", n, commit)
		}
	}
	return nil
}
