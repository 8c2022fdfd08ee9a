package redisstore_test

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/idempotency"
	"github.com/batch-go/batch/idempotency/redisstore"
)

// A worker that remembers for a day which jobs it has done.
func Example() {
	ctx := context.Background()
	client := redis.NewClient(&redis.Options{Addr: "localhost:6379"})
	defer client.Close()
	store, err := redisstore.New(ctx, client)
	if err != nil {
		fmt.Println(err)
		return
	}
	w := batch.NewWorker(memory.New(), batch.WorkerConfig{
		Queues:     []batch.WorkerQueue{{Name: "mails"}},
		Middleware: []batch.Middleware{idempotency.Middleware(store, idempotency.Retention(24*time.Hour))},
	})
	fmt.Println(w.Run(ctx))
}
