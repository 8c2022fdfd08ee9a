// Package jobs is what the two programs of the service share: the jobs, the queue and what they rely on of the
// broker.
package jobs

import (
	"context"
	"fmt"
	"os"

	"github.com/batch-go/batch"

	// The brokers that BATCH_URL may name. A program of your own imports one.
	_ "github.com/batch-go/batch/driver/memory"
	_ "github.com/batch-go/batch/driver/nats"
	_ "github.com/batch-go/batch/driver/redis"
)

// Broker is what the service relies on: its capability set.
type Broker interface {
	batch.Delayer
	batch.Deduplicator
}

// Emails is the name of the queue.
const Emails = "emails"

// Welcome greets a user who has signed up.
type Welcome struct {
	UserID int `json:"user_id"`
}

// Kind names the job on the wire.
func (Welcome) Kind() string { return "email.welcome" }

// Open connects to the broker that BATCH_URL names.
func Open(ctx context.Context) (Broker, error) {
	url := os.Getenv("BATCH_URL")
	if url == "" {
		return nil, fmt.Errorf("BATCH_URL is not set: want the broker's URL, such as redis://localhost:6379")
	}
	return batch.Open[Broker](ctx, url)
}
