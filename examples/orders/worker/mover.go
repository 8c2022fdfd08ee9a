package worker

import (
	"context"
	"log/slog"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/examples/orders/shop"
	"github.com/batch-go/batch/move"
)

// Move carries jobs from the database to a broker until ctx ends. Any number of processes may do so at a time, as a job with a
// delay stays in the database until it is due. A process that dies leaves each job in the database, on the broker or on both, and
// those that are on both are skipped when they run again. A job that the broker cannot keep is a dead letter in the database.
func Move(ctx context.Context, db *shop.DB, broker batch.Importer, log *slog.Logger) error {
	_, err := move.Run(ctx, db.Charges.Driver(), broker, shop.Charges,
		move.Follow(), move.Only(batch.StateWaiting), move.Park(),
		move.OnFault(func(err error) { log.WarnContext(ctx, "the mover goes on", "err", err) }))
	return err
}
