package peers

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/postgres"

	"github.com/batch-go/batch/bench/performance/peer"
)

// transacting is batch on PostgreSQL, with transactions of an application that has a pool of its own.
type transacting struct {
	delaying[*postgres.Driver]
	pool *pgxpool.Pool
}

// batchPostgres opens it.
func batchPostgres(ctx context.Context, at peer.Place) (peer.Peer, error) {
	d, err := postgres.Open(ctx, at.URL)
	if err != nil {
		return nil, err
	}
	p, err := openBatch(ctx, d, at)
	if err != nil {
		return nil, err
	}
	pool, err := openPool(ctx, at)
	if err != nil {
		return nil, err
	}
	return transacting{delaying[*postgres.Driver]{p}, pool}, nil
}

// EnqueueTx implements peer.Transactor.
func (p transacting) EnqueueTx(ctx context.Context, queue string, j peer.Job) error {
	return pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		_, err := batch.EnqueueTx(ctx, tx, p.queues[queue], j)
		return err
	})
}

// Close implements peer.Peer.
func (p transacting) Close() error {
	p.pool.Close()
	return p.delaying.Close()
}
