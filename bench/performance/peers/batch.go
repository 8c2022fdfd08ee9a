package peers

import (
	"context"
	"log/slog"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/amqp"
	"github.com/batch-go/batch/driver/nats"
	"github.com/batch-go/batch/driver/nats/embedded"
	"github.com/batch-go/batch/driver/redis"
	"github.com/batch-go/batch/driver/sqs"

	"github.com/batch-go/batch/bench/performance/peer"
)

// ours is batch on any driver, with defaults.
type ours[D batch.Driver] struct {
	driver D
	queues map[string]*batch.Queue[D]
	names  []string
}

// openBatch makes the queues.
func openBatch[D batch.Driver](ctx context.Context, d D, at peer.Place) (*ours[D], error) {
	p := &ours[D]{driver: d, queues: make(map[string]*batch.Queue[D]), names: at.Queues}
	for _, name := range at.Queues {
		q := batch.NewQueue(d, name)
		if err := q.Declare(ctx); err != nil {
			return nil, err
		}
		p.queues[name] = q
	}
	return p, nil
}

// Enqueue implements peer.Peer.
func (p *ours[D]) Enqueue(ctx context.Context, queue string, j peer.Job) error {
	_, err := p.queues[queue].Enqueue(ctx, j)
	return err
}

// EnqueueMany implements peer.Peer.
func (p *ours[D]) EnqueueMany(ctx context.Context, queue string, jobs []peer.Job) error {
	requests := make([]batch.Request[D], len(jobs))
	for i, j := range jobs {
		requests[i].Args = j
	}
	_, err := p.queues[queue].EnqueueMany(ctx, requests)
	return err
}

// Work implements peer.Peer.
func (p *ours[D]) Work(ctx context.Context, concurrency int, handle peer.Handler) (func() error, error) {
	config := batch.WorkerConfig{
		Log:         slog.New(slog.DiscardHandler),
		RetryPolicy: batch.RetryFunc(func(int, error) time.Duration { return 0 }),
	}
	for _, name := range p.names {
		config.Queues = append(config.Queues, batch.WorkerQueue{Name: name, Concurrency: concurrency})
	}
	w := batch.NewWorker(p.driver, config)
	batch.Handle(w, func(_ context.Context, job *batch.Job[peer.Job]) error { return handle(job.Args) })
	if err := w.Start(ctx); err != nil {
		return nil, err
	}
	return func() error { return w.Stop(context.Background()) }, nil
}

// Close implements peer.Peer. It removes the queues.
func (p *ours[D]) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, q := range p.queues {
		if err := q.Delete(ctx); err != nil {
			return err
		}
	}
	return p.driver.Close(ctx)
}

// delaying is batch on a driver with delays.
type delaying[D batch.Delayer] struct{ *ours[D] }

// EnqueueAt implements peer.Delayer.
func (p delaying[D]) EnqueueAt(ctx context.Context, queue string, j peer.Job, due time.Time) error {
	q := p.queues[queue]
	_, err := q.Enqueue(ctx, j, batch.At(q, due))
	return err
}

// batchOn opens batch on the driver that open opens.
func batchOn[D batch.Delayer](open func(context.Context, peer.Place) (D, error)) opener {
	return func(ctx context.Context, at peer.Place) (peer.Peer, error) {
		d, err := open(ctx, at)
		if err != nil {
			return nil, err
		}
		p, err := openBatch(ctx, d, at)
		if err != nil {
			return nil, err
		}
		return delaying[D]{p}, nil
	}
}

// byURL opens a driver by the URL of a broker.
func byURL[D batch.Driver](open func(context.Context, string) (D, error)) func(context.Context, peer.Place) (D, error) {
	return func(ctx context.Context, at peer.Place) (D, error) { return open(ctx, at.URL) }
}

// The drivers of batch.
var (
	batchRedis    = batchOn(byURL(redis.Open))
	batchRabbitMQ = batchOn(byURL(amqp.Open))
	batchNATS     = batchOn(byURL(nats.Open))
	batchSQS      = batchOn(func(ctx context.Context, at peer.Place) (*sqs.Driver, error) {
		return sqs.New(ctx, sqsClient(at), sqs.Options{Wait: time.Second})
	})
	batchEmbedded = batchOn(func(ctx context.Context, at peer.Place) (*embedded.Driver, error) {
		return embedded.New(ctx, at.Dir, embedded.Options{SyncAlways: at.Sync})
	})
)
