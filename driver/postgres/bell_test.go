package postgres

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/batch-go/batch/driver"
)

// await waits until a condition holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	ctx := testContext(t)
	for !holds() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			t.Fatalf("%s: not in time", what)
		}
	}
}

// listeners counts the connections that listen for a schema.
func listeners(t *testing.T, conn *pgx.Conn, d *Driver) int64 {
	t.Helper()
	return number(t, conn, `SELECT count(*) FROM pg_stat_activity WHERE query = $1`, `LISTEN "`+d.schema+`"`)
}

// resting makes a consumer one that has had nothing for long.
func resting(c driver.Consumer) driver.Consumer {
	w := c.(*consumer).waker
	w.mu.Lock()
	defer w.mu.Unlock()
	w.quiet = restPoll
	return c
}

// arrival tells how long after an Enqueue by another driver a Receive that waits has the job.
func arrival(t *testing.T, d, other *Driver, q string, c driver.Consumer, looked func() bool) time.Duration {
	t.Helper()
	came := make(chan time.Time, 1)
	go func() {
		defer close(came)
		got, err := c.Receive(testContext(t), 1)
		if err != nil {
			t.Error(err)
			return
		}
		came <- time.Now()
		done(t, c, got...)
	}()
	await(t, "the first look", looked)
	start := time.Now()
	enqueue(t, other, q, message("a"))
	at, ok := <-came
	if !ok {
		t.Fatal("nothing came")
	}
	<-came // settled
	return at.Sub(start)
}

// TestNotification: a consumer that rests has a job that another process enqueues at once, by the
// notification alone.
func TestNotification(t *testing.T) {
	t.Parallel()
	d, writes := openCounted(t)
	d.bell.poll, d.bell.forget = func() { <-d.bell.done }, func() {}
	other, conn := openAt(t, withParams(t, plainURL(t), "schema", d.schema)), connect(t, plainURL(t))
	q := queue(t, d)
	c := resting(consume(t, d, q))
	await(t, "listening", func() bool { return listeners(t, conn, d) == 1 })
	for range 3 {
		idle(t, c, 100*time.Millisecond)
		resting(c)
		before := writes.Load()
		if took := arrival(t, d, other, q, c, func() bool { return writes.Load() > before }); took > time.Second {
			t.Errorf("it took %s", took)
		}
	}
}

// TestLostNotification: without its connection that listens, a consumer has a job in about a second, and
// then listens again.
func TestLostNotification(t *testing.T) {
	t.Parallel()
	d, writes := openCounted(t)
	other, conn := openAt(t, withParams(t, plainURL(t), "schema", d.schema)), connect(t, plainURL(t))
	q := queue(t, d)
	c := resting(consume(t, d, q))
	await(t, "listening", func() bool { return listeners(t, conn, d) == 1 })
	idle(t, c, 100*time.Millisecond)
	resting(c)
	before := writes.Load()
	took := arrival(t, d, other, q, c, func() bool {
		if writes.Load() == before {
			return false
		}
		return number(t, conn, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query = $1`, `LISTEN "`+d.schema+`"`) > 0
	})
	if took > 3*time.Second {
		t.Errorf("it took %s", took)
	}
	await(t, "listening again", func() bool { return listeners(t, conn, d) == 1 })
}

// TestSlowForgetting: while the server does not get on with the removal of keys, jobs are found nevertheless that no
// notification tells of.
func TestSlowForgetting(t *testing.T) {
	t.Parallel()
	d, writes := openCounted(t)
	d.bell.config = nil
	other, conn := openAt(t, withParams(t, plainURL(t), "schema", d.schema)), connect(t, plainURL(t))
	q := queue(t, d)
	locking := connect(t, plainURL(t))
	run(t, locking, `BEGIN`)
	run(t, locking, `LOCK TABLE `+d.schema+`.keys IN SHARE MODE`)
	c := consume(t, d, q)
	await(t, "a removal that waits", func() bool {
		return number(t, conn, `SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%'||$1||'".keys%'`, d.schema) == 1
	})
	idle(t, c, 100*time.Millisecond)
	resting(c)
	before := writes.Load()
	// The removal is given up after patience, and holds up nothing then.
	if took := arrival(t, d, other, q, c, func() bool { return writes.Load() > before }); took > patience/2 {
		t.Errorf("it took %s", took)
	}
	run(t, locking, `ROLLBACK`)
}
