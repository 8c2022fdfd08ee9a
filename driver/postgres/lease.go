package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
)

// extendLeases extends the leases of jobs that are held.
var extendLeases = newStatement(held() + `, kept AS (
		UPDATE batch.jobs j SET due = clock_timestamp() + $4::bigint * interval '1 millisecond' WHERE j.seq = ` + heldOnes + ` RETURNING j.seq
	) SELECT seq FROM kept`)

// Extend renews leases, in one statement.
func (c *consumer) Extend(ctx context.Context, deliveries []*driver.Delivery) []error {
	const op = "extend"
	if len(deliveries) == 0 {
		return nil
	}
	if err := c.begin(ctx); err != nil {
		return fault.All(len(deliveries), fail(op, c.queue, err))
	}
	defer c.calls.Exit()
	var seqs, tokens []int64
	var receipts []*receipt
	for _, delivery := range deliveries {
		if r, ok := receiptOf(delivery); ok && r.queue == c.queue && c.d.foreign(op, r) == nil {
			seqs, tokens, receipts = append(seqs, r.seq), append(tokens, r.token), append(receipts, r)
		}
	}
	kept := make(map[int64]bool, len(seqs))
	err := c.d.whole(ctx, step{extendLeases, []any{c.queue, seqs, tokens, c.lease.Milliseconds()}, func(rows pgx.Rows) error {
		var seq int64
		err := rows.Scan(&seq)
		kept[seq] = true
		return err
	}})
	if err == nil && len(kept) < len(receipts) {
		// Those that a transaction of the application has locked are held as long as it is open.
		kept, _, err = c.d.findHeld(ctx, receipts)
	}
	if err != nil {
		return fault.All(len(deliveries), fail(op, c.queue, err))
	}
	var errs []error
	for i, delivery := range deliveries {
		r, ok := receiptOf(delivery)
		if !ok || r.queue != c.queue {
			errs = fault.Set(errs, len(deliveries), i, faults.LeaseLost(op, c.queue))
		} else if err := c.d.foreign(op, r); err != nil {
			errs = fault.Set(errs, len(deliveries), i, err)
		} else if !kept[r.seq] {
			errs = fault.Set(errs, len(deliveries), i, faults.LeaseLost(op, c.queue))
		}
	}
	return errs
}

// Abandon does nothing: what is not extended any more becomes available when its lease ends.
func (*consumer) Abandon(context.Context, []*driver.Delivery) {}
