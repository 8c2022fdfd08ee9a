package peers

import (
	"context"
	"log/slog"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"

	"github.com/batch-go/batch/bench/performance/peer"
)

// riverPeer is river on any database.
type riverPeer[T any] struct {
	driver riverdriver.Driver[T]
	queues []string
	client *river.Client[T] // enqueues
	close  func() error
	poll   bool // it has no notifications
	most   int  // handlers of a worker of one queue, whatever is asked for; 0 for that
}

// openRiver makes the tables.
func openRiver[T any](ctx context.Context, d riverdriver.Driver[T], at peer.Place, closing func() error) (*riverPeer[T], error) {
	log := slog.New(slog.DiscardHandler)
	m, err := rivermigrate.New(d, &rivermigrate.Config{Logger: log})
	if err != nil {
		return nil, err
	}
	if _, err := m.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return nil, err
	}
	// A client also notifies of one insert in so much time, 100 ms by default, and the worker does not see those
	// between until it polls.
	client, err := river.NewClient(d, &river.Config{Logger: log, FetchCooldown: river.FetchCooldownMin})
	return &riverPeer[T]{driver: d, queues: at.Queues, client: client, close: closing}, err
}

// riverPostgres is river on PostgreSQL.
func riverPostgres(ctx context.Context, at peer.Place) (peer.Peer, error) {
	p, _, err := riverOn(ctx, at)
	return p, err
}

// riverTransacting is river on PostgreSQL, with transactions of an application whose pool it shares, as its
// documentation has it.
type riverTransacting struct {
	*riverPeer[pgx.Tx]
	pool *pgxpool.Pool
}

// riverTx opens river on PostgreSQL, with so many handlers, or 0 for those asked for.
func riverTx(most int) opener {
	return func(ctx context.Context, at peer.Place) (peer.Peer, error) {
		p, pool, err := riverOn(ctx, at)
		if err != nil {
			return nil, err
		}
		p.most = most
		return riverTransacting{p, pool}, nil
	}
}

// EnqueueTx implements peer.Transactor.
func (p riverTransacting) EnqueueTx(ctx context.Context, queue string, j peer.Job) error {
	return pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		_, err := p.client.InsertTx(ctx, tx, j, &river.InsertOpts{Queue: queue})
		return err
	})
}

// riverOn is river on PostgreSQL, with its pool.
func riverOn(ctx context.Context, at peer.Place) (*riverPeer[pgx.Tx], *pgxpool.Pool, error) {
	pool, err := openPool(ctx, at)
	if err != nil {
		return nil, nil, err
	}
	p, err := openRiver(ctx, riverpgxv5.New(pool), at, func() error { pool.Close(); return nil })
	return p, pool, err
}

// openPool opens 64 connections, one for each caller.
func openPool(ctx context.Context, at peer.Place) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(at.URL)
	if err != nil {
		return nil, err
	}
	config.MaxConns = 64
	if !at.Sync { // what a crash of the machine may lose then is less than a second's, as elsewhere
		config.ConnConfig.RuntimeParams["synchronous_commit"] = "off"
	}
	return pgxpool.NewWithConfig(ctx, config)
}

// riverSQLite is river on SQLite.
func riverSQLite(ctx context.Context, at peer.Place) (peer.Peer, error) {
	db, err := openSQLite(at)
	if err != nil {
		return nil, err
	}
	p, err := openRiver(ctx, riversqlite.New(db), at, db.Close)
	if err != nil {
		return nil, err
	}
	p.poll = true
	return p, nil
}

// Enqueue implements peer.Peer.
func (p *riverPeer[T]) Enqueue(ctx context.Context, queue string, j peer.Job) error {
	_, err := p.client.Insert(ctx, j, &river.InsertOpts{Queue: queue})
	return err
}

// EnqueueAt implements peer.Delayer.
func (p *riverPeer[T]) EnqueueAt(ctx context.Context, queue string, j peer.Job, due time.Time) error {
	_, err := p.client.Insert(ctx, j, &river.InsertOpts{Queue: queue, ScheduledAt: due})
	return err
}

// EnqueueMany implements peer.Peer.
func (p *riverPeer[T]) EnqueueMany(ctx context.Context, queue string, jobs []peer.Job) error {
	all := make([]river.InsertManyParams, len(jobs))
	for i, j := range jobs {
		all[i] = river.InsertManyParams{Args: j, InsertOpts: &river.InsertOpts{Queue: queue}}
	}
	_, err := p.client.InsertManyFast(ctx, all)
	return err
}

// riverWorker implements river.Worker.
type riverWorker struct {
	river.WorkerDefaults[peer.Job]
	handle peer.Handler
}

// Work implements river.Worker.
func (w *riverWorker) Work(_ context.Context, job *river.Job[peer.Job]) error {
	return w.handle(job.Args)
}

// atOnce is a retry policy.
type atOnce struct{}

// NextRetry implements river.ClientRetryPolicy.
func (atOnce) NextRetry(*rivertype.JobRow) time.Time { return time.Now() }

// Work implements peer.Peer. From one queue it fetches as often as it can, every millisecond: by default it is
// every 100 ms, which bounds 64 handlers that do nothing to 640 jobs a second. From many it would do little else.
func (p *riverPeer[T]) Work(ctx context.Context, concurrency int, handle peer.Handler) (func() error, error) {
	workers := river.NewWorkers()
	river.AddWorker(workers, &riverWorker{handle: handle})
	config := &river.Config{
		Logger: slog.New(slog.DiscardHandler), Workers: workers, RetryPolicy: atOnce{}, Queues: make(map[string]river.QueueConfig),
		PollOnly: p.poll, ID: "performance-" + strconv.FormatInt(time.Now().UnixNano(), 36),
	}
	if len(p.queues) == 1 {
		config.FetchCooldown = river.FetchCooldownMin
		concurrency = max(concurrency, p.most)
		if p.poll {
			config.FetchPollInterval = 5 * time.Millisecond
		}
	}
	for _, q := range p.queues {
		config.Queues[q] = river.QueueConfig{MaxWorkers: concurrency}
	}
	client, err := river.NewClient(p.driver, config)
	if err != nil {
		return nil, err
	}
	if err := client.Start(context.WithoutCancel(ctx)); err != nil {
		return nil, err
	}
	return func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		return client.Stop(ctx)
	}, nil
}

// Close implements peer.Peer.
func (p *riverPeer[T]) Close() error { return p.close() }
