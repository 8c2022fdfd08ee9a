package brokers

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/url"
	"testing"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/exec"
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
	Name     string      // what the server says it is, such as "redis" or "valkey"
	Version  string      // the version that the server reports
	Image    string      // the image it runs from; empty when it was not started here
	Addr     string      // host:port, reachable from the test
	Username string      // empty for the server's default user
	Password string      // empty when the server asks for none
	TLS      *tls.Config // trusts the server's certificate; nil when the server speaks plain TCP
	CA       []byte      // the certificate that TLS trusts, in PEM; nil likewise

	// Certificate and Key, in PEM, are the client's own. They are in TLS when the server asks for them.
	Certificate, Key []byte

	protocol  protocol
	engine    *engine
	container testcontainers.Container
}

// String says what the instance is, in the form of the report that ends every run.
func (i *Instance) String() string {
	origin := "image " + i.Image
	if i.Image == "" {
		origin = "running at " + i.Addr
	}
	return fmt.Sprintf("%s %s (%s)", i.Name, i.Version, origin)
}

// URL returns the address in the form of the broker's clients: redis://, amqp:// and nats://, or
// rediss://, amqps:// and tls:// with TLS, each with the name and the password when there are any. For
// SQS it is the endpoint, whose URL has no place for them.
func (i *Instance) URL() string {
	u := url.URL{Scheme: i.protocol.scheme, Host: i.Addr}
	if i.TLS != nil {
		u.Scheme = i.protocol.secure
	}
	if i.Password != "" && !i.protocol.userless {
		u.User = url.UserPassword(i.Username, i.Password)
	}
	return u.String() + i.protocol.path
}

// Exec runs a command inside the broker's container, as the broker's user, and returns what it printed:
// rabbitmqctl, for one, can do to a server what no client can. A command that fails is an error.
func (i *Instance) Exec(ctx context.Context, command ...string) (string, error) {
	if i.container == nil {
		return "", ErrNotOurs
	}
	code, reader, err := i.container.Exec(ctx, command, exec.Multiplexed())
	if err != nil {
		return "", fmt.Errorf("%s: %w", command[0], err)
	}
	output, err := io.ReadAll(reader)
	if err != nil {
		return "", fmt.Errorf("%s: %w", command[0], err)
	}
	if code != 0 {
		return "", fmt.Errorf("%s ended with code %d: %s", command[0], code, output)
	}
	return string(output), nil
}

// useTLS notes what a client of a server with certificates of a needs. mutual is for a server that asks
// for the client's.
func (i *Instance) useTLS(a *authority, mutual bool) {
	if a == nil {
		return
	}
	i.TLS = a.client
	if mutual {
		i.TLS = a.mutual
	}
	i.CA, i.Certificate, i.Key = a.certificate, a.clientCertificate, a.clientKey
}

// Stop asks the broker to shut down and returns when it has, which keeps everything it was told.
func (i *Instance) Stop(ctx context.Context) error {
	if i.container == nil {
		return ErrNotOurs
	}
	return i.container.Stop(ctx, nil)
}

// Start starts a broker that was stopped or killed, on the same data and address, and returns when it
// answers.
func (i *Instance) Start(ctx context.Context) error {
	if i.container == nil {
		return ErrNotOurs
	}
	return i.container.Start(ctx)
}

// Restart is Stop followed by Start.
func (i *Instance) Restart(ctx context.Context) error {
	if err := i.Stop(ctx); err != nil {
		return err
	}
	return i.Start(ctx)
}

// Kill ends the broker with SIGKILL, as a crash of its process does, and returns when it is gone. What
// it had acknowledged without syncing survives, since the system goes on; Start brings it back.
func (i *Instance) Kill(ctx context.Context) error {
	if i.container == nil {
		return ErrNotOurs
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the wait when the kill fails
	id := i.container.GetContainerID()
	gone := i.engine.docker().ContainerWait(ctx, id, client.ContainerWaitOptions{Condition: container.WaitConditionNotRunning})
	if _, err := i.engine.docker().ContainerKill(ctx, id, client.ContainerKillOptions{Signal: "SIGKILL"}); err != nil {
		return fmt.Errorf("kill %s: %w", i.Name, err)
	}
	select {
	case err := <-gone.Error:
		return fmt.Errorf("wait for the end of %s: %w", i.Name, err)
	case <-gone.Result:
		return nil
	}
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
	if i.container == nil {
		return ErrNotOurs
	}
	_, err := i.engine.docker().ContainerPause(ctx, i.container.GetContainerID(), client.ContainerPauseOptions{})
	return err
}

// Unpause lets a frozen broker go on.
func (i *Instance) Unpause(ctx context.Context) error {
	if i.container == nil {
		return ErrNotOurs
	}
	_, err := i.engine.docker().ContainerUnpause(ctx, i.container.GetContainerID(), client.ContainerUnpauseOptions{})
	return err
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

// remove removes the broker and its data for good.
func (i *Instance) remove(ctx context.Context) error {
	if i.container == nil {
		return nil
	}
	return i.engine.remove(ctx, i.container.GetContainerID())
}
