package brokers

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"testing"

	"github.com/batch-go/batch/internal/brokers/launch"
)

// ErrNotOurs is returned by the methods that stop or freeze a broker when it was not started by this
// package but named by a variable such as BATCH_TEST_REDIS_URL. Nothing has been done to it.
var ErrNotOurs = errors.New("brokers: the broker was not started here and is not ours to stop")

// An Instance is one running broker. Its fields do not change while it lives: it keeps its address
// when it is stopped and started again.
//
// The methods may be called concurrently with anything but each other. On a shared instance they
// disturb every other test of the binary: use one made by a function whose name begins with New.
type Instance struct {
	launch.Server
	TLS *tls.Config // what a client needs; nil when the server speaks plain TCP

	launcher *launcher
}

// newInstance returns what a test needs to know of a server.
func newInstance(l *launcher, s launch.Server) (*Instance, error) {
	config, err := s.TLSConfig()
	if err != nil {
		return nil, err
	}
	return &Instance{Server: s, TLS: config, launcher: l}, nil
}

// Ours tells whether the broker was started here, so that it can be stopped and frozen.
func (i *Instance) Ours() bool { return i.ID != "" }

// String says what the instance is, in the form of the report that ends every run.
func (i *Instance) String() string {
	origin := "image " + i.Image
	if i.Image == "" {
		origin = "running at " + i.Addr
	}
	return fmt.Sprintf("%s %s (%s)", i.Name, i.Version, origin)
}

// Exec runs a command inside the broker's container, as the broker's user, and returns what it printed:
// rabbitmqctl, for one, can do to a server what no client can. A command that fails is an error.
func (i *Instance) Exec(ctx context.Context, command ...string) (output string, err error) {
	if !i.Ours() {
		return "", ErrNotOurs
	}
	args := &launch.Command{Target: launch.Target{ID: i.ID}, Args: command}
	err = i.launcher.call(ctx, "Exec", args, &output)
	return output, err
}

// Stop asks the broker to shut down and returns when it has, which keeps everything it was told.
func (i *Instance) Stop(ctx context.Context) error {
	return i.call(ctx, "Stop")
}

// Start starts a broker that was stopped or killed, on the same data and address, and returns when it
// answers.
func (i *Instance) Start(ctx context.Context) error {
	return i.call(ctx, "Start")
}

// Restart is Stop followed by Start.
func (i *Instance) Restart(ctx context.Context) error {
	if err := i.Stop(ctx); err != nil {
		return err
	}
	return i.Start(ctx)
}

// Kill ends the broker with SIGKILL, as a crash of its process does, and returns when it is gone. What
// it had written without syncing survives, since the system goes on; Start brings it back.
func (i *Instance) Kill(ctx context.Context) error {
	return i.call(ctx, "Kill")
}

// Crash is Kill followed by Start.
func (i *Instance) Crash(ctx context.Context) error {
	if err := i.Kill(ctx); err != nil {
		return err
	}
	return i.Start(ctx)
}

// Pause freezes the broker: connections stay open and nothing answers, as when a machine hangs.
func (i *Instance) Pause(ctx context.Context) error {
	return i.call(ctx, "Pause")
}

// Unpause lets a frozen broker go on.
func (i *Instance) Unpause(ctx context.Context) error {
	return i.call(ctx, "Unpause")
}

// Freezer returns what Pauses the broker until thaw is called, which fails t if that cannot be done: a
// frozen container could not be removed.
func (i *Instance) Freezer(t testing.TB) func(context.Context) (thaw func(), err error) {
	return func(ctx context.Context) (func(), error) {
		if err := i.Pause(ctx); err != nil {
			return nil, err
		}
		return func() {
			if err := i.Unpause(context.WithoutCancel(ctx)); err != nil {
				t.Error(err)
			}
		}, nil
	}
}

// call calls a method of the launcher that is about this server.
func (i *Instance) call(ctx context.Context, method string) error {
	if !i.Ours() {
		return ErrNotOurs
	}
	return i.launcher.call(ctx, method, &launch.Target{ID: i.ID}, &launch.Nothing{})
}

// remove removes the broker and its data for good.
func (i *Instance) remove(ctx context.Context) error {
	return i.call(ctx, "Remove")
}
