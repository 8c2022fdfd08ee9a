package brokers

import (
	"context"
	"strings"
	"testing"

	"github.com/batch-go/batch/internal/brokers/launch"
)

// PostgreSQL returns a server of version v that all tests of the binary share, with a superuser and an
// empty database, both called batch: tests tell what they make there apart by schemas of their own. A
// password is asked for, and there is no TLS. It takes 200 connections, which the tests share as well.
// With BATCH_TEST_POSTGRES_URL set it returns that server, whatever v is.
func PostgreSQL(t testing.TB, v Version) *Instance {
	t.Helper()
	return share(t, "postgresql "+string(v), func(l *launcher) (*Instance, error) {
		return l.launchOne(v, launch.Broker{Kind: launch.OnePostgreSQL})
	}, func() (*Instance, error) { return given("postgres", "5432", launch.PostgreSQL) })
}

// NewPostgreSQL starts a server as PostgreSQL does, for this test alone, and removes it when the test
// ends. Each of settings is a line of postgresql.conf, such as "max_connections=20", and wins over the
// default; ALTER SYSTEM wins over both. What it has acknowledged survives its end, as by default.
// BATCH_TEST_POSTGRES_URL does not count here.
func NewPostgreSQL(t testing.TB, v Version, settings ...string) *Instance {
	t.Helper()
	return own(t, func(l *launcher) (*Instance, error) {
		return l.launchOne(v, launch.Broker{Kind: launch.OnePostgreSQL, Config: strings.Join(settings, "\n")})
	})
}

// OwnOrPostgreSQL is NewPostgreSQL, or the server that BATCH_TEST_POSTGRES_URL names: one that is
// not [Instance.Ours], which the test must not disturb, and which has settings of its own.
func OwnOrPostgreSQL(t testing.TB, v Version, settings ...string) *Instance {
	t.Helper()
	return orGiven(t, "postgres", "5432", launch.PostgreSQL, func() *Instance { return NewPostgreSQL(t, v, settings...) })
}

// PostgreSQLTLS returns a shared server of version v that speaks nothing but TLS, and only to clients
// that show a certificate, the one in TLS, and know Username and Password. Its URL does not say so:
// whatever a client needs of CA, Certificate and Key, a test adds as that client wants it.
func PostgreSQLTLS(t testing.TB, v Version) *Instance {
	t.Helper()
	return share(t, "postgresql with TLS "+string(v), func(l *launcher) (*Instance, error) {
		return l.launchOne(v, launch.Broker{Kind: launch.OnePostgreSQL, TLS: true})
	}, nil)
}

// NewPostgreSQLTLS starts a server as PostgreSQLTLS does, for this test alone.
func NewPostgreSQLTLS(t testing.TB, v Version) *Instance {
	t.Helper()
	return own(t, func(l *launcher) (*Instance, error) {
		return l.launchOne(v, launch.Broker{Kind: launch.OnePostgreSQL, TLS: true})
	})
}

// PostgreSQLVersions returns the versions that a driver's tests run against, oldest first: every row of
// the family, or one when BATCH_TEST_POSTGRES_URL or BATCH_TEST_POSTGRES_IMAGE says which server to use.
func PostgreSQLVersions() []Version {
	return versions("postgres", PostgreSQL15, PostgreSQL17)
}

// A PostgreSQLReplica is a server of PostgreSQL with a hot standby, which follows it and answers what
// does not write. Nothing makes the standby the primary but the command pg_ctl promote.
type PostgreSQLReplica struct {
	Primary *Instance
	Standby *Instance

	*group
}

// NewPostgreSQLReplica starts the two for this test alone, which may stop or freeze each. They have the
// same user, password and database. The standby follows by itself, asynchronously; settings are those
// of both.
func NewPostgreSQLReplica(t testing.TB, v Version, settings ...string) *PostgreSQLReplica {
	t.Helper()
	return own(t, func(l *launcher) (*PostgreSQLReplica, error) {
		g, err := l.launch(v, launch.Broker{Kind: launch.PostgreSQLs, Config: strings.Join(settings, "\n")})
		if err != nil {
			return nil, err
		}
		return &PostgreSQLReplica{Primary: g.nodes[0], Standby: g.nodes[1], group: g}, nil
	})
}

// Await returns when queries of the standby see what the primary has committed before the call, or ctx
// ends.
func (r *PostgreSQLReplica) Await(ctx context.Context) error {
	return r.await(ctx)
}

// String says what the two are, in the form of the report.
func (r *PostgreSQLReplica) String() string {
	return r.describe("primary and standby")
}
