package sqs

import (
	"context"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/clockstep"
)

// TestClockStep: a worker's own time of day changes nothing. Amazon refuses requests of one that is 15 minutes off.
func TestClockStep(t *testing.T) {
	t.Parallel()
	clockstep.Apart(t, clockstep.Broker{Lease: 2 * time.Second},
		func() string { return testURL(t, scheme) },
		func(ctx context.Context, url string) (driver.Driver, error) { return Open(ctx, url) })
}
