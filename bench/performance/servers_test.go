package performance

import (
	"context"
	"os/exec"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	goredis "github.com/redis/go-redis/v9"

	"github.com/batch-go/batch/internal/brokers"

	"github.com/batch-go/batch/bench/performance/peer"
	"github.com/batch-go/batch/bench/performance/peers"
)

// A server is where a broker's peers are measured.
type server struct {
	name    string // and version
	place   peer.Place
	process string                      // a PID in its container
	sql     bool                        // whether it is PostgreSQL
	clear   func(context.Context) error // removes what a peer has left; nil where peers leave nothing
	// databases is for the one peer that needs its own server; nil elsewhere.
	databases *server
}

// start starts the server of a broker.
func start(t *testing.T, broker string) *server {
	t.Helper()
	switch broker {
	case peer.Redis:
		s := of(t, brokers.Redis(t, brokers.Redis8))
		client := goredis.NewClient(&goredis.Options{Addr: s.place.Addr})
		t.Cleanup(func() { _ = client.Close() }) // its server goes too
		s.clear = func(ctx context.Context) error { return client.FlushAll(ctx).Err() }
		return s
	case peer.RabbitMQ:
		return of(t, brokers.RabbitMQ(t, brokers.RabbitMQ4))
	case peer.NATS:
		return of(t, brokers.NATS(t, brokers.NATS2))
	case peer.SQS:
		i := brokers.SQS(t)
		s := of(t, i)
		s.place.User, s.place.Password, s.place.Region = i.Username, i.Password, brokers.SQSRegion
		return s
	case peer.Postgres:
		s := startPostgres(t)
		s.place.Sync = true
		return s
	}
	db := startPostgres(t)
	s := &server{name: "JetStream in the process, SQLite in the process, " + db.name, databases: db}
	s.place.Sync = broker == peer.Synced
	db.place.Sync = s.place.Sync
	return s
}

// of makes a server of an instance.
func of(t *testing.T, i *brokers.Instance) *server {
	t.Helper()
	s := &server{name: i.Name + " " + i.Version, place: peer.Place{URL: i.URL(), Addr: i.Addr}}
	if i.Ours() {
		s.process = processOf(t, i.ID)
	}
	return s
}

// processOf is the PID of a container's first process, or empty where nobody tells it.
func processOf(t *testing.T, container string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "docker", "inspect", "-f", "{{.State.Pid}}", container).Output()
	if err != nil {
		t.Logf("what the broker uses is not known: %v", err)
		return ""
	}
	return strings.TrimSpace(string(out))
}

// startPostgres starts PostgreSQL, with more memory and more connections than it has in tests.
func startPostgres(t *testing.T) *server {
	t.Helper()
	i := brokers.NewPostgreSQL(t, brokers.PostgreSQL17, "max_connections=300", "shared_buffers=512MB")
	s := of(t, i)
	s.name, s.sql = "PostgreSQL "+i.Version, true
	s.clear = func(ctx context.Context) error {
		_, err := s.query(ctx, "drop schema if exists batch cascade; drop schema public cascade; create schema public; checkpoint")
		return err
	}
	return s
}

// query runs statements on PostgreSQL, and returns the first value of the last, if there is one.
func (s *server) query(ctx context.Context, text string) (string, error) {
	c, err := pgx.Connect(ctx, s.place.URL+"?default_query_exec_mode=simple_protocol")
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close(ctx) }() // what was asked is answered
	results, err := c.PgConn().Exec(ctx, text).ReadAll()
	if err != nil || len(results) == 0 {
		return "", err
	}
	if rows := results[len(results)-1].Rows; len(rows) > 0 {
		return string(rows[0][0]), nil
	}
	return "", nil
}

// at is the server that a peer of the broker uses.
func (s *server) at(row peers.Row) *server {
	if s.databases != nil && strings.Contains(row.Name, "PostgreSQL") {
		return s.databases
	}
	return s
}
