package postgres

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/batch-go/batch/driver"
)

// TestDeleteQueueBehindTransaction: a deletion that waits for a transaction of the application keeps nobody from storing and
// receiving jobs. It says what it has waited for, or deletes the queue when the transaction has ended.
func TestDeleteQueueBehindTransaction(t *testing.T) {
	t.Parallel()
	calls := map[string]func(*testing.T, *Driver, pgx.Tx, string, *driver.Delivery) error{
		"EnqueueTx": func(t *testing.T, d *Driver, tx pgx.Tx, q string, _ *driver.Delivery) error {
			_, err := d.EnqueueTx(testContext(t), tx, q, []*driver.Message{message("open")})
			return err
		},
		"CompleteTx": func(t *testing.T, d *Driver, tx pgx.Tx, _ string, held *driver.Delivery) error {
			return d.CompleteTx(testContext(t), tx, held)
		},
	}
	for name, call := range calls {
		for _, commit := range []bool{true, false} {
			t.Run(fmt.Sprint(name, " committed ", commit), func(t *testing.T) {
				t.Parallel()
				d := open(t)
				q := queue(t, d)
				enqueue(t, d, q, many(3)...)
				c := consume(t, d, q)
				tx := begin(t, pgx.ReadCommitted)
				if err := call(t, d, tx, q, receive(t, c, 1)[0]); err != nil {
					t.Fatal(err)
				}
				deleteBehind(t, d, q, c, tx, commit)
			})
		}
	}
}

// deleteBehind deletes a queue while a transaction is open that is then committed, or waits longer than the deletion.
func deleteBehind(t *testing.T, d *Driver, q string, c driver.Consumer, tx pgx.Tx, commit bool) {
	t.Helper()
	admin := openAt(t, withParams(t, plainURL(t), "schema", d.schema))
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- admin.DeleteQueue(ctx, q) }()
	conn := connect(t, plainURL(t))
	await(t, "a deletion that waits", func() bool {
		return number(t, conn, `SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%'||$1||'%'`, d.schema) > 0
	})
	for range 3 { // it tries again meanwhile
		enqueue(t, d, q, message("late"))
		done(t, c, receive(t, c, 1)...)
	}
	if commit {
		if err := tx.Commit(testContext(t)); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if _, err := d.Depth(testContext(t), q); !errors.Is(err, driver.ErrNotFound) {
			t.Errorf("after the deletion the depth says %v", err)
		}
		for _, table := range []string{"jobs", "tallies"} {
			if n := number(t, conn, `SELECT count(*) FROM `+d.schema+`.`+table); n != 0 {
				t.Errorf("%d rows of %s are left", n, table)
			}
		}
		return
	}
	cancel()
	if err := <-ended; !errors.Is(err, errBusy) || !errors.Is(err, context.Canceled) || driver.FateOf(err) != driver.FateNotStored {
		t.Errorf("a deletion that gives up says %v", err)
	}
	if _, err := d.Depth(testContext(t), q); err != nil {
		t.Errorf("after a deletion that gave up: %v", err)
	}
}
