package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-sql-driver/mysql"
	"github.com/moby/moby/api/types/container"
	"github.com/testcontainers/testcontainers-go"

	"github.com/batch-go/batch/internal/brokers/launch"
)

// mariadbPort is the port inside the container.
const mariadbPort = 3306

// mariadbFile has the statements that the server runs whenever it starts, before it lets clients in.
const mariadbFile = "/etc/batch-mariadb.sql"

// mariadbScript makes the data at the first start, not in the folder that official images make a volume
// of. No configuration of the image is read: official ones and Debian's differ.
const mariadbScript = `set -e; data=/var/lib/batch-mariadb
if [ ! -d "$data/mysql" ]; then
	mariadb-install-db --no-defaults --user=root --datadir="$data" --auth-root-authentication-method=normal --skip-test-db >/dev/null
fi
command="$1"; shift
exec "$command" --no-defaults --user=root --datadir="$data" "$@"`

// startMariaDB starts a server in a container of its own, published on a free port.
func startMariaDB(ctx context.Context, e *engine, b launch.Broker) (*server, error) {
	password := rand.Text()
	return startAlone(ctx, e, b.Image, func(ctx context.Context, image string, port int) (*server, error) {
		s := &server{greet: greetMariaDB, Server: launch.Server{
			Protocol: launch.MariaDB, Image: image, Addr: hostPort(port), Path: "/batch",
			Username: "batch", Password: password,
		}}
		request := mariadbRequest(b, password)
		request.ExposedPorts, request.HostConfigModifier = publish(map[int]int{mariadbPort: port})
		return s, s.run(ctx, e, request)
	})
}

// mariadbRequest returns what to run, but for the network.
func mariadbRequest(b launch.Broker, password string) testcontainers.ContainerRequest {
	statements := fmt.Sprintf(`CREATE DATABASE IF NOT EXISTS batch;
CREATE USER IF NOT EXISTS batch@'%%' IDENTIFIED BY '%s';
GRANT ALL ON *.* TO batch@'%%' WITH GRANT OPTION;
`, password)
	defaults := []string{
		"--init-file=" + mariadbFile,
		fmt.Sprint("--port=", mariadbPort),
		"--socket=/tmp/mariadb.sock",
		"--skip-name-resolve",
		"--max-connections=200",
	}
	return testcontainers.ContainerRequest{
		Cmd:            slices.Concat([]string{"sh", "-c", mariadbScript, "sh"}, b.Image.Command, defaults, b.Args),
		Files:          []testcontainers.ContainerFile{textFile(mariadbFile, statements)},
		ConfigModifier: func(c *container.Config) { c.User = "root" },
	}
}

// greetMariaDB asks for the version.
func greetMariaDB(ctx context.Context, s *launch.Server) (name, version string, err error) {
	config, err := mysql.ParseDSN("tcp(" + s.Addr + ")" + cmp.Or(s.Path, "/") + "?" + s.Query)
	if err != nil {
		return "", "", err
	}
	config.User, config.Passwd = s.Username, s.Password
	config.Timeout, config.ReadTimeout, config.WriteTimeout = exchangeTimeout, exchangeTimeout, exchangeTimeout
	config.Logger = &mysql.NopLogger{} // what it would tell is in the error
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return "", "", err
	}
	db := sql.OpenDB(connector)
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.QueryRowContext(ctx, "SELECT VERSION()").Scan(&version); err != nil {
		return "", "", err
	}
	version, kind, _ := strings.Cut(version, "-")
	if strings.HasPrefix(kind, "MariaDB") {
		return "mariadb", version, nil
	}
	return "mysql", version, nil
}
