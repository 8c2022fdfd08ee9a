package main

import (
	"context"
	"fmt"
	"io"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/exec"

	"github.com/batch-go/batch/internal/brokers/launch"
)

// A greeting does what a client does first, on a connection of its own, and returns what the server
// says it is. An error means that the server is not ready for work. A port may be open before there is
// a server behind it, and a server may accept connections while it is still loading its data, so
// nothing less proves that it works.
type greeting func(context.Context, *launch.Server) (name, version string, err error)

// A server is one that runs in a container.
type server struct {
	launch.Server
	greet     greeting
	engine    *engine
	container testcontainers.Container
}

// id is that of the container.
func (s *server) id() string { return s.ID }

// members is the server alone: it is a broker.
func (s *server) members() []*server { return []*server{s} }

// useTLS notes what a client of a server with certificates of a needs. mutual is for a server that asks
// for the client's.
func (s *server) useTLS(a *authority, mutual bool) {
	if a == nil {
		return
	}
	s.Secure, s.Mutual, s.Host = true, mutual, a.host
	s.CA, s.Certificate, s.Key = a.certificate, a.clientCertificate, a.clientKey
}

// addHTTP adds the port of the server's HTTP API to those that are published.
func (s *server) addHTTP(ports map[int]int, inside int) error {
	outside, err := freePort()
	if err != nil {
		return err
	}
	ports[inside], s.HTTP = outside, hostPort(outside)
	return nil
}

// exec runs a command inside the broker's container, as the broker's user, and returns what it printed:
// rabbitmqctl, for one, can do to a server what no client can. A command that fails is an error.
func (s *server) exec(ctx context.Context, command []string) (string, error) {
	code, reader, err := s.container.Exec(ctx, command, exec.Multiplexed())
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

// stop asks the broker to shut down and returns when it has, which keeps everything it was told.
func (s *server) stop(ctx context.Context) error {
	return s.container.Stop(ctx, nil)
}

// start starts a broker that was stopped or killed, on the same data and address, and returns when it
// answers.
func (s *server) start(ctx context.Context) error {
	return s.container.Start(ctx)
}

// kill ends the broker with SIGKILL, as a crash of its process does, and returns when it is gone. What
// it had acknowledged without syncing survives, since the system goes on; start brings it back.
func (s *server) kill(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the wait when the kill fails
	id := s.container.GetContainerID()
	gone := s.engine.docker().ContainerWait(ctx, id, client.ContainerWaitOptions{Condition: container.WaitConditionNotRunning})
	if _, err := s.engine.docker().ContainerKill(ctx, id, client.ContainerKillOptions{Signal: "SIGKILL"}); err != nil {
		return fmt.Errorf("kill %s: %w", s.Name, err)
	}
	select {
	case err := <-gone.Error:
		return fmt.Errorf("wait for the end of %s: %w", s.Name, err)
	case <-gone.Result:
		return nil
	}
}

// pause freezes the broker: connections stay open and nothing answers, as when a machine hangs.
func (s *server) pause(ctx context.Context) error {
	_, err := s.engine.docker().ContainerPause(ctx, s.container.GetContainerID(), client.ContainerPauseOptions{})
	return err
}

// unpause lets a frozen broker go on.
func (s *server) unpause(ctx context.Context) error {
	_, err := s.engine.docker().ContainerUnpause(ctx, s.container.GetContainerID(), client.ContainerUnpauseOptions{})
	return err
}

// remove removes the broker and its data for good.
func (s *server) remove(ctx context.Context) error {
	return s.engine.remove(ctx, s.container.GetContainerID())
}
