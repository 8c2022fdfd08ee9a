package postgres

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

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
	// As it is for processes that do nothing else, and do not see what becomes of their transactions.
	within(t, d, other, func(tx pgx.Tx) error {
		_, err := d.EnqueueTx(testContext(t), tx, q, []*driver.Message{message("g", func(m *driver.Message) { m.Group = "g" })})
		return err
	})
	first := receive(t, c, 1)[0]
	within(t, d, other, func(tx pgx.Tx) error { return d.CompleteTx(testContext(t), tx, first) })
	enqueue(t, d, q, message("a"), message("b"))
	got := receive(t, c, 2)
	asNew(d)
	for _, err := range c.Settle(testContext(t), []driver.Settlement{{Delivery: got[0], Outcome: driver.OutcomeRelease}}) {
		if err != nil {
			t.Error(err)
		}
	}
	within(t, d, other, func(tx pgx.Tx) error {
		_, err := d.EnqueueTx(testContext(t), tx, q, []*driver.Message{message("c")})
		return err
	})
	for _, call := range []func() error{
		func() error { return d.Pause(testContext(t), q) },
		func() error { return d.Resume(testContext(t), q) },
		func() error { return d.EnqueueAtomic(testContext(t), q, []*driver.Message{message("d")}) },
	} {
		asNew(d)
		if err := call(); err != nil {
			t.Error(err)
		}
	}
	done(t, c, got[1])
	for n := 0; n < 3; {
		got := receive(t, c, 3)
		n += len(got)
		done(t, c, got...)
	}
	asNew(d)
	if err := d.DeleteQueue(testContext(t), q); err != nil {
		t.Error(err)
	}
}

// asNew makes a driver one that has not rung yet.
func asNew(d *Driver) {
	d.bell.mu.Lock()
	d.bell.muted, d.bell.rang = time.Time{}, map[string]time.Time{}
	d.bell.mu.Unlock()
	d.bell.inTx.mu.Lock()
	clear(d.bell.inTx.queues)
	d.bell.inTx.mu.Unlock()
}

// within runs something in a transaction that must commit, with a driver that has not rung yet.
func within(t *testing.T, d *Driver, conn *pgx.Conn, do func(pgx.Tx) error) {
	t.Helper()
	asNew(d)
	if err := pgx.BeginFunc(testContext(t), conn, do); err != nil {
		t.Error(err)
	}
}
