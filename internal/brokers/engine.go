package brokers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	tclog "github.com/testcontainers/testcontainers-go/log"
)

const (
	// startTimeout bounds the start of one broker. A start takes half a second, or four
	// for RabbitMQ; the rest is for a
	// machine that runs other packages' brokers and the race detector on two cores.
	startTimeout = time.Minute
	// imageTimeout bounds the building of an image, which takes a minute with a near mirror.
	imageTimeout = 10 * time.Minute
	// stopTimeout bounds the removal of everything that a test binary started.
	stopTimeout = time.Minute
)

// An engine is the Docker engine as one process uses it.
type engine struct {
	provider *testcontainers.DockerProvider
	owner    owner
	session  string
	reaper   *reaper

	mu sync.Mutex
	// guards following
	containers map[string]bool // ids of containers not removed yet
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
	// testcontainers goes on looking when nothing answers there. Whoever names an engine means that one,
	// and the scripts, which go by the docker client, would prepare images on it.
	if host := os.Getenv("DOCKER_HOST"); host != "" && provider.Client().DaemonHost() != host {
		return nil, errors.Join(fmt.Errorf("no Docker engine at DOCKER_HOST=%s", host), provider.Close())
	}
	return &engine{
		provider:   provider,
		owner:      currentOwner(),
		session:    newSessionID(),
		containers: make(map[string]bool),
	}, nil
}

// open is connect for tests that are about to start brokers: it also sweeps, and starts the reaper.
func open() (*engine, error) {
	e, err := connect()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if _, err := e.sweep(ctx); err != nil {
		return nil, errors.Join(err, e.disconnect())
	}
	if e.reaper, err = startReaper(labelSession+"="+e.session, e.docker().DaemonHost()); err != nil {
		return nil, errors.Join(err, e.disconnect())
	}
	return e, nil
}

func (e *engine) docker() client.APIClient {
	return e.provider.Client()
}

// disconnect drops the connections to the engine, whose goroutines would outlive the tests.
func (e *engine) disconnect() error {
	return e.provider.Close()
}

// close removes every container that is left and disconnects.
func (e *engine) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	e.mu.Lock()
	var ids []string
	for id := range e.containers {
		ids = append(ids, id)
	}
	e.mu.Unlock()
	var errs []error
	for _, id := range ids {
		errs = append(errs, e.remove(ctx, id))
	}
	return errors.Join(append(errs, e.reaper.stop(), e.disconnect())...)
}

// remove kills a container and removes it with its volumes. A container that is gone is no error.
func (e *engine) remove(ctx context.Context, id string) error {
	_, err := e.docker().ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	if err != nil && !errdefs.IsNotFound(err) && !errdefs.IsConflict(err) {
		return fmt.Errorf("remove container %.12s: %w", id, err)
	}
	e.mu.Lock()
	delete(e.containers, id)
	e.mu.Unlock()
	return nil
}

// run creates a container, starts it and waits for what the request waits for. A container that fails
// to start is removed, and the end of its log is in the error.
func (e *engine) run(ctx context.Context, request testcontainers.ContainerRequest) (testcontainers.Container, error) {
	request.Labels = e.owner.labels(e.session)
	c, err := e.provider.CreateContainer(ctx, request)
	if c != nil {
		e.mu.Lock()
		e.containers[c.GetContainerID()] = true
		e.mu.Unlock()
	}
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

// image returns the image to use for a row: the override, the official one, or its stand-in, which is
// built first when it is missing.
func (e *engine) image(r row) (string, error) {
	if image := os.Getenv(r.override("IMAGE")); image != "" {
		return image, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), imageTimeout)
	defer cancel()
	rows, err := parseRows(imagesText)
	if err != nil {
		return "", err
	}
	for _, image := range []string{r.official, standIn(rows, r)} {
		_, err := e.docker().ImageInspect(ctx, image)
		if err == nil {
			return image, nil
		}
		if !errdefs.IsNotFound(err) {
			return "", fmt.Errorf("look for image %s: %w", image, err)
		}
	}
	return makeImage(ctx, r.version)
}

// makeImage has scripts/broker-images.sh pull or build the image of v.
func makeImage(ctx context.Context, v Version) (string, error) {
	script, err := findUp(filepath.Join("scripts", "broker-images.sh"))
	if err != nil {
		return "", err
	}
	var stdout, stderr bytes.Buffer
	command := exec.CommandContext(ctx, "bash", script, string(v))
	command.Stdout, command.Stderr = &stdout, &stderr
	command.WaitDelay = time.Second
	if err := command.Run(); err != nil {
		return "", fmt.Errorf("no image for %s: %w\n%s", v, err, stderr.String())
	}
	image, ok := strings.CutPrefix(strings.TrimSpace(stdout.String()), string(v)+" ")
	if !ok {
		return "", fmt.Errorf("%s printed %q, want %q and an image", script, stdout.String(), v)
	}
	return image, nil
}

// findUp looks for a path in the working directory and those above it. Tests run in their package's
// directory, which may belong to a nested module, so the first go.mod is not the place to stop.
func findUp(path string) (string, error) {
	directory, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		candidate := filepath.Join(directory, path)
		if _, err := os.Stat(candidate); err == nil {
			return candidate, nil
		}
		parent := filepath.Dir(directory)
		if parent == directory {
			return "", fmt.Errorf("no %s in the working directory or above it", path)
		}
		directory = parent
	}
}
