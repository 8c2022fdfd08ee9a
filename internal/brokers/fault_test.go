package brokers

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/batch-go/batch/internal/brokers/launch"
)

// testTimeout bounds what a test waits for.
const testTimeout = 30 * time.Second

// A frozen container must be removable: fault tests that fail in the middle leave one.
func TestPausedServerCanBeRemoved(t *testing.T) {
	t.Parallel()
	i := NewRedis(t, Redis8)
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	if err := i.Pause(ctx); err != nil {
		t.Fatal(err)
	}
	if err := i.remove(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestFaultsOnAGivenBrokerAreRefused(t *testing.T) {
	i := &Instance{Server: launch.Server{Name: "redis", Version: "8.0.2", Addr: "localhost:6379"}}
	methods := map[string]func(context.Context) error{
		"Stop": i.Stop, "Start": i.Start, "Restart": i.Restart,
		"Kill": i.Kill, "Pause": i.Pause, "Unpause": i.Unpause,
	}
	for name, method := range methods {
		if err := method(t.Context()); !errors.Is(err, ErrNotOurs) {
			t.Errorf("%s = %v, want ErrNotOurs", name, err)
		}
	}
}

// A call is made in another process, and ends with its context nevertheless.
func TestCallsEndWithTheirContext(t *testing.T) {
	t.Parallel()
	i := NewRedis(t, Redis8)
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	short, cancelShort := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancelShort()
	if _, err := i.Exec(short, "sleep", "infinity"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a command without an end = %v, want %v", err, context.DeadlineExceeded)
	}
	if ctx.Err() != nil {
		t.Error("the call did not end with its context")
	}
	if err := i.Stop(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Stop after the end of its context = %v, want %v", err, context.DeadlineExceeded)
	}
	output, err := i.Exec(ctx, "echo", "still here")
	if err != nil || !strings.Contains(output, "still here") {
		t.Errorf("the next command = %q, %v", output, err)
	}
}
