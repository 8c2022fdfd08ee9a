package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	tclog "github.com/testcontainers/testcontainers-go/log"
)

const (
	// startTimeout bounds the start of one broker. A start takes half a second, or four for RabbitMQ; the
	// rest is for a machine that runs other packages' brokers and the race detector on two cores.
	startTimeout = time.Minute
	// stopTimeout bounds the removal of everything that a launcher started.
	stopTimeout = time.Minute
)

// An engine is the Docker engine as one process uses it.
type engine struct {
	provider *testcontainers.DockerProvider
	owner    owner
	session  string
}

// connect finds the engine. It starts nothing: a broker that fails to start is a test's failure, and
// an engine that cannot be found is a reason to skip.
func connect() (*engine, error) {
	// Read once by testcontainers, at its first use. Set so that a developer's own choice holds.
	if _, set := os.LookupEnv("TESTCONTAINERS_RYUK_DISABLED"); !set {
		if err := os.Setenv("TESTCONTAINERS_RYUK_DISABLED", "true"); err != nil {
			return nil, err
		}
	}
	tclog.SetDefault(tclog.NewNoopLogger())
	provider, err := testcontainers.NewDockerProvider()
	if err != nil {
		return nil, fmt.Errorf("no Docker engine: %w", err)
	}
	// testcontainers goes on looking when nothing answers there. If you name an engine, you mean that one,
	// and the scripts, which go by the docker client, would prepare images on it.
	if host := os.Getenv("DOCKER_HOST"); host != "" && provider.Client().DaemonHost() != host {
		return nil, errors.Join(fmt.Errorf("no Docker engine at DOCKER_HOST=%s", host), provider.Close())
	}
	return &engine{provider: provider, owner: currentOwner(), session: rand.Text()}, nil
}

func (e *engine) docker() client.APIClient {
	return e.provider.Client()
}

// disconnect drops the connections to the engine.
func (e *engine) disconnect() error {
	return e.provider.Close()
}

// close removes every container of the session and disconnects. It goes by the label: the id of a
// container whose start was cut off may not be known.
func (e *engine) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	list, err := e.list(ctx, labelSession+"="+e.session)
	errs := []error{err}
	for _, c := range list {
		errs = append(errs, e.remove(ctx, c.ID))
	}
	return errors.Join(append(errs, e.disconnect())...)
}

// list returns the containers with a label, running or not.
func (e *engine) list(ctx context.Context, label string) ([]container.Summary, error) {
	list, err := e.docker().ContainerList(ctx, client.ContainerListOptions{
		All:     true,
		Filters: client.Filters{}.Add("label", label),
	})
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	return list.Items, nil
}

// remove kills a container and removes it with its volumes. A container that is gone is no error.
func (e *engine) remove(ctx context.Context, id string) error {
	_, err := e.docker().ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	if err != nil && !errdefs.IsNotFound(err) && !errdefs.IsConflict(err) {
		return fmt.Errorf("remove container %.12s: %w", id, err)
	}
	return nil
}

// run creates a container, starts it and waits for what the request waits for. A container that fails
// to start is removed, and the end of its log is in the error.
func (e *engine) run(ctx context.Context, request testcontainers.ContainerRequest) (testcontainers.Container, error) {
	request.Labels = e.owner.labels(e.session)
	c, err := e.provider.CreateContainer(ctx, request)
	if err == nil {
		err = c.Start(ctx)
	}
	if err == nil {
		return c, nil
	}
	err = fmt.Errorf("start %s: %w", request.Image, err)
	if c != nil {
		// Its own context: the usual reason to be here is that ctx has ended.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		err = errors.Join(err, logTail(ctx, c), e.remove(ctx, c.GetContainerID()))
	}
	return nil, err
}

// textFile returns a file for a container, which everyone there may read.
func textFile(path, content string) testcontainers.ContainerFile {
	return testcontainers.ContainerFile{Reader: strings.NewReader(content), ContainerFilePath: path, FileMode: 0o644}
}

// logTail returns the last lines of a container's log, as an error to join to another one.
func logTail(ctx context.Context, c testcontainers.Container) error {
	const lines = 20
	logs, err := c.Logs(ctx)
	if err != nil {
		return nil // a container that never started has no log
	}
	text, err := io.ReadAll(logs)
	if err := errors.Join(err, logs.Close()); err != nil {
		return err
	}
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	return fmt.Errorf("its log ends:\n%s", strings.Join(all[max(0, len(all)-lines):], "\n"))
}
