package main

import (
	"context"
	"fmt"
	"time"

	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/wait"

	"github.com/batch-go/batch/internal/brokers/launch"
)

// exchangeTimeout bounds one exchange with a server that accepts connections and does not answer, such
// as a frozen one. Servers here answer within milliseconds; the rest is for a busy machine.
const exchangeTimeout = 2 * time.Second

// startAlone starts a server in a container of its own: it finds the image and a free port for run,
// which it calls again with another port when that one was taken meanwhile.
func startAlone(ctx context.Context, e *engine, i launch.Image, run func(ctx context.Context, image string, port int) (*server, error)) (*server, error) {
	image, err := e.image(ctx, i)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return withFreePorts(1, func(ports []int) (*server, error) {
		return run(ctx, image, ports[0])
	})
}

// run starts the server's container, waits until the server answers and asks what it is.
func (s *server) run(ctx context.Context, e *engine, request testcontainers.ContainerRequest) error {
	request.Image = s.Image
	request.WaitingFor = ready{s}
	c, err := e.run(ctx, request)
	if err != nil {
		return err
	}
	s.engine, s.container, s.ID = e, c, c.GetContainerID()
	return s.identify(ctx)
}

// ready waits for the answer to a greeting.
type ready struct{ *server }

// WaitUntilReady implements wait.Strategy.
func (r ready) WaitUntilReady(ctx context.Context, target wait.StrategyTarget) error {
	return await(ctx, func(ctx context.Context) error {
		err := r.ping(ctx)
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
func (s *server) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, exchangeTimeout)
	defer cancel()
	_, _, err := s.greet(ctx, &s.Server)
	return err
}

// identify asks the server for its name and version.
func (s *server) identify(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, exchangeTimeout)
	defer cancel()
	s.Name, s.Version, err = s.greet(ctx, &s.Server)
	return err
}
