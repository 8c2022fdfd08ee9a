package redis

import (
	"context"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/brokers"
	"github.com/batch-go/batch/internal/clockstep"
)

// stepLease is that of the consumer while the clock is set.
const stepLease = 2 * time.Second

// TestServerClockStep: Redis goes by its time of day, as the package comment says. Set ahead, what is delayed comes
// early and leases end; set back, what is delayed comes late by the step, and so does what a vanished holder had.
func TestServerClockStep(t *testing.T) {
	t.Parallel()
	server := brokers.NewRedisClock(t, brokers.Redis8)
	d, err := Open(t.Context(), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close(context.Background())
	_, err = clockstep.Run(t.Context(), clockstep.Broker{Driver: d, Lease: stepLease,
		Ahead: clockstep.Effect{Early: true, Ends: true}, Back: clockstep.Effect{Late: true},
		Set: func(ctx context.Context, ahead time.Duration) error { return server.SetClock(ctx, ahead, 0) }}, "clock")
	if err != nil {
		t.Error(err)
	}
}

// TestClockStep: a worker's own time of day changes nothing.
func TestClockStep(t *testing.T) {
	t.Parallel()
	clockstep.Apart(t, clockstep.Broker{Lease: stepLease},
		func() string { return brokers.Redis(t, brokers.Redis8).URL() },
		func(ctx context.Context, url string) (driver.Driver, error) { return Open(ctx, url) })
}
