package brokers

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"testing"

	"github.com/moby/moby/api/types/container"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/wait"
)

// redisPort is the port inside the container.
const redisPort = 6379

// Redis returns a server of version v that all tests of the binary share, with an append-only file and
// neither password nor TLS. With BATCH_TEST_REDIS_URL set it returns that server, whatever v is.
func Redis(t testing.TB, v Version) *Instance {
	t.Helper()
	return share(t, "redis "+string(v), func(e *engine) (*Instance, error) {
		return startRedis(e, v, redisOptions{})
	}, givenRedis)
}

// NewRedis starts a server of version v for this test alone and removes it when the test ends. args
// are added to the server's command line and win over the defaults. BATCH_TEST_REDIS_URL does not
// count here: a test that asks for its own server means to stop it, freeze it or configure it.
func NewRedis(t testing.TB, v Version, args ...string) *Instance {
	t.Helper()
	return own(t, func(e *engine) (*Instance, error) {
		return startRedis(e, v, redisOptions{args: args})
	})
}

// RedisVersions returns the versions that a driver's tests run against: every row of the redis family,
// or one when BATCH_TEST_REDIS_URL or BATCH_TEST_REDIS_IMAGE says which broker to use.
func RedisVersions() []Version {
	if os.Getenv("BATCH_TEST_REDIS_URL") != "" || os.Getenv("BATCH_TEST_REDIS_IMAGE") != "" {
		return []Version{Redis8}
	}
	return []Version{Redis7, Redis8, Valkey8}
}

// redisOptions says how a server differs from the plain one.
type redisOptions struct {
	command  []string // instead of the row's command
	args     []string // added to the command line, where they win over what stands before them
	files    []testcontainers.ContainerFile
	username string
	password string
	tls      *tls.Config // set when args make the server speak TLS
}

// commandLine returns what to run for a row; extra stands before the options' own arguments.
func (o redisOptions) commandLine(r row, extra ...string) []string {
	command := r.command
	if o.command != nil {
		command = o.command
	}
	return slices.Concat(command, extra, o.args)
}

// startRedis starts a server in a container of its own, published on a free port.
func startRedis(e *engine, v Version, o redisOptions) (*Instance, error) {
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
		exposed, modifier := publish(map[int]int{redisPort: ports[0]})
		i := &Instance{Image: image, Addr: hostPort(ports[0]), Username: o.username, Password: o.password, TLS: o.tls}
		return i, i.run(ctx, e, testcontainers.ContainerRequest{
			Image:              image,
			Cmd:                o.commandLine(r),
			Files:              o.files,
			ExposedPorts:       exposed,
			HostConfigModifier: modifier,
		})
	})
}

// run starts the instance's container, waits until the server answers and asks what it is.
func (i *Instance) run(ctx context.Context, e *engine, request testcontainers.ContainerRequest) error {
	request.WaitingFor = redisReady{i}
	// Official images declare this directory for data; in the others the engine makes it.
	request.ConfigModifier = func(c *container.Config) { c.WorkingDir = "/data" }
	c, err := e.run(ctx, request)
	if err != nil {
		return err
	}
	i.engine, i.container = e, c
	return i.identify(ctx)
}

// redisReady waits for PONG. A server that accepts connections may still be loading its data, and a
// port may be open before there is a server behind it, so nothing less proves that it works.
type redisReady struct{ instance *Instance }

// WaitUntilReady implements wait.Strategy.
func (r redisReady) WaitUntilReady(ctx context.Context, target wait.StrategyTarget) error {
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

// ping returns nil when the server answers PING with PONG.
func (i *Instance) ping(ctx context.Context) error {
	reply, err := i.ask(ctx, "PING")
	if err == nil && reply != "PONG" {
		err = fmt.Errorf("PING: reply %q", reply)
	}
	return err
}

// ask sends one command on a connection of its own.
func (i *Instance) ask(ctx context.Context, args ...string) (reply string, err error) {
	c, err := dialRESP(ctx, i)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	return c.do(ctx, args...)
}

// identify asks the server for its name and version. Valkey reports a redis_version as well, of the
// Redis that it is compatible with.
func (i *Instance) identify(ctx context.Context) error {
	info, err := i.ask(ctx, "INFO", "server")
	if err != nil {
		return err
	}
	i.Name, i.Version = "valkey", infoField(info, "valkey_version")
	if i.Version == "" {
		i.Name, i.Version = "redis", infoField(info, "redis_version")
	}
	if i.Version == "" {
		return errors.New("INFO server: neither valkey_version nor redis_version in the reply")
	}
	return nil
}

// givenRedis returns the server that BATCH_TEST_REDIS_URL names, or nil when it is not set.
func givenRedis() (*Instance, error) {
	text := os.Getenv("BATCH_TEST_REDIS_URL")
	if text == "" {
		return nil, nil
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("BATCH_TEST_REDIS_URL: %w", err)
	}
	if u.Host == "" || u.Scheme != "redis" && u.Scheme != "rediss" {
		return nil, fmt.Errorf("BATCH_TEST_REDIS_URL is %q, want redis://host:port or rediss://host:port", u.Redacted())
	}
	i := &Instance{Addr: u.Host, Username: u.User.Username()}
	if u.Port() == "" {
		i.Addr = net.JoinHostPort(u.Hostname(), "6379")
	}
	i.Password, _ = u.User.Password()
	if u.Scheme == "rediss" {
		i.TLS = &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12}
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if err := i.identify(ctx); err != nil {
		return nil, fmt.Errorf("BATCH_TEST_REDIS_URL: %w", err)
	}
	return i, nil
}
