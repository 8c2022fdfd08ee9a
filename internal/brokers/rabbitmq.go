package brokers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/testcontainers/testcontainers-go"
)

// The ports inside the container.
const (
	amqpPort  = 5672
	amqpsPort = 5671
)

// rabbitmqFile is the configuration inside the container. Official images read their own files too.
const rabbitmqFile = "/etc/batch-rabbitmq.conf"

var rabbitmqProtocol = protocol{scheme: "amqp", secure: "amqps", greet: greetRabbitMQ}

// RabbitMQ returns a server of version v that all tests of the binary share, with the user guest, who
// may do everything, and no plug-ins. With BATCH_TEST_RABBITMQ_URL set it returns that server, whatever
// v is.
func RabbitMQ(t testing.TB, v Version) *Instance {
	t.Helper()
	return share(t, "rabbitmq "+string(v), func(e *engine) (*Instance, error) {
		return startRabbitMQ(e, v, rabbitmqOptions{})
	}, func() (*Instance, error) { return given("rabbitmq", "5672", rabbitmqProtocol) })
}

// NewRabbitMQ starts a server of version v for this test alone and removes it when the test ends. Each
// of settings is a line for rabbitmq.conf. BATCH_TEST_RABBITMQ_URL does not count here.
func NewRabbitMQ(t testing.TB, v Version, settings ...string) *Instance {
	t.Helper()
	return own(t, func(e *engine) (*Instance, error) {
		return startRabbitMQ(e, v, rabbitmqOptions{settings: settings})
	})
}

// RabbitMQTLS returns a shared server of version v that speaks nothing but TLS, and only to clients that
// show a certificate: the one in TLS, which is in Certificate and Key as well.
func RabbitMQTLS(t testing.TB, v Version) *Instance {
	t.Helper()
	return share(t, "rabbitmq with TLS "+string(v), func(e *engine) (*Instance, error) {
		return startRabbitMQTLS(e, v)
	}, nil)
}

// NewRabbitMQTLS starts a server as RabbitMQTLS does, for this test alone.
func NewRabbitMQTLS(t testing.TB, v Version) *Instance {
	t.Helper()
	return own(t, func(e *engine) (*Instance, error) { return startRabbitMQTLS(e, v) })
}

// RabbitMQVersions returns the versions that a driver's tests run against, oldest first: every row of
// the family, or one when BATCH_TEST_RABBITMQ_URL or BATCH_TEST_RABBITMQ_IMAGE says which broker to use.
func RabbitMQVersions() []Version {
	return versions("rabbitmq", RabbitMQ3, RabbitMQ40, RabbitMQ4)
}

// rabbitmqOptions says how a server differs from the plain one.
type rabbitmqOptions struct {
	settings  []string   // lines of its configuration
	authority *authority // set when settings make the server speak TLS
}

func startRabbitMQTLS(e *engine, v Version) (*Instance, error) {
	a, err := newAuthority()
	if err != nil {
		return nil, err
	}
	return startRabbitMQ(e, v, rabbitmqOptions{
		authority: a,
		settings: []string{
			"listeners.tcp = none",
			fmt.Sprintf("listeners.ssl.default = %d", amqpsPort),
			"ssl_options.cacertfile = " + authorityFile,
			"ssl_options.certfile = " + certificateFile,
			"ssl_options.keyfile = " + keyFile,
			"ssl_options.verify = verify_peer",
			"ssl_options.fail_if_no_peer_cert = true",
		},
	})
}

// startRabbitMQ starts a server in a container of its own, published on a free port.
func startRabbitMQ(e *engine, v Version, o rabbitmqOptions) (*Instance, error) {
	inside := amqpPort
	if o.authority != nil {
		inside = amqpsPort
	}
	return start(e, v, func(ctx context.Context, r row, image string, port int) (*Instance, error) {
		i := &Instance{
			Image: image, Addr: hostPort(port), protocol: rabbitmqProtocol,
			Username: "guest", Password: "guest",
		}
		i.useTLS(o.authority, true)
		request := o.request(r)
		request.ExposedPorts, request.HostConfigModifier = publish(map[int]int{inside: port})
		return i, i.run(ctx, e, request)
	})
}

// request returns what to run for a row, but for the network.
func (o rabbitmqOptions) request(r row) testcontainers.ContainerRequest {
	settings := slices.Concat([]string{
		"loopback_users.guest = false", // guest comes from outside the container
		"log.console = true",
		"log.file = false",
	}, o.settings)
	text := func(path, content string) testcontainers.ContainerFile {
		return testcontainers.ContainerFile{Reader: strings.NewReader(content), ContainerFilePath: path, FileMode: 0o644}
	}
	return testcontainers.ContainerRequest{
		// Debian's command in the PATH is a wrapper that does not pass signals on, so a server that it
		// runs cannot be asked to stop.
		Cmd: slices.Concat([]string{"sh", "-c", `PATH="/usr/lib/rabbitmq/bin:$PATH"; exec "$0" "$@"`}, r.command),
		Env: map[string]string{
			"RABBITMQ_CONFIG_FILE": rabbitmqFile,
			// Threads that find no work would spin for a while, and the processors are the tests' as well.
			"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +sbwtdcpu none +sbwtdio none",
			// With this the server is the container's first process and stops at a signal by itself.
			// Otherwise a script stops it with rabbitmqctl, which takes two seconds.
			"RUNNING_UNDER_SYSTEMD": "true",
		},
		Files: slices.Concat([]testcontainers.ContainerFile{
			text(rabbitmqFile, strings.Join(settings, "\n")+"\n"),
			text("/etc/rabbitmq/enabled_plugins", "[].\n"),
		}, o.authority.files()),
		ConfigModifier: func(c *container.Config) { c.User = "rabbitmq" },
	}
}

// greetRabbitMQ opens a connection, which the server lets happen when it is done with starting and its
// virtual host is there.
func greetRabbitMQ(ctx context.Context, i *Instance) (name, version string, err error) {
	dial := func(network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		deadline, ok := ctx.Deadline()
		if !ok {
			deadline = time.Now().Add(exchangeTimeout)
		}
		if err := conn.SetDeadline(deadline); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		return conn, nil
	}
	conn, err := amqp.DialConfig(i.URL(), amqp.Config{Dial: dial, TLSClientConfig: i.TLS})
	if err != nil {
		return "", "", err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	product, _ := conn.Properties["product"].(string)
	version, _ = conn.Properties["version"].(string)
	if product == "" || version == "" {
		return "", "", fmt.Errorf("no product and version in the server's properties %v", conn.Properties)
	}
	return strings.ToLower(product), version, nil
}
