package postgres

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/brokers"
)

// keyed are n messages with keys of their own.
func keyed(prefix string, n int) []*driver.Message {
	all := make([]*driver.Message, n)
	for i := range all {
		all[i] = message(fmt.Sprint(prefix, i), dedup(fmt.Sprint(prefix, i)))
	}
	return all
}

// atSavepoint stores messages, and takes back what failed, as an application does that goes on, or everything.
func atSavepoint(t *testing.T, d *Driver, tx pgx.Tx, q string, messages []*driver.Message, keep bool) error {
	t.Helper()
	point, err := tx.Begin(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	_, stored := d.EnqueueTx(testContext(t), point, q, messages)
	end := point.Rollback
	if stored == nil && keep {
		end = point.Commit
	}
	if err := end(testContext(t)); err != nil {
		t.Fatal(err)
	}
	return stored
}

// TestKeysOfOneTransactionLeaveLocksForOthers: transactions that store as many jobs with keys as they can do not keep
// others from what they do: storing jobs, with keys and without. What is too much for one is refused, with what to do,
// and nothing of it is stored.
func TestKeysOfOneTransactionLeaveLocksForOthers(t *testing.T) {
	t.Parallel()
	// The server's defaults say how many locks there are: some more than 6400.
	server := brokers.NewPostgreSQL(t, brokers.PostgreSQL17, "max_connections=100", "max_locks_per_transaction=64")
	d := openAt(t, server.URL())
	q, other := queue(t, d), queue(t, d)
	const transactions, most = 4, 1000
	var open []pgx.Tx
	for i := range transactions {
		tx, err := connect(t, server.URL()).Begin(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, tx)
		stored := 0
		for ; stored < 20000; stored += 500 {
			batch := keyed(fmt.Sprintf("tx-%d-%d-", i, stored), 500)
			if stored == 500 { // what is rolled back counts no more
				if err := atSavepoint(t, d, tx, q, batch, false); err != nil {
					t.Fatal(err)
				}
			}
			if err = atSavepoint(t, d, tx, q, batch, true); err != nil {
				break
			}
		}
		if stored != most || !errors.Is(err, driver.ErrConfig) || driver.FateOf(err) != driver.FateNotStored || !strings.Contains(fmt.Sprint(err), "max_locks_per_transaction") {
			t.Fatalf("a transaction stored %d jobs with keys and then said %v", stored, err)
		}
		if err := atSavepoint(t, d, tx, q, many(10), true); err != nil {
			t.Errorf("jobs without keys: %v", err)
		}
	}
	for i := range 20 {
		for _, r := range d.Enqueue(testContext(t), other, append(keyed(fmt.Sprintf("other-%d-", i), 30), message("plain"))) {
			if r.Err != nil {
				t.Fatalf("an enqueue on another queue: %v", r.Err)
			}
		}
	}
	if err := d.EnqueueAtomic(testContext(t), other, keyed("atomic-", maxBatch)); err != nil {
		t.Errorf("EnqueueAtomic: %v", err)
	}
	for _, tx := range open {
		if err := tx.Commit(testContext(t)); err != nil {
			t.Fatal(err)
		}
		// The next transaction of the connection begins with none.
		next, err := tx.Conn().Begin(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		if err := atSavepoint(t, d, next, q, keyed(fmt.Sprintf("next-%p-", next), most), false); err != nil {
			t.Errorf("the next transaction: %v", err)
		}
		if err := next.Rollback(testContext(t)); err != nil {
			t.Fatal(err)
		}
	}
	if got := depth(t, d, q); got.Waiting != transactions*(most+10) {
		t.Errorf("the depth is %+v", got)
	}
}
