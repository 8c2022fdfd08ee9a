package brokers

import (
	"context"
	"fmt"
	"time"

	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/wait"
)

// exchangeTimeout bounds one exchange with a server that accepts connections and does not answer, such
// as a frozen one. Servers here answer within milliseconds; the rest is for a busy machine.
const exchangeTimeout = 2 * time.Second

// A protocol is how brokers of a family are addressed, and asked whether they work and what they are.
type protocol struct {
	scheme string // of URLs
	secure string // of URLs when the broker speaks TLS
	path   string // of URLs, escaped
	// userless marks a URL that has no place for the name and the password.
	userless bool
	// greet does what a client does first, on a connection of its own, and returns what the server says
	// it is. An error means that the server is not ready for work. A port may be open before there is a
	// server behind it, and a server may accept connections while it is still loading its data, so
	// nothing less proves that it works.
	greet func(context.Context, *Instance) (name, version string, err error)
}

// start starts a broker of version v in a container of its own: it finds the image and a free port for
// run, which it calls again with another port when that one was taken meanwhile.
func start(e *engine, v Version, run func(ctx context.Context, r row, image string, port int) (*Instance, error)) (*Instance, error) {
	r, err := rowOf(v)
	if err != nil {
		return nil, err
	}
	image, err := e.image(r)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	return withFreePorts(1, func(ports []int) (*Instance, error) {
		return run(ctx, r, image, ports[0])
	})
}

// run starts the instance's container, waits until the server answers and asks what it is.
func (i *Instance) run(ctx context.Context, e *engine, request testcontainers.ContainerRequest) error {
	request.Image = i.Image
	request.WaitingFor = ready{i}
	c, err := e.run(ctx, request)
	if err != nil {
		return err
	}
	i.engine, i.container = e, c
	return i.identify(ctx)
}

// ready waits for the answer to a greeting.
type ready struct{ instance *Instance }

// WaitUntilReady implements wait.Strategy.
func (r ready) WaitUntilReady(ctx context.Context, target wait.StrategyTarget) error {
	return await(ctx, func(ctx context.Context) error {
		err := r.instance.ping(ctx)
		if err == nil {
			return nil
		}
		if state, stateErr := target.State(ctx); stateErr == nil && !state.Running {
			return fmt.Errorf("%w: the container ended with code %d", errHopeless, state.ExitCode)
		}
		return err
	})
}

// ping returns nil when the server is ready for work.
func (i *Instance) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, exchangeTimeout)
	defer cancel()
	_, _, err := i.protocol.greet(ctx, i)
	return err
}

// identify asks the server for its name and version.
func (i *Instance) identify(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, exchangeTimeout)
	defer cancel()
	i.Name, i.Version, err = i.protocol.greet(ctx, i)
	return err
}
