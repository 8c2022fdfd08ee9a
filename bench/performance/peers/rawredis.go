package peers

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/batch-go/batch/bench/performance/peer"
)

// rawRedis is go-redis at its best: streams with a consumer group.
type rawRedis struct {
	client *goredis.Client
	queues []string
}

// redisClient is that of every peer that takes one: with a connection for each of 64 callers.
func redisClient(at peer.Place) *goredis.Client {
	return goredis.NewClient(&goredis.Options{Addr: at.Addr, PoolSize: 80 + len(at.Queues)})
}

// group is the name of the consumer group.
const group = "g"

// openRawRedis makes the streams.
func openRawRedis(ctx context.Context, at peer.Place) (peer.Peer, error) {
	p := &rawRedis{redisClient(at), at.Queues}
	for _, q := range at.Queues {
		err := p.client.XGroupCreateMkStream(ctx, q, group, "0").Err()
		if err != nil && !strings.HasPrefix(err.Error(), "BUSYGROUP") {
			return nil, err
		}
	}
	return p, nil
}

// add is the command that stores a job.
func (p *rawRedis) add(queue string, j peer.Job) *goredis.XAddArgs {
	return &goredis.XAddArgs{Stream: queue, Values: []any{"b", j.Encode()}}
}

// Enqueue implements peer.Peer.
func (p *rawRedis) Enqueue(ctx context.Context, queue string, j peer.Job) error {
	return p.client.XAdd(ctx, p.add(queue, j)).Err()
}

// EnqueueMany implements peer.Peer.
func (p *rawRedis) EnqueueMany(ctx context.Context, queue string, jobs []peer.Job) error {
	pipe := p.client.Pipeline()
	for i, j := range jobs {
		pipe.XAdd(ctx, p.add(queue, j))
		if i%500 == 499 {
			if _, err := pipe.Exec(ctx); err != nil {
				return err
			}
		}
	}
	_, err := pipe.Exec(ctx)
	return err
}

// Work implements peer.Peer. A reader a queue takes up to 500 messages; handlers run in goroutines, and what
// is done is acknowledged and deleted together.
func (p *rawRedis) Work(ctx context.Context, concurrency int, handle peer.Handler) (func() error, error) {
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	for _, q := range p.queues {
		all.Go(func() { p.work(ctx, q, concurrency, handle) })
	}
	return func() error { cancel(); all.Wait(); return nil }, nil
}

// work takes the messages of a queue until ctx ends.
func (p *rawRedis) work(ctx context.Context, queue string, concurrency int, handle peer.Handler) {
	for ctx.Err() == nil {
		streams, err := p.client.XReadGroup(ctx, &goredis.XReadGroupArgs{
			Group: group, Consumer: "c", Streams: []string{queue, ">"}, Count: 500, Block: time.Second,
		}).Result()
		if err != nil {
			if !errors.Is(err, goredis.Nil) && ctx.Err() == nil {
				panic(err)
			}
			continue
		}
		messages := streams[0].Messages
		ids := make([]string, len(messages))
		var next atomic.Int64
		var all sync.WaitGroup
		for range min(concurrency, len(messages)) {
			all.Go(func() {
				for i := next.Add(1) - 1; i < int64(len(messages)); i = next.Add(1) - 1 {
					ids[i] = messages[i].ID
					body, _ := messages[i].Values["b"].(string)
					j, err := peer.Decode([]byte(body))
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
		pipe := p.client.Pipeline()
		pipe.XAck(context.Background(), queue, group, ids...)
		pipe.XDel(context.Background(), queue, ids...)
		if _, err := pipe.Exec(context.Background()); err != nil {
			panic(err)
		}
	}
}

// Close implements peer.Peer.
func (p *rawRedis) Close() error { return p.client.Close() }
