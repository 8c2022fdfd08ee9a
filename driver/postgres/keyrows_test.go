package postgres

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/batch-go/batch/driver"
)

// remove removes a job of a queue of several as what says, by a call that ends.
func remove(t *testing.T, d *Driver, q, what string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(testContext(t), bound)
	defer cancel()
	var err error
	switch what {
	case "Delete", "Delete dead":
		err = d.Delete(ctx, q, "first")
	case "Purge":
		_, err = d.Purge(ctx, q)
	case "Discard":
		_, err = d.Discard(ctx, q, driver.Selection{All: true})
	}
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// eachRemoval runs a test for each call that removes jobs: on a queue with the job first, which has the key k.
func eachRemoval(t *testing.T, run func(t *testing.T, d *Driver, q, what string)) {
	for _, what := range []string{"Delete", "Delete dead", "Purge", "Discard"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			d := open(t)
			q := queue(t, d)
			enqueue(t, d, q, message("first", dedup("k")))
			if what == "Discard" || what == "Delete dead" {
				c := consume(t, d, q)
				dead := driver.Settlement{Delivery: receive(t, c, 1)[0], Outcome: driver.OutcomeDead, Reason: driver.ReasonPermanent}
				if errs := c.Settle(testContext(t), []driver.Settlement{dead}); errs != nil {
					t.Fatal(errs)
				}
			}
			enqueue(t, d, q, many(20)...)
			run(t, d, q, what)
		})
	}
}

// TestDuplicateInOpenTransactionHoldsUpNothing: a transaction of the application that was told of a duplicate does not keep
// others from removing that job and those beside it. The key is free then, when the transaction has ended.
func TestDuplicateInOpenTransactionHoldsUpNothing(t *testing.T) {
	t.Parallel()
	eachRemoval(t, func(t *testing.T, d *Driver, q, what string) {
		var told []pgx.Tx
		for _, level := range []pgx.TxIsoLevel{pgx.ReadCommitted, pgx.Serializable} {
			tx := begin(t, level)
			execute(t, tx, `SET LOCAL lock_timeout = '10s'`)
			key := map[pgx.TxIsoLevel]string{pgx.ReadCommitted: "k", pgx.Serializable: "l"}[level]
			if key == "l" {
				enqueue(t, d, q, message("other", dedup(key)))
			}
			results, err := d.EnqueueTx(testContext(t), tx, q, []*driver.Message{message("second", dedup(key))})
			if err != nil || len(results) != 1 || !results[0].Duplicate {
				t.Fatalf("%s: %+v, %v", level, results, err)
			}
			told = append(told, tx)
		}
		// Others are told at once too.
		check(t, d.Enqueue(testContext(t), q, []*driver.Message{message("third", dedup("k"))}), []driver.Result{{Duplicate: true, DuplicateOf: "first"}})
		remove(t, d, q, what)
		for _, tx := range told {
			if err := tx.Commit(testContext(t)); err != nil {
				t.Fatal(err)
			}
		}
		enqueue(t, d, q, message("fourth", dedup("k")))
	})
}

// TestKeyTakenAnewInOpenTransactionHoldsUpNothing: a transaction that has taken a key after its time does not keep others
// from removing the job that had it, and has the key when it is committed.
func TestKeyTakenAnewInOpenTransactionHoldsUpNothing(t *testing.T) {
	t.Parallel()
	eachRemoval(t, func(t *testing.T, d *Driver, q, what string) {
		run(t, connect(t, plainURL(t)), `UPDATE `+d.schema+`.keys SET expires = clock_timestamp() - interval '1 second'`)
		tx := begin(t, pgx.ReadCommitted)
		if results, err := d.EnqueueTx(testContext(t), tx, q, []*driver.Message{message("second", dedup("k"))}); err != nil || results != nil {
			t.Fatalf("%+v, %v", results, err)
		}
		remove(t, d, q, what)
		if err := tx.Commit(testContext(t)); err != nil {
			t.Fatal(err)
		}
		check(t, d.Enqueue(testContext(t), q, []*driver.Message{message("third", dedup("k"))}), []driver.Result{{Duplicate: true, DuplicateOf: "second"}})
	})
}
