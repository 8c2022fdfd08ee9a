package postgres

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/batch-go/batch/driver"
)

// TestLongCompletionIsNoBusyLoop: while a transaction of the application that has completed a job is open for longer than the
// lease, a look that brings nothing asks for no other at once. It still tells when the next job is due.
func TestLongCompletionIsNoBusyLoop(t *testing.T) {
	t.Parallel()
	d := open(t)
	q := queue(t, d)
	enqueue(t, d, q, message("long"))
	opened, err := d.Consume(testContext(t), q, driver.ConsumeOptions{Lease: minLease})
	if err != nil {
		t.Fatal(err)
	}
	c := opened.(*consumer)
	held := receive(t, c, 1)[0]
	tx := begin(t, pgx.ReadCommitted)
	if err := d.CompleteTx(testContext(t), tx, held); err != nil {
		t.Fatal(err)
	}
	conn := connect(t, plainURL(t))
	await(t, "the end of the lease", func() bool {
		return number(t, conn, `SELECT count(*) FROM `+d.schema+`.jobs WHERE due < now()`) == 1
	})
	if f := c.fetch(testContext(t), 1); f.err != nil || len(f.deliveries) > 0 || f.more || f.next != restPoll {
		t.Errorf("a look at a job that a transaction completes brings %+v, want the next in %s", f, restPoll)
	}
	const delay = restPoll / 2
	enqueue(t, d, q, message("later", func(m *driver.Message) { m.Delay = delay }))
	if f := c.fetch(testContext(t), 1); f.err != nil || len(f.deliveries) > 0 || f.more || f.next <= 0 || f.next > delay+time.Second {
		t.Errorf("with a job that is due in %s a look brings %+v", delay, f)
	}
	if err := tx.Rollback(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, c, 1); got[0].ID != "long" || got[0].Redeliveries != 1 {
		t.Errorf("after the rollback %+v is received", got[0])
	}
}
