package brokers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/moby/moby/api/types/container"
	"github.com/testcontainers/testcontainers-go"
)

// redisPort is the port inside the container.
const redisPort = 6379

var redisProtocol = protocol{scheme: "redis", secure: "rediss", greet: greetRedis}

// Redis returns a server of version v that all tests of the binary share, with an append-only file and
// neither password nor TLS. With BATCH_TEST_REDIS_URL set it returns that server, whatever v is.
func Redis(t testing.TB, v Version) *Instance {
	t.Helper()
	return share(t, "redis "+string(v), func(e *engine) (*Instance, error) {
		return startRedis(e, v, redisOptions{})
	}, func() (*Instance, error) { return given("redis", "6379", redisProtocol) })
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
	return versions("redis", Redis7, Valkey8, Redis8)
}

// redisOptions says how a server differs from the plain one.
type redisOptions struct {
	command   []string // instead of the row's command
	args      []string // added to the command line, where they win over what stands before them
	files     []testcontainers.ContainerFile
	username  string
	password  string
	authority *authority // set when args make the server speak TLS
}

// commandLine returns what to run for a row; extra stands before the options' own arguments.
func (o redisOptions) commandLine(r row, extra ...string) []string {
	command := r.command
	if o.command != nil {
		command = o.command
	}
	return slices.Concat(command, extra, o.args)
}

// request returns what to run for a row, but for the network.
func (o redisOptions) request(r row, extra ...string) testcontainers.ContainerRequest {
	return testcontainers.ContainerRequest{
		Cmd:   o.commandLine(r, extra...),
		Files: slices.Concat(o.files, o.authority.files()),
		// Official images declare this directory for data; in the others the engine makes it.
		ConfigModifier: func(c *container.Config) { c.WorkingDir = "/data" },
	}
}

// startRedis starts a server in a container of its own, published on a free port.
func startRedis(e *engine, v Version, o redisOptions) (*Instance, error) {
	return start(e, v, func(ctx context.Context, r row, image string, port int) (*Instance, error) {
		i := &Instance{
			Image: image, Addr: hostPort(port), protocol: redisProtocol,
			Username: o.username, Password: o.password,
		}
		i.useTLS(o.authority, false)
		request := o.request(r)
		request.ExposedPorts, request.HostConfigModifier = publish(map[int]int{redisPort: port})
		return i, i.run(ctx, e, request)
	})
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

// greetRedis sends PING, which a server refuses while it loads its data, and asks for name and version.
// Valkey reports a redis_version as well, of the Redis that it is compatible with.
func greetRedis(ctx context.Context, i *Instance) (name, version string, err error) {
	reply, err := i.ask(ctx, "PING")
	if err != nil {
		return "", "", err
	}
	if reply != "PONG" {
		return "", "", fmt.Errorf("PING: reply %q", reply)
	}
	info, err := i.ask(ctx, "INFO", "server")
	if err != nil {
		return "", "", err
	}
	if version := infoField(info, "valkey_version"); version != "" {
		return "valkey", version, nil
	}
	if version := infoField(info, "redis_version"); version != "" {
		return "redis", version, nil
	}
	return "", "", errors.New("INFO server: neither valkey_version nor redis_version in the reply")
}
