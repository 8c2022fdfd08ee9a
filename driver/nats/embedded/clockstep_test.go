package embedded_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/nats/embedded"
	"github.com/batch-go/batch/internal/clockstep"
)

// TestClockStep: whatever the time of day is set to, nothing is early and nothing late, and a lease ends neither before
// its time nor later.
func TestClockStep(t *testing.T) {
	t.Parallel()
	clockstep.Apart(t, clockstep.Broker{Lease: 2 * time.Second, Far: true},
		func() string { return "jetstream://" + filepath.ToSlash(t.TempDir()) },
		func(ctx context.Context, url string) (driver.Driver, error) { return embedded.Open(ctx, url) })
}
