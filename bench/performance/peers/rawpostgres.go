package peers

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/batch-go/batch/bench/performance/peer"
)

// rawPostgres is pgx with a table: a row is a job, in the order of its number.
type rawPostgres struct {
	pool   *pgxpool.Pool
	queues []string
}

// The statements of the raw client.
const (
	rawTable  = `CREATE TABLE jobs (id bigint GENERATED ALWAYS AS IDENTITY, queue text NOT NULL, body bytea NOT NULL, PRIMARY KEY (queue, id))`
	rawInsert = `INSERT INTO jobs (queue, body) VALUES ($1, $2)`
	rawTake   = `DELETE FROM jobs j USING (SELECT queue, id FROM jobs WHERE queue = $1 ORDER BY id LIMIT 500 FOR UPDATE SKIP LOCKED) t
		WHERE j.queue = t.queue AND j.id = t.id RETURNING j.body`
)

// openRawPostgres makes the table.
func openRawPostgres(ctx context.Context, at peer.Place) (peer.Peer, error) {
	pool, err := openPool(ctx, at)
	if err != nil {
		return nil, err
	}
	_, err = pool.Exec(ctx, rawTable)
	return &rawPostgres{pool, at.Queues}, err
}

// Enqueue implements peer.Peer.
func (p *rawPostgres) Enqueue(ctx context.Context, queue string, j peer.Job) error {
	_, err := p.pool.Exec(ctx, rawInsert, queue, j.Encode())
	return err
}

// EnqueueTx implements peer.Transactor.
func (p *rawPostgres) EnqueueTx(ctx context.Context, queue string, j peer.Job) error {
	return pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, rawInsert, queue, j.Encode())
		return err
	})
}

// EnqueueMany implements peer.Peer.
func (p *rawPostgres) EnqueueMany(ctx context.Context, queue string, jobs []peer.Job) error {
	_, err := p.pool.CopyFrom(ctx, pgx.Identifier{"jobs"}, []string{"queue", "body"},
		pgx.CopyFromSlice(len(jobs), func(i int) ([]any, error) { return []any{queue, jobs[i].Encode()}, nil }))
	return err
}

// Work implements peer.Peer. A loop a queue takes up to 500 rows, has them handled, and commits.
func (p *rawPostgres) Work(ctx context.Context, concurrency int, handle peer.Handler) (func() error, error) {
	pause := 5 * time.Millisecond
	if len(p.queues) > 1 {
		pause = 100 * time.Millisecond
	}
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	for _, q := range p.queues {
		all.Go(func() {
			for ctx.Err() == nil {
				n, err := p.some(q, concurrency, handle)
				if err != nil {
					panic(err)
				}
				if n > 0 {
					continue
				}
				select {
				case <-time.After(pause):
				case <-ctx.Done():
				}
			}
		})
	}
	return func() error { cancel(); all.Wait(); return nil }, nil
}

// some handles up to 500 jobs in one transaction, and returns how many there were.
func (p *rawPostgres) some(queue string, concurrency int, handle peer.Handler) (n int, err error) {
	ctx := context.Background() // a transaction that has begun is ended
	err = pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, rawTake, queue)
		if err != nil {
			return err
		}
		bodies, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
		if err != nil {
			return err
		}
		n = len(bodies)
		var next atomic.Int64
		var all sync.WaitGroup
		for range min(concurrency, n) {
			all.Go(func() {
				for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
					j, err := peer.Decode(bodies[i])
					if err == nil {
						err = handle(j)
					}
					if err != nil {
						panic(err)
					}
				}
			})
		}
		all.Wait()
		return nil
	})
	return n, err
}

// Close implements peer.Peer.
func (p *rawPostgres) Close() error {
	p.pool.Close()
	return nil
}
