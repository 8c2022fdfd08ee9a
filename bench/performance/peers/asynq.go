package peers

import (
	"context"

	"time"

	"github.com/hibiken/asynq"

	"github.com/batch-go/batch/bench/performance/peer"
)

// asynqPeer is asynq.
type asynqPeer struct {
	at      peer.Place
	redis   asynq.RedisClientOpt
	client  *asynq.Client
	fastest bool
}

// asynqWith opens asynq: with its defaults, or with its shortest sensible intervals.
func asynqWith(fastest bool) opener {
	return func(_ context.Context, at peer.Place) (peer.Peer, error) {
		redis := asynq.RedisClientOpt{Addr: at.Addr, PoolSize: 80 + len(at.Queues)}
		return &asynqPeer{at, redis, asynq.NewClient(redis), fastest}, nil
	}
}

// Enqueue implements peer.Peer.
func (p *asynqPeer) Enqueue(ctx context.Context, queue string, j peer.Job) error {
	_, err := p.client.EnqueueContext(ctx, asynq.NewTask("performance", j.Encode()), asynq.Queue(queue))
	return err
}

// EnqueueAt implements peer.Delayer.
func (p *asynqPeer) EnqueueAt(ctx context.Context, queue string, j peer.Job, due time.Time) error {
	_, err := p.client.EnqueueContext(ctx, asynq.NewTask("performance", j.Encode()), asynq.Queue(queue), asynq.ProcessAt(due))
	return err
}

// EnqueueMany implements peer.Peer. asynq has nothing for many.
func (p *asynqPeer) EnqueueMany(ctx context.Context, queue string, jobs []peer.Job) error {
	return peer.Each(jobs, func(j peer.Job) error { return p.Enqueue(ctx, queue, j) })
}

// Work implements peer.Peer. Its concurrency is of all queues.
func (p *asynqPeer) Work(_ context.Context, concurrency int, handle peer.Handler) (func() error, error) {
	queues := make(map[string]int)
	for _, q := range p.at.Queues {
		queues[q] = 1
	}
	config := asynq.Config{
		Concurrency: concurrency * len(queues), Queues: queues, LogLevel: asynq.FatalLevel,
		RetryDelayFunc: func(int, error, *asynq.Task) time.Duration { return 0 },
		Logger:         silent{}, ShutdownTimeout: 2 * time.Second,
	}
	if p.fastest {
		config.TaskCheckInterval, config.DelayedTaskCheckInterval = 10*time.Millisecond, 10*time.Millisecond
	}
	s := asynq.NewServer(p.redis, config)
	err := s.Start(asynq.HandlerFunc(func(_ context.Context, t *asynq.Task) error {
		j, err := peer.Decode(t.Payload())
		if err != nil {
			return err
		}
		return handle(j)
	}))
	return func() error { s.Shutdown(); return nil }, err
}

// Close implements peer.Peer.
func (p *asynqPeer) Close() error { return p.client.Close() }

// silent is a logger for libraries that want one.
type silent struct{}

// Debug and the others log nothing.
func (silent) Debug(...any) {}

// Info logs nothing.
func (silent) Info(...any) {}

// Warn logs nothing.
func (silent) Warn(...any) {}

// Error logs nothing.
func (silent) Error(...any) {}

// Fatal logs nothing.
func (silent) Fatal(...any) {}
