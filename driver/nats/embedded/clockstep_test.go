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

// TestClockStep: the server in the process goes by the time of day, as package nats documents. Set ahead, what is
// delayed comes early and leases end; set back, what is delayed comes late by the step, and so does what a vanished
// holder had. What is delayed after the step is neither early nor late: the driver finds out.
func TestClockStep(t *testing.T) {
	t.Parallel()
	clockstep.Apart(t, clockstep.Broker{Lease: 2 * time.Second,
		Ahead: clockstep.Effect{Early: true, Ends: true}, Back: clockstep.Effect{Late: true}},
		func() string { return "jetstream://" + filepath.ToSlash(t.TempDir()) },
		func(ctx context.Context, url string) (driver.Driver, error) { return embedded.Open(ctx, url) })
}
