package main

import (
	"context"
	"errors"
	"os/exec"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"

	"github.com/batch-go/batch/internal/brokers"
)

func TestAbandoned(t *testing.T) {
	var (
		now  = time.Now()
		self = owner{host: "here", pid: 1, start: "100"}
		// Process 7 started at tick 700; no other process exists.
		start = func(pid int) string {
			if pid == 7 {
				return "700"
			}
			return ""
		}
	)
	tests := []struct {
		name  string
		owner owner
		age   time.Duration
		want  bool
	}{
		{"its owner lives", owner{"here", 7, "700"}, 0, false},
		{"its owner lives for longer than any run", owner{"here", 7, "700"}, 2 * sweepAge, false},
		{"its owner is gone", owner{"here", 8, "800"}, 0, true},
		{"its owner's id belongs to another process", owner{"here", 7, "699"}, 0, true},
		{"its owner ran elsewhere", owner{"there", 8, "800"}, time.Minute, false},
		{"its owner ran elsewhere, long ago", owner{"there", 8, "800"}, sweepAge + 1, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := abandoned(test.owner.labels("session"), now.Add(-test.age), now, self, start); got != test.want {
				t.Errorf("abandoned = %v, want %v", got, test.want)
			}
		})
	}
}

func TestSweepSparesTheLiving(t *testing.T) {
	image := brokers.NewRedis(t, brokers.Redis8).Image
	e := testEngine(t)
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()

	// A process that has ended owns the second container.
	gone := exec.CommandContext(ctx, "true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	mine, dead := e.owner, owner{host: e.owner.host, pid: gone.Process.Pid, start: "1"}
	ids := make(map[owner]string)
	for _, o := range []owner{mine, dead} {
		c, err := e.provider.CreateContainer(ctx, testcontainers.ContainerRequest{
			Image:  image,
			Cmd:    []string{"sleep", "infinity"},
			Labels: o.labels(e.session),
		})
		if err != nil {
			t.Fatal(err)
		}
		ids[o] = c.GetContainerID()
	}
	if _, err := e.sweep(ctx); err != nil {
		t.Fatal(err)
	}
	// Another test binary may sweep at the same time, and be in the middle of removing it.
	err := await(ctx, func(ctx context.Context) error {
		_, err := e.docker().ContainerInspect(ctx, ids[dead], client.ContainerInspectOptions{})
		if errdefs.IsNotFound(err) {
			return nil
		}
		return errors.Join(errors.New("it is still there"), err)
	})
	if err != nil {
		t.Errorf("the container of a dead owner: %v", err)
	}
	if _, err := e.docker().ContainerInspect(ctx, ids[mine], client.ContainerInspectOptions{}); err != nil {
		t.Errorf("the container of a living owner: %v", err)
	}
	if err := e.remove(ctx, ids[mine]); err != nil {
		t.Error(err)
	}
}

// testEngine returns a connection of the test's own to the engine.
func testEngine(t *testing.T) *engine {
	t.Helper()
	e, err := connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.close(); err != nil {
			t.Error(err)
		}
	})
	return e
}
