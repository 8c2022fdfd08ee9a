package nats_test

import (
	"context"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/nats"
	"github.com/batch-go/batch/internal/brokers"
	"github.com/batch-go/batch/internal/clockstep"
)

// TestClockStep: a worker's own time of day changes nothing. The server's does, as package embedded shows.
func TestClockStep(t *testing.T) {
	t.Parallel()
	clockstep.Apart(t, clockstep.Broker{Lease: 2 * time.Second},
		func() string { return brokers.NATS(t, brokers.NATS2).URL() },
		func(ctx context.Context, url string) (driver.Driver, error) { return nats.Open(ctx, url) })
}
