package postgres

import (
	"strings"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/brokers"
)

// TestFullOfNotifications: when the server takes no notifications, as a session that listens has a transaction
// open for long, jobs are stored, handed out and ended as ever: nothing rings then.
func TestFullOfNotifications(t *testing.T) {
	t.Parallel()
	server := brokers.NewPostgreSQL(t, brokers.PostgreSQL17, "max_notify_queue_pages = 64")
	d := openAt(t, server.URL())
	q := queue(t, d)
	c := consume(t, d, q)
	listener, other := connect(t, server.URL()), connect(t, server.URL())
	run(t, listener, `LISTEN x`)
	run(t, listener, `BEGIN`)
	run(t, listener, `SELECT 1`)
	payload := strings.Repeat("x", 7900)
	full := false
	for range 200 {
		if _, err := other.Exec(testContext(t), `SELECT pg_notify('x', $1)`, payload); isTooLoud(err) {
			full = true
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if !full {
		t.Fatal("the queue of notifications is not full")
	}
	enqueue(t, d, q, message("a"), message("b"))
	got := receive(t, c, 2)
	d.bell.mu.Lock()
	d.bell.muted, d.bell.rang = time.Time{}, map[string]time.Time{} // as of a process that has not rung yet
	d.bell.mu.Unlock()
	for _, err := range c.Settle(testContext(t), []driver.Settlement{{Delivery: got[0], Outcome: driver.OutcomeRelease}}) {
		if err != nil {
			t.Error(err)
		}
	}
	tx, err := other.Begin(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.EnqueueTx(testContext(t), tx, q, []*driver.Message{message("c")}); err != nil {
		t.Error(err)
	}
	if err := tx.Commit(testContext(t)); err != nil {
		t.Error(err)
	}
	for _, err := range []error{d.Pause(testContext(t), q), d.Resume(testContext(t), q), d.EnqueueAtomic(testContext(t), q, []*driver.Message{message("d")})} {
		if err != nil {
			t.Error(err)
		}
	}
	done(t, c, got[1])
	for n := 0; n < 3; {
		got := receive(t, c, 3)
		n += len(got)
		done(t, c, got...)
	}
	if err := d.DeleteQueue(testContext(t), q); err != nil {
		t.Error(err)
	}
}
