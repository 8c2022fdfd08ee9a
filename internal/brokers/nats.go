package brokers

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"testing"

	"github.com/moby/moby/api/types/container"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/testcontainers/testcontainers-go"
)

// natsPort is the port inside the container.
const natsPort = 4222

var (
	// natsProtocol is for servers with JetStream, which are ready when that is.
	natsProtocol = protocol{scheme: "nats", secure: "tls", greet: greetJetStream}
	// coreProtocol is for servers that are ready without it.
	coreProtocol = protocol{scheme: "nats", secure: "tls", greet: greetNATS}
)

// NATS returns a server of version v that all tests of the binary share, with JetStream on files and no
// authentication. With BATCH_TEST_NATS_URL set it returns that server, whatever v is.
func NATS(t testing.TB, v Version) *Instance {
	t.Helper()
	return share(t, "nats "+string(v), func(e *engine) (*Instance, error) {
		return startNATS(e, v, natsOptions{})
	}, func() (*Instance, error) { return given("nats", "4222", natsProtocol) })
}

// NewNATS starts a server of version v for this test alone and removes it when the test ends. args are
// added to the server's command line. BATCH_TEST_NATS_URL does not count here.
func NewNATS(t testing.TB, v Version, args ...string) *Instance {
	t.Helper()
	return own(t, func(e *engine) (*Instance, error) {
		return startNATS(e, v, natsOptions{args: args})
	})
}

// NATSWithoutJetStream returns a shared server of version v that has JetStream switched off.
func NATSWithoutJetStream(t testing.TB, v Version) *Instance {
	t.Helper()
	return share(t, "nats without JetStream "+string(v), func(e *engine) (*Instance, error) {
		return startNATS(e, v, natsOptions{core: true})
	}, nil)
}

// NATSTLS returns a shared server of version v that speaks nothing but TLS, and only to clients that
// show a certificate, the one in TLS, and know Username and Password.
func NATSTLS(t testing.TB, v Version) *Instance {
	t.Helper()
	return share(t, "nats with TLS "+string(v), func(e *engine) (*Instance, error) {
		return startNATSTLS(e, v)
	}, nil)
}

// NewNATSTLS starts a server as NATSTLS does, for this test alone.
func NewNATSTLS(t testing.TB, v Version) *Instance {
	t.Helper()
	return own(t, func(e *engine) (*Instance, error) { return startNATSTLS(e, v) })
}

// NATSVersions returns the versions that there are, oldest first: every row of the family, or one when
// BATCH_TEST_NATS_URL or BATCH_TEST_NATS_IMAGE says which broker to use.
func NATSVersions() []Version {
	return versions("nats", NATS29, NATS212, NATS2)
}

// natsOptions says how a server differs from the plain one.
type natsOptions struct {
	args      []string // added to the command line
	core      bool     // without JetStream
	username  string
	password  string
	authority *authority // set when args make the server speak TLS
}

func startNATSTLS(e *engine, v Version) (*Instance, error) {
	a, err := newAuthority()
	if err != nil {
		return nil, err
	}
	username, password := "batch", rand.Text()
	return startNATS(e, v, natsOptions{
		username:  username,
		password:  password,
		authority: a,
		args: []string{
			"--user", username, "--pass", password,
			"--tlsverify", "--tlscacert", authorityFile, "--tlscert", certificateFile, "--tlskey", keyFile,
		},
	})
}

// startNATS starts a server in a container of its own, published on a free port.
func startNATS(e *engine, v Version, o natsOptions) (*Instance, error) {
	return start(e, v, func(ctx context.Context, r row, image string, port int) (*Instance, error) {
		i := &Instance{
			Image: image, Addr: hostPort(port), protocol: natsProtocol,
			Username: o.username, Password: o.password,
		}
		if o.core {
			i.protocol = coreProtocol
		}
		i.useTLS(o.authority, true)
		request := o.request(r)
		request.ExposedPorts, request.HostConfigModifier = publish(map[int]int{natsPort: port})
		return i, i.run(ctx, e, request)
	})
}

// request returns what to run for a row, but for the network.
func (o natsOptions) request(r row) testcontainers.ContainerRequest {
	command := r.command
	if o.core {
		command = command[:1]
	}
	return testcontainers.ContainerRequest{
		Cmd:   slices.Concat(command, o.args),
		Files: o.authority.files(),
		// The engine makes this directory, where the server keeps its streams.
		ConfigModifier: func(c *container.Config) { c.WorkingDir = "/data" },
	}
}

// greetNATS opens a connection.
func greetNATS(ctx context.Context, i *Instance) (name, version string, err error) {
	conn, err := dialNATS(i)
	if err != nil {
		return "", "", err
	}
	defer conn.Close()
	return "nats", conn.ConnectedServerVersion(), nil
}

// greetJetStream also asks for the account, which JetStream answers when it has recovered its streams.
func greetJetStream(ctx context.Context, i *Instance) (name, version string, err error) {
	conn, err := dialNATS(i)
	if err != nil {
		return "", "", err
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return "", "", err
	}
	if _, err := js.AccountInfo(ctx); err != nil {
		return "", "", fmt.Errorf("ask for the JetStream account: %w", err)
	}
	return "nats", conn.ConnectedServerVersion(), nil
}

// dialNATS connects once: the waiting is done by who calls.
func dialNATS(i *Instance) (*nats.Conn, error) {
	options := []nats.Option{nats.NoReconnect(), nats.Timeout(exchangeTimeout)}
	if i.TLS != nil {
		options = append(options, nats.Secure(i.TLS))
	}
	return nats.Connect(i.URL(), options...)
}
