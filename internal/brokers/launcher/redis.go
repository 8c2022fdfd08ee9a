package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/moby/moby/api/types/container"
	"github.com/testcontainers/testcontainers-go"

	"github.com/batch-go/batch/internal/brokers/launch"
)

// redisPort is the port inside the container.
const redisPort = 6379

// redisOptions says how a server differs from the plain one.
type redisOptions struct {
	command   []string // what is run
	args      []string // added to the command line, where they win over what stands before them
	files     []testcontainers.ContainerFile
	password  string
	authority *authority // set when args make the server speak TLS
}

// request returns what to run, but for the network.
func (o redisOptions) request() testcontainers.ContainerRequest {
	return testcontainers.ContainerRequest{
		Cmd:   slices.Concat(o.command, o.args),
		Files: slices.Concat(o.files, o.authority.files()),
		// Official images declare this directory for data; in the others the engine makes it.
		ConfigModifier: func(c *container.Config) { c.WorkingDir = "/data" },
	}
}

// startRedis starts a server in a container of its own, published on a free port.
func startRedis(ctx context.Context, e *engine, b launch.Broker) (*server, error) {
	o := redisOptions{command: b.Image.Command, args: b.Args}
	if b.TLS {
		if err := o.useTLS(); err != nil {
			return nil, err
		}
	}
	return startAlone(ctx, e, b.Image, func(ctx context.Context, image string, port int) (*server, error) {
		s := &server{greet: greetRedis, Server: launch.Server{
			Protocol: launch.Redis, Image: image, Addr: hostPort(port), Password: o.password,
		}}
		s.useTLS(o.authority, false)
		request := o.request()
		request.ExposedPorts, request.HostConfigModifier = publish(map[int]int{redisPort: port})
		if b.Clock {
			if err := addClock(ctx, &request); err != nil {
				return nil, err
			}
		}
		return s, s.run(ctx, e, request)
	})
}

// useTLS makes the server speak nothing but TLS, and ask for a password, which is made up anew in every
// run.
func (o *redisOptions) useTLS() (err error) {
	if o.authority, err = newAuthority(); err != nil {
		return err
	}
	o.password = rand.Text()
	o.args = slices.Concat([]string{
		"--port", "0",
		"--tls-port", strconv.Itoa(redisPort),
		"--tls-ca-cert-file", authorityFile,
		"--tls-cert-file", certificateFile,
		"--tls-key-file", keyFile,
		"--tls-auth-clients", "no",
		"--requirepass", o.password,
	}, o.args)
	return nil
}

// addRedis starts a server of the Redis family in the pod.
func (p *pod) addRedis(ctx context.Context, port int, o redisOptions) (*server, error) {
	if o.command == nil {
		o.command = p.command
	}
	o.command = slices.Concat(o.command, []string{"--port", strconv.Itoa(port)})
	s := &server{greet: greetRedis, Server: launch.Server{Protocol: launch.Redis, Addr: hostPort(port)}}
	return p.add(ctx, s, o.request())
}

// askRedis sends one command on a connection of its own.
func askRedis(ctx context.Context, s *launch.Server, args ...string) (reply string, err error) {
	c, err := dialRESP(ctx, s)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	return c.do(ctx, args...)
}

// greetRedis sends PING, which a server refuses while it loads its data, and asks for name and version.
// Valkey reports a redis_version as well, of the Redis that it is compatible with.
func greetRedis(ctx context.Context, s *launch.Server) (name, version string, err error) {
	reply, err := askRedis(ctx, s, "PING")
	if err != nil {
		return "", "", err
	}
	if reply != "PONG" {
		return "", "", fmt.Errorf("PING: reply %q", reply)
	}
	info, err := askRedis(ctx, s, "INFO", "server")
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
