package postgres

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
)

// TestSettleTellsEachApart: a job whose row somebody has locked keeps none of the others of the call from
// being settled, and their results say so.
func TestSettleTellsEachApart(t *testing.T) {
	t.Parallel()
	d := open(t)
	q := queue(t, d)
	c := consume(t, d, q)
	enqueue(t, d, q, many(2)...)
	got := receive(t, c, 2)
	if len(got) != 2 {
		t.Fatalf("received %d", len(got))
	}
	conn := connect(t, plainURL(t))
	run(t, conn, `BEGIN`)
	run(t, conn, `SELECT FROM `+d.schema+`.jobs WHERE id = $1 FOR UPDATE`, got[1].ID)
	ctx, cancel := context.WithTimeout(testContext(t), 500*time.Millisecond)
	defer cancel()
	errs := c.Settle(ctx, []driver.Settlement{{Delivery: got[0], Outcome: driver.OutcomeDone}, {Delivery: got[1], Outcome: driver.OutcomeDone}})
	if len(errs) != 2 || errs[0] != nil || !errors.Is(errs[1], context.DeadlineExceeded) {
		t.Fatalf("the results are %v", errs)
	}
	run(t, conn, `ROLLBACK`)
	// The last try of the call that ran out of time may come through only now.
	again := append(c.Settle(testContext(t), []driver.Settlement{{Delivery: got[1], Outcome: driver.OutcomeDone}}), nil)[0]
	if again != nil && !errors.Is(again, driver.ErrLeaseLost) {
		t.Error(again)
	}
	if n := number(t, conn, `SELECT count(*) FROM `+d.schema+`.jobs`); n != 0 {
		t.Errorf("%d jobs are left, and the last settlement said %v", n, again)
	}
}
