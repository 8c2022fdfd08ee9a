package peers

import (
	"context"
	"database/sql"
	"time"

	"github.com/mikestefanello/backlite"

	"github.com/batch-go/batch/bench/performance/peer"
)

// backlitePeer is backlite. Its client has one dispatcher for all queues.
type backlitePeer struct {
	db     *sql.DB
	queues []string
	client *backlite.Client
}

// backliteTask is a job with its queue, which is where backlite takes it from.
type backliteTask struct {
	peer.Job
	queue string
}

// Config implements backlite.Task.
func (t backliteTask) Config() backlite.QueueConfig { return backliteConfig(t.queue) }

// backliteConfig is that of each queue.
func backliteConfig(queue string) backlite.QueueConfig {
	return backlite.QueueConfig{Name: queue, MaxAttempts: 25, Timeout: time.Minute, Backoff: time.Nanosecond}
}

// backliteQueue implements backlite.Queue for one of several queues with the same kind of job.
type backliteQueue struct {
	name   string
	handle peer.Handler
}

// Config implements backlite.Queue.
func (q backliteQueue) Config() *backlite.QueueConfig {
	c := backliteConfig(q.name)
	return &c
}

// Process implements backlite.Queue.
func (q backliteQueue) Process(_ context.Context, payload []byte) error {
	j, err := peer.Decode(payload)
	if err != nil {
		return err
	}
	return q.handle(j)
}

// openBacklite makes the tables.
func openBacklite(_ context.Context, at peer.Place) (peer.Peer, error) {
	db, err := openSQLite(at)
	if err != nil {
		return nil, err
	}
	p := &backlitePeer{db: db, queues: at.Queues}
	if p.client, err = p.newClient(1); err != nil {
		return nil, err
	}
	return p, p.client.Install()
}

// newClient makes a client with n workers.
func (p *backlitePeer) newClient(n int) (*backlite.Client, error) {
	return backlite.NewClient(backlite.ClientConfig{DB: p.db, NumWorkers: n, ReleaseAfter: 10 * time.Minute})
}

// Enqueue implements peer.Peer.
func (p *backlitePeer) Enqueue(ctx context.Context, queue string, j peer.Job) error {
	_, err := p.client.Add(backliteTask{j, queue}).Ctx(ctx).Save()
	return err
}

// EnqueueAt implements peer.Delayer.
func (p *backlitePeer) EnqueueAt(ctx context.Context, queue string, j peer.Job, due time.Time) error {
	_, err := p.client.Add(backliteTask{j, queue}).Ctx(ctx).At(due).Save()
	return err
}

// EnqueueMany implements peer.Peer: in one transaction.
func (p *backlitePeer) EnqueueMany(ctx context.Context, queue string, jobs []peer.Job) error {
	tasks := make([]backlite.Task, len(jobs))
	for i, j := range jobs {
		tasks[i] = backliteTask{j, queue}
	}
	_, err := p.client.Add(tasks...).Ctx(ctx).Save()
	return err
}

// Work implements peer.Peer. The client that works also enqueues from now on, since only its own tasks wake it.
func (p *backlitePeer) Work(ctx context.Context, concurrency int, handle peer.Handler) (func() error, error) {
	client, err := p.newClient(concurrency * len(p.queues))
	if err != nil {
		return nil, err
	}
	for _, q := range p.queues {
		client.Register(backliteQueue{q, handle})
	}
	client.Start(context.WithoutCancel(ctx))
	p.client = client
	client.Notify()
	return func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		client.Stop(ctx)
		return nil
	}, nil
}

// Close implements peer.Peer.
func (p *backlitePeer) Close() error { return p.db.Close() }
