package redis

import (
	"errors"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
)

func TestSettleTwice(t *testing.T) {
	d := open(t)
	q := queue(t, d)
	c := consume(t, d, q, time.Minute)
	enqueue(t, d, q, message("a"), message("b"), message("c"))
	got := receive(t, c, 3)
	done(t, c, got[0])
	errs := c.Settle(testContext(t), []driver.Settlement{
		{Delivery: got[0], Outcome: driver.Done}, {Delivery: got[1], Outcome: driver.Done}, {Delivery: got[1], Outcome: driver.Done},
		{Delivery: got[2], Outcome: driver.Release}, {Delivery: got[2], Outcome: driver.Retry}})
	for i, lost := range []bool{true, false, true, false, true} {
		if errors.Is(errs[i], driver.ErrLeaseLost) != lost || lost == (errs[i] == nil) {
			t.Errorf("settlement %d: %v", i, errs[i])
		}
	}
	depth(t, d, q, driver.Depth{Waiting: 1})
}
