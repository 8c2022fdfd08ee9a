package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/testcontainers/testcontainers-go"

	"github.com/batch-go/batch/internal/brokers/launch"
)

// The ports inside the container.
const (
	amqpPort  = 5672
	amqpsPort = 5671
	// managementPort is that of the management plug-in.
	managementPort = 15672
)

// rabbitmqFile is the configuration inside the container. Official images read their own files too.
const rabbitmqFile = "/etc/batch-rabbitmq.conf"

// rabbitmqOptions says how a server differs from the plain one.
type rabbitmqOptions struct {
	command   []string
	settings  []string   // lines of its configuration
	authority *authority // set when settings make the server speak TLS
	plugins   string     // the enabled ones, as Erlang writes lists
}

// startRabbitMQ starts a server in a container of its own, published on a free port.
func startRabbitMQ(ctx context.Context, e *engine, b launch.Broker) (*server, error) {
	inside := amqpPort
	o := rabbitmqOptions{command: b.Image.Command, settings: []string{b.Config}, plugins: "[]"}
	if b.HTTP {
		o.plugins = "[rabbitmq_management]"
	}
	if b.TLS {
		inside = amqpsPort
		if err := o.useTLS(); err != nil {
			return nil, err
		}
	}
	return startAlone(ctx, e, b.Image, func(ctx context.Context, image string, port int) (*server, error) {
		s := &server{greet: greetRabbitMQ, Server: launch.Server{
			Protocol: launch.RabbitMQ, Image: image, Addr: hostPort(port),
			Username: "guest", Password: "guest",
		}}
		s.useTLS(o.authority, true)
		ports := map[int]int{inside: port}
		if b.HTTP {
			if err := s.addHTTP(ports, managementPort); err != nil {
				return nil, err
			}
		}
		request := o.request()
		request.ExposedPorts, request.HostConfigModifier = publish(ports)
		if b.Clock {
			if err := addClock(ctx, &request); err != nil {
				return nil, err
			}
		}
		return s, s.run(ctx, e, request)
	})
}

// useTLS makes the server speak nothing but TLS, and only to clients that show a certificate.
func (o *rabbitmqOptions) useTLS() (err error) {
	if o.authority, err = newAuthority(); err != nil {
		return err
	}
	o.settings = append(o.settings,
		"listeners.tcp = none",
		fmt.Sprintf("listeners.ssl.default = %d", amqpsPort),
		"ssl_options.cacertfile = "+authorityFile,
		"ssl_options.certfile = "+certificateFile,
		"ssl_options.keyfile = "+keyFile,
		"ssl_options.verify = verify_peer",
		"ssl_options.fail_if_no_peer_cert = true",
	)
	return nil
}

// request returns what to run, but for the network.
func (o rabbitmqOptions) request() testcontainers.ContainerRequest {
	settings := slices.Concat([]string{
		"loopback_users.guest = false", // guest comes from outside the container
		"log.console = true",
		"log.file = false",
	}, o.settings)
	return testcontainers.ContainerRequest{
		// Debian's command in the PATH is a wrapper that does not pass signals on, so a server that it
		// runs cannot be asked to stop.
		Cmd: slices.Concat([]string{"sh", "-c", `PATH="/usr/lib/rabbitmq/bin:$PATH"; exec "$0" "$@"`}, o.command),
		Env: map[string]string{
			"RABBITMQ_CONFIG_FILE": rabbitmqFile,
			// Threads that find no work would spin for a while, and the processors are the tests' as well.
			"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +sbwtdcpu none +sbwtdio none",
			// With this the server is the container's first process and stops at a signal by itself.
			// Otherwise a script stops it with rabbitmqctl, which takes two seconds.
			"RUNNING_UNDER_SYSTEMD": "true",
		},
		Files: slices.Concat([]testcontainers.ContainerFile{
			textFile(rabbitmqFile, strings.Join(settings, "\n")+"\n"),
			textFile("/etc/rabbitmq/enabled_plugins", o.plugins+".\n"),
		}, o.authority.files()),
		ConfigModifier: func(c *container.Config) { c.User = "rabbitmq" },
	}
}

// greetRabbitMQ opens a connection, which the server lets happen when it is done with starting and its
// virtual host is there.
func greetRabbitMQ(ctx context.Context, s *launch.Server) (name, version string, err error) {
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
	config, err := s.TLSConfig()
	if err != nil {
		return "", "", err
	}
	conn, err := amqp.DialConfig(s.URL(), amqp.Config{Dial: dial, TLSClientConfig: config})
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
