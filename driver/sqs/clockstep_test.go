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
	ahead, back := clockstep.Apart(t, 2*time.Second,
		func() string { return testURL(t, scheme) },
		func(ctx context.Context, url string) (driver.Driver, error) { return Open(ctx, url) })
	if err := ahead.Check(clockstep.Effect{}); err != nil {
		t.Errorf("set ahead: %v", err)
	}
	if err := back.Check(clockstep.Effect{}); err != nil {
		t.Errorf("set back: %v", err)
	}
}
