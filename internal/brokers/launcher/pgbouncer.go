package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/testcontainers/testcontainers-go"

	"github.com/batch-go/batch/internal/brokers/launch"
)

// Where PgBouncer finds its configuration and its users, inside its container.
const (
	pgbouncerFile  = "/etc/batch-pgbouncer.ini"
	pgbouncerUsers = "/etc/batch-pgbouncer-users.txt"
)

// A pooled is a PostgreSQL with PgBouncer in front of it. Its pod has them in this order.
type pooled struct {
	*pod
}

func startPgBouncer(ctx context.Context, e *engine, b launch.Broker) (*pooled, error) {
	image, err := e.image(ctx, b.Image)
	if err != nil {
		return nil, err
	}
	o := newPostgreSQLOptions(launch.Broker{Image: b.Back})
	p, err := startPod(ctx, e, b.Back, 2, func(ctx context.Context, p *pod, ports []int) error {
		database, pool := ports[0], ports[1]
		if _, err := p.addPostgreSQL(ctx, database, o); err != nil {
			return err
		}
		s := o.server(pool)
		s.Image, s.greet = image, greetPgBouncer
		_, err := p.add(ctx, s, pgbouncerRequest(b, database, pool))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("start a pool: %w", err)
	}
	return &pooled{p}, nil
}

// pgbouncerRequest returns what to run, but for the network: a pool at one port for the database at the
// other.
func pgbouncerRequest(b launch.Broker, database, pool int) testcontainers.ContainerRequest {
	// By default there is a socket in a folder that images need not have. Of 100 clients, the default, a
	// test of one driver may use half. For the version a client has to ask as an administrator.
	configuration := fmt.Sprintf(`[databases]
* = host=127.0.0.1 port=%d
[pgbouncer]
listen_addr = *
listen_port = %d
unix_socket_dir =
pool_mode = transaction
auth_type = scram-sha-256
auth_file = %s
admin_users = %s
max_client_conn = 1000
%s
`, database, pool, pgbouncerUsers, postgresqlName, b.Config)
	return testcontainers.ContainerRequest{
		// The entry point of the official image writes a configuration of its own.
		Entrypoint: b.Image.Command,
		Cmd:        []string{pgbouncerFile},
		Files: []testcontainers.ContainerFile{
			textFile(pgbouncerFile, configuration),
			textFile(pgbouncerUsers, fmt.Sprintf("%q %q\n", postgresqlName, postgresqlPassword)),
		},
		ConfigModifier: func(c *container.Config) {
			c.User = "65534"        // anybody but root, and not by name, which differs from image to image
			c.StopSignal = "SIGINT" // at SIGTERM newer ones would wait until all clients have gone
		},
	}
}

// greetPgBouncer sends a query to the database behind, and asks the pool for its version.
func greetPgBouncer(ctx context.Context, s *launch.Server) (name, version string, err error) {
	if _, err := askPostgreSQL(ctx, s, "SELECT 1"); err != nil {
		return "", "", err
	}
	console := *s
	console.Path = "/pgbouncer"
	text, err := askPostgreSQL(ctx, &console, "SHOW VERSION")
	if err != nil {
		return "", "", err
	}
	name, version, _ = strings.Cut(text, " ")
	return strings.ToLower(name), version, nil
}
