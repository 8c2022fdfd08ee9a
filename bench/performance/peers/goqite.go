package peers

import (
	"context"
	"database/sql"
	"sync"
	"time"

	"maragu.dev/goqite"
	"maragu.dev/goqite/jobs"

	"github.com/batch-go/batch/bench/performance/peer"
)

// goqiteSchema is that of its documentation, which does not come as a Go value.
const goqiteSchema = `
create table if not exists goqite (
  id text primary key default ('m_' || lower(hex(randomblob(16)))),
  created text not null default (strftime('%Y-%m-%dT%H:%M:%fZ')),
  updated text not null default (strftime('%Y-%m-%dT%H:%M:%fZ')),
  queue text not null,
  body blob not null,
  timeout text not null default (strftime('%Y-%m-%dT%H:%M:%fZ')),
  received integer not null default 0,
  priority integer not null default 0
) strict;
create trigger if not exists goqite_updated_timestamp after update on goqite begin
  update goqite set updated = strftime('%Y-%m-%dT%H:%M:%fZ') where id = old.id;
end;
create index if not exists goqite_queue_priority_created_idx on goqite (queue, priority desc, created);`

// goqiteName is that of the only kind of job.
const goqiteName = "performance"

// goqitePeer is goqite with its runner.
type goqitePeer struct {
	db     *sql.DB
	queues map[string]*goqite.Queue
}

// openGoqite makes the table.
func openGoqite(ctx context.Context, at peer.Place) (peer.Peer, error) {
	db, err := openSQLite(at)
	if err != nil {
		return nil, err
	}
	if _, err := db.ExecContext(ctx, goqiteSchema); err != nil {
		return nil, err
	}
	p := &goqitePeer{db, make(map[string]*goqite.Queue)}
	for _, q := range at.Queues {
		// A failed job comes again when its timeout has passed.
		p.queues[q] = goqite.New(goqite.NewOpts{DB: db, Name: q, Timeout: 30 * time.Second, MaxReceive: 25})
	}
	return p, nil
}

// Enqueue implements peer.Peer.
func (p *goqitePeer) Enqueue(ctx context.Context, queue string, j peer.Job) error {
	_, err := jobs.Create(ctx, p.queues[queue], goqiteName, goqite.Message{Body: j.Encode()})
	return err
}

// EnqueueAt implements peer.Delayer.
func (p *goqitePeer) EnqueueAt(ctx context.Context, queue string, j peer.Job, due time.Time) error {
	_, err := jobs.Create(ctx, p.queues[queue], goqiteName, goqite.Message{Body: j.Encode(), Delay: time.Until(due)})
	return err
}

// EnqueueMany implements peer.Peer: all in one transaction.
func (p *goqitePeer) EnqueueMany(ctx context.Context, queue string, all []peer.Job) error {
	tx, err := p.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // of no effect after the commit
	for _, j := range all {
		if _, err := jobs.CreateTx(ctx, tx, p.queues[queue], goqiteName, goqite.Message{Body: j.Encode()}); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// Work implements peer.Peer: a runner a queue. With one queue it looks for jobs every millisecond; by default it
// is every 100 ms, and it waits as long when all its handlers are busy.
func (p *goqitePeer) Work(ctx context.Context, concurrency int, handle peer.Handler) (func() error, error) {
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	poll := time.Duration(0) // the default
	if len(p.queues) == 1 {
		poll = time.Millisecond
	}
	for _, q := range p.queues {
		r := jobs.NewRunner(jobs.NewRunnerOpts{
			Limit: concurrency, PollInterval: poll, Queue: q, Extend: 30 * time.Second,
		})
		r.Register(goqiteName, func(_ context.Context, body []byte) error {
			j, err := peer.Decode(body)
			if err != nil {
				return err
			}
			return handle(j)
		})
		all.Go(func() { r.Start(ctx) })
	}
	return func() error { cancel(); all.Wait(); return nil }, nil
}

// Close implements peer.Peer.
func (p *goqitePeer) Close() error { return p.db.Close() }
