package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/testcontainers/testcontainers-go"

	"github.com/batch-go/batch/internal/brokers/launch"
)

// The ports inside the container.
const (
	natsPort     = 4222
	natsHTTPPort = 8222
)

// natsFile is the configuration inside the container.
const natsFile = "/etc/batch-nats.conf"

// natsOptions says how a server differs from the plain one.
type natsOptions struct {
	command   []string
	args      []string // added to the command line
	config    string   // the text of a configuration file, which the command line wins over
	username  string
	password  string
	authority *authority // set when args make the server speak TLS
}

// startNATS starts a server in a container of its own, published on a free port.
func startNATS(ctx context.Context, e *engine, b launch.Broker) (*server, error) {
	o := natsOptions{command: b.Image.Command, args: b.Args, config: b.Config}
	greet := greetJetStream
	switch {
	case b.Core:
		o.command, greet = o.command[:1], greetNATS
	case b.Config != "":
		greet = greetUnknown
	}
	if b.TLS {
		if err := o.useTLS(); err != nil {
			return nil, err
		}
	}
	return startAlone(ctx, e, b.Image, func(ctx context.Context, image string, port int) (*server, error) {
		s := &server{greet: greet, Server: launch.Server{
			Protocol: launch.NATS, Image: image, Addr: hostPort(port),
			Username: o.username, Password: o.password,
		}}
		s.useTLS(o.authority, true)
		ports := map[int]int{natsPort: port}
		o := o // this may run again
		if b.HTTP {
			if err := s.addHTTP(ports, natsHTTPPort); err != nil {
				return nil, err
			}
			o.args = append(slices.Clip(o.args), "--http_port", strconv.Itoa(natsHTTPPort))
		}
		request := o.request()
		request.ExposedPorts, request.HostConfigModifier = publish(ports)
		return s, s.run(ctx, e, request)
	})
}

// useTLS makes the server speak nothing but TLS, and only to clients that show a certificate and know a
// name and a password.
func (o *natsOptions) useTLS() (err error) {
	if o.authority, err = newAuthority(); err != nil {
		return err
	}
	o.username, o.password = "batch", rand.Text()
	o.args = append(o.args,
		"--user", o.username, "--pass", o.password,
		"--tlsverify", "--tlscacert", authorityFile, "--tlscert", certificateFile, "--tlskey", keyFile,
	)
	return nil
}

// request returns what to run, but for the network.
func (o natsOptions) request() testcontainers.ContainerRequest {
	files := o.authority.files()
	if o.config != "" {
		o.args = slices.Concat([]string{"--config", natsFile}, o.args)
		files = append(files, textFile(natsFile, o.config))
	}
	return testcontainers.ContainerRequest{
		Cmd:   slices.Concat(o.command, o.args),
		Files: files,
		// The engine makes this directory, where the server keeps its streams.
		ConfigModifier: func(c *container.Config) { c.WorkingDir = "/data" },
	}
}

// greetNATS opens a connection.
func greetNATS(ctx context.Context, s *launch.Server) (name, version string, err error) {
	conn, err := dialNATS(s)
	if err != nil {
		return "", "", err
	}
	defer conn.Close()
	return "nats", conn.ConnectedServerVersion(), nil
}

// greetJetStream also asks for the account, which JetStream answers when it has recovered its streams.
func greetJetStream(ctx context.Context, s *launch.Server) (name, version string, err error) {
	conn, err := dialNATS(s)
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

// greetUnknown reads what the server says of itself before a client says who it is: the launcher does
// not know whom a server with a configuration of its own lets in. The server listens for clients when it
// has recovered its streams.
func greetUnknown(ctx context.Context, s *launch.Server) (name, version string, err error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.Addr)
	if err != nil {
		return "", "", err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := conn.SetDeadline(time.Now().Add(exchangeTimeout)); err != nil {
		return "", "", err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return "", "", err
	}
	text, ok := strings.CutPrefix(line, "INFO ")
	if !ok {
		return "", "", fmt.Errorf("the server begins with %q, want INFO", line)
	}
	var info struct{ Version string }
	if err := json.Unmarshal([]byte(text), &info); err != nil {
		return "", "", err
	}
	return "nats", info.Version, nil
}

// dialNATS connects once: the caller waits and tries again.
func dialNATS(s *launch.Server) (*nats.Conn, error) {
	options := []nats.Option{nats.NoReconnect(), nats.Timeout(exchangeTimeout)}
	config, err := s.TLSConfig()
	if err != nil {
		return nil, err
	}
	if config != nil {
		options = append(options, nats.Secure(config))
	}
	return nats.Connect(s.URL(), options...)
}
