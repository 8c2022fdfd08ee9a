package main

import (
	"context"
	"crypto/sha256"
	_ "embed" // for postgresqlInit
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/moby/moby/api/types/container"
	"github.com/testcontainers/testcontainers-go"

	"github.com/batch-go/batch/internal/brokers/launch"
)

// postgresqlPort is the port inside a container of its own.
const postgresqlPort = 5432

// The superuser and the database are both called postgresqlName. The password is no secret: ports are
// published on the loopback interface alone.
const (
	postgresqlName     = "batch"
	postgresqlPassword = "only-for-tests"
)

// Where a server finds its configuration inside the container, and where it keeps its data: not in the
// folder that official images make a volume of.
const (
	postgresqlFile   = "/etc/batch-postgresql.conf"
	postgresqlHBA    = "/etc/batch-pg_hba.conf"
	postgresqlScript = "/etc/batch-postgresql-init.sh"
	postgresqlData   = "/var/lib/postgresql/batch"
	postgresqlKey    = postgresqlData + "/server.key"
)

// postgresqlInit makes the data of a server.
//
//go:embed postgresql/init.sh
var postgresqlInit string

// postgresqlTemplate is a folder with what postgresqlInit has made, in images that are built here. The
// name is that of no other version of it.
func postgresqlTemplate() string {
	sum := sha256.Sum256([]byte(postgresqlInit))
	return postgresqlData + "-" + hex.EncodeToString(sum[:])[:12]
}

// postgresqlStart is what a container runs, with the command to run in the end, the script that makes the
// data at the first start, and the folder of the template. The programs of Debian's packages are in a
// folder for each version; other images have them in the PATH. The server takes no key but its own.
const postgresqlStart = `set -e
for bin in /usr/lib/postgresql/*/bin; do PATH="$bin:$PATH"; done
template="$1"; shift
[ -s "$PGDATA/PG_VERSION" ] || . ` + postgresqlScript + `
[ ! -e ` + keyFile + ` ] || (umask 077; cat ` + keyFile + ` >` + postgresqlKey + `)
exec "$@"`

// postgresqlCopy is in front of postgresqlInit.
const postgresqlCopy = `if [ -d "$template" ]; then cp -a "$template" "$PGDATA"; return; fi
`

// postgresqlOptions says how a server differs from the plain one.
type postgresqlOptions struct {
	command   []string
	port      int        // that the server listens on
	init      string     // a script that makes the data, with the template in $template
	settings  string     // lines of its configuration, which win over those before them
	hba       string     // who may connect from elsewhere
	authority *authority // set when settings make the server speak TLS
}

// newPostgreSQLOptions returns the options of a plain server.
func newPostgreSQLOptions(b launch.Broker) postgresqlOptions {
	return postgresqlOptions{
		command:  b.Image.Command,
		port:     postgresqlPort,
		init:     postgresqlCopy + postgresqlInit,
		settings: b.Config,
		hba:      "host all all all scram-sha-256",
	}
}

// startPostgreSQL starts a server in a container of its own, published on a free port.
func startPostgreSQL(ctx context.Context, e *engine, b launch.Broker) (*server, error) {
	o := newPostgreSQLOptions(b)
	if b.TLS {
		if err := o.useTLS(); err != nil {
			return nil, err
		}
	}
	return startAlone(ctx, e, b.Image, func(ctx context.Context, image string, port int) (*server, error) {
		s := o.server(port)
		s.Image = image
		s.useTLS(o.authority, true)
		request := o.request()
		request.ExposedPorts, request.HostConfigModifier = publish(map[int]int{o.port: port})
		if b.Clock {
			if err := addClock(ctx, &request); err != nil {
				return nil, err
			}
		}
		return s, s.run(ctx, e, request)
	})
}

// server is what clients see of it at a port of this machine.
func (o postgresqlOptions) server(port int) *server {
	return &server{greet: greetPostgreSQL, Server: launch.Server{
		Protocol: launch.PostgreSQL, Addr: hostPort(port), Path: "/" + postgresqlName,
		Username: postgresqlName, Password: postgresqlPassword,
	}}
}

// useTLS makes the server speak nothing but TLS, and only to clients that show a certificate and know
// the password.
func (o *postgresqlOptions) useTLS() (err error) {
	if o.authority, err = newAuthority(); err != nil {
		return err
	}
	o.settings = strings.Join([]string{
		"ssl = on",
		"ssl_ca_file = '" + authorityFile + "'",
		"ssl_cert_file = '" + certificateFile + "'",
		"ssl_key_file = '" + postgresqlKey + "'",
		o.settings,
	}, "\n")
	o.hba = "hostssl all all all scram-sha-256 clientcert=verify-ca"
	return nil
}

// request returns what to run, but for the network. Its environment is also that of psql, by Exec.
func (o postgresqlOptions) request() testcontainers.ContainerRequest {
	settings := fmt.Sprintf(`listen_addresses = '*'
port = %d
unix_socket_directories = '/tmp'
hba_file = '%s'
max_connections = 200
%s
`, o.port, postgresqlHBA, o.settings)
	// From outside nobody comes from the loopback interface: the engine passes connections on from an
	// address of its own.
	hba := "local all all trust\nhost replication all 127.0.0.1/32 scram-sha-256\n" + o.hba + "\n"
	return testcontainers.ContainerRequest{
		Cmd: slices.Concat([]string{"sh", "-c", postgresqlStart, "sh", postgresqlTemplate()}, o.command, []string{"-c", "config_file=" + postgresqlFile}),
		Env: map[string]string{
			"PGDATA":     postgresqlData,
			"PGHOST":     "/tmp",
			"PGPORT":     strconv.Itoa(o.port),
			"PGUSER":     postgresqlName,
			"PGDATABASE": postgresqlName,
		},
		Files: slices.Concat([]testcontainers.ContainerFile{
			textFile(postgresqlFile, settings),
			textFile(postgresqlHBA, hba),
			textFile(postgresqlScript, o.init),
		}, o.authority.files()),
		ConfigModifier: func(c *container.Config) {
			c.User = "postgres"
			c.StopSignal = "SIGINT" // at SIGTERM it would wait until all clients have gone
		},
	}
}

// greetPostgreSQL asks for the version, which a server answers when it has recovered its data.
func greetPostgreSQL(ctx context.Context, s *launch.Server) (name, version string, err error) {
	text, err := askPostgreSQL(ctx, s, "SELECT current_setting('server_version')")
	if err != nil {
		return "", "", err
	}
	// Debian adds the version of its package.
	version, _, _ = strings.Cut(text, " ")
	return "postgresql", version, nil
}

// askPostgreSQL sends a query on a connection of its own, and returns the first value of the answer.
func askPostgreSQL(ctx context.Context, s *launch.Server, query string) (value string, err error) {
	ctx, cancel := context.WithTimeout(ctx, exchangeTimeout)
	defer cancel()
	config, err := pgconn.ParseConfig(s.URL())
	if err != nil {
		return "", err
	}
	if s.Secure {
		if config.TLSConfig, err = s.TLSConfig(); err != nil {
			return "", err
		}
		config.Fallbacks = nil
	}
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	results, err := conn.Exec(ctx, query).ReadAll()
	if err != nil {
		return "", fmt.Errorf("%s: %w", query, err)
	}
	if len(results) == 0 || len(results[0].Rows) == 0 {
		return "", fmt.Errorf("%s: no rows", query)
	}
	return string(results[0].Rows[0][0]), nil
}
