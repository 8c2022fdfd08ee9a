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
	ahead, back := clockstep.Apart(t, 2*time.Second,
		func() string { return "jetstream://" + filepath.ToSlash(t.TempDir()) },
		func(ctx context.Context, url string) (driver.Driver, error) { return embedded.Open(ctx, url) })
	if err := ahead.Check(clockstep.Effect{Early: true, Ends: true}); err != nil {
		t.Errorf("set ahead: %v", err)
	}
	if err := back.Check(clockstep.Effect{Late: true}); err != nil {
		t.Errorf("set back: %v", err)
	}
}
