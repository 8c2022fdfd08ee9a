package postgres

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/batch-go/batch/driver"
)

// begin begins a transaction of an application, which is rolled back when the test ends.
func begin(t *testing.T, level pgx.TxIsoLevel) pgx.Tx {
	t.Helper()
	tx, err := connect(t, plainURL(t)).BeginTx(testContext(t), pgx.TxOptions{IsoLevel: level})
	if err != nil {
		t.Fatal(err)
	}
	return tx
}

// execute runs a statement in a transaction.
func execute(t *testing.T, tx pgx.Tx, text string) {
	t.Helper()
	if _, err := tx.Exec(testContext(t), text); err != nil {
		t.Fatal(err)
	}
}

// TestTxSerializationFailure: a key that another took since the transaction began is an error to try again,
// with the levels that see the database as it was then, and nothing is stored.
func TestTxSerializationFailure(t *testing.T) {
	t.Parallel()
	for _, level := range []pgx.TxIsoLevel{pgx.RepeatableRead, pgx.Serializable} {
		t.Run(string(level), func(t *testing.T) {
			t.Parallel()
			d := open(t)
			q := queue(t, d)
			tx := begin(t, level)
			execute(t, tx, `SELECT 1 FROM `+d.schema+`.queues`) // takes the snapshot
			enqueue(t, d, q, message("a", dedup("k")))
			_, err := d.EnqueueTx(testContext(t), tx, q, []*driver.Message{message("b", dedup("k"))})
			if !errors.Is(err, driver.ErrUnavailable) || driver.FateOf(err) != driver.FateNotStored || !isCode(err, "40001") {
				t.Errorf("the error is %v", err)
			}
			_, err = d.EnqueueTx(testContext(t), tx, q, many(1))
			if !errors.Is(err, driver.ErrBroker) || driver.FateOf(err) != driver.FateNotStored {
				t.Errorf("after an error: %v", err)
			}
			if got := depth(t, d, q); got.Waiting != 1 {
				t.Errorf("the depth is %+v", got)
			}
		})
	}
}

// TestTxSavepoint: what was stored and completed since a savepoint is undone with it, keys included, and the rest
// is committed.
func TestTxSavepoint(t *testing.T) {
	t.Parallel()
	d := open(t)
	q := queue(t, d)
	c := consume(t, d, q)
	enqueue(t, d, q, message("held"))
	held := receive(t, c, 1)[0]
	tx := begin(t, pgx.ReadCommitted)
	if _, err := d.EnqueueTx(testContext(t), tx, q, []*driver.Message{message("kept", dedup("kept"))}); err != nil {
		t.Fatal(err)
	}
	point, err := tx.Begin(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.EnqueueTx(testContext(t), point, q, []*driver.Message{message("undone", dedup("undone"))}); err != nil {
		t.Fatal(err)
	}
	if err := d.CompleteTx(testContext(t), point, held); err != nil {
		t.Fatal(err)
	}
	if err := point.Rollback(testContext(t)); err != nil {
		t.Fatal(err)
	}
	// Its key and its delivery are free while the transaction is open.
	enqueue(t, d, q, message("other", dedup("undone")))
	done(t, c, held)
	if err := tx.Commit(testContext(t)); err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for n := 0; n < 2; {
		got := receive(t, c, 2)
		n += len(got)
		for _, delivery := range got {
			ids[delivery.ID] = true
		}
		done(t, c, got...)
	}
	if !ids["kept"] || !ids["other"] {
		t.Errorf("received %v", ids)
	}
	if got := depth(t, d, q); got != (driver.Depth{}) {
		t.Errorf("the depth is %+v", got)
	}
}

// TestTxDeadlock: of two transactions that wait for keys of each other one fails, typed, and the other goes on.
func TestTxDeadlock(t *testing.T) {
	t.Parallel()
	d := open(t)
	q := queue(t, d)
	one, two := begin(t, pgx.ReadCommitted), begin(t, pgx.ReadCommitted)
	for key, tx := range map[string]pgx.Tx{"k": one, "l": two} {
		if _, err := d.EnqueueTx(testContext(t), tx, q, []*driver.Message{message(key, dedup(key))}); err != nil {
			t.Fatal(err)
		}
	}
	ends := make(chan error, 2)
	for key, tx := range map[string]pgx.Tx{"l": one, "k": two} {
		go func() {
			_, err := d.EnqueueTx(testContext(t), tx, q, []*driver.Message{message("x"+key, dedup(key))})
			if rollback := tx.Rollback(testContext(t)); err == nil {
				err = rollback
			}
			ends <- err
		}()
	}
	first, second := <-ends, <-ends
	if first == nil {
		first, second = second, first
	}
	if second != nil || !errors.Is(first, driver.ErrUnavailable) || driver.FateOf(first) != driver.FateNotStored || !isCode(first, "40P01") {
		t.Errorf("the ends are %v and %v", first, second)
	}
}

// TestTxTimeouts: the application's lock_timeout and statement_timeout count, and their errors are typed.
func TestTxTimeouts(t *testing.T) {
	t.Parallel()
	for setting, code := range map[string]string{"lock_timeout": "55P03", "statement_timeout": "57014"} {
		t.Run(setting, func(t *testing.T) {
			t.Parallel()
			d := open(t)
			q := queue(t, d)
			holder, tx := begin(t, pgx.ReadCommitted), begin(t, pgx.ReadCommitted)
			if _, err := d.EnqueueTx(testContext(t), holder, q, []*driver.Message{message("a", dedup("k"))}); err != nil {
				t.Fatal(err)
			}
			execute(t, tx, `SET LOCAL `+setting+` = '200ms'`)
			_, err := d.EnqueueTx(testContext(t), tx, q, []*driver.Message{message("b", dedup("k"))})
			if !errors.Is(err, driver.ErrUnavailable) || driver.FateOf(err) != driver.FateNotStored || !isCode(err, code) {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

// TestTxBeforeTheQueue: a transaction that sees the database as it was before the queue was made is to be begun
// again; on a queue that does not exist that would not help.
func TestTxBeforeTheQueue(t *testing.T) {
	t.Parallel()
	d := open(t)
	for _, level := range []pgx.TxIsoLevel{pgx.RepeatableRead, pgx.Serializable} {
		early, late := begin(t, level), begin(t, level)
		for _, tx := range []pgx.Tx{early, late} {
			execute(t, tx, `SELECT 1 FROM `+d.schema+`.queues`) // takes the snapshot
		}
		q := queue(t, d)
		_, err := d.EnqueueTx(testContext(t), early, q, many(1))
		if !errors.Is(err, driver.ErrUnavailable) || driver.FateOf(err) != driver.FateNotStored {
			t.Errorf("%s: on a queue that was made since: %v", level, err)
		}
		_, err = d.EnqueueTx(testContext(t), late, q+"-missing", many(1))
		if !errors.Is(err, driver.ErrNotFound) || driver.FateOf(err) != driver.FateNotStored {
			t.Errorf("%s: on a queue that does not exist: %v", level, err)
		}
		again := begin(t, level)
		if _, err := d.EnqueueTx(testContext(t), again, q, many(1)); err != nil {
			t.Error(err)
		}
		if err := again.Commit(testContext(t)); err != nil {
			t.Error(err)
		}
	}
}

// TestTxAfterTheQueue: a transaction that sees a queue which was deleted meanwhile, and perhaps declared again, stores
// nothing where nobody looks: it fails.
func TestTxAfterTheQueue(t *testing.T) {
	t.Parallel()
	d := open(t)
	conn := connect(t, plainURL(t))
	for _, level := range []pgx.TxIsoLevel{pgx.ReadCommitted, pgx.RepeatableRead, pgx.Serializable} {
		for _, again := range []bool{false, true} {
			q := queue(t, d)
			tx := begin(t, level)
			execute(t, tx, `SELECT 1 FROM `+d.schema+`.queues`) // takes the snapshot
			if err := d.DeleteQueue(testContext(t), q); err != nil {
				t.Fatal(err)
			}
			if again {
				if err := d.Declare(testContext(t), q); err != nil {
					t.Fatal(err)
				}
			}
			_, err := d.EnqueueTx(testContext(t), tx, q, []*driver.Message{message("a", dedup("k"))})
			committed := tx.Commit(testContext(t)) == nil
			stays := again && level == pgx.ReadCommitted
			if stays != (err == nil) || err != nil && driver.FateOf(err) != driver.FateNotStored {
				t.Errorf("%s, declared again %t: %v, committed %t", level, again, err, committed)
			}
			for _, table := range []string{"jobs", "keys", "tallies"} {
				if n := number(t, conn, `SELECT count(*) FROM `+d.schema+`.`+table+` x WHERE NOT EXISTS (SELECT FROM `+d.schema+`.queues q WHERE q.id = x.queue)`); n != 0 {
					t.Errorf("%s, declared again %t: %d rows of %s are of no queue", level, again, n, table)
				}
			}
		}
	}
}
