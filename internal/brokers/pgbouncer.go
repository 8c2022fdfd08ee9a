package brokers

import (
	"strings"
	"testing"

	"github.com/batch-go/batch/internal/brokers/launch"
)

// A Pooler is PgBouncer in front of a PostgreSQL: clients that connect to the one share connections of
// the other, each for a transaction at a time. So nothing that belongs to a session, such as LISTEN, a
// SET or an advisory lock, lasts longer.
type Pooler struct {
	Pool     *Instance // PgBouncer; has the user, the password and the database of Database
	Database *Instance // the server behind it

	*group
}

// behind says which PostgreSQL is behind a PgBouncer: the one that is as old.
var behind = map[Version]Version{PgBouncer118: PostgreSQL15, PgBouncer1: PostgreSQL17}

// NewPgBouncer starts a PgBouncer of version v, in transaction mode, and a PostgreSQL of the same age,
// for this test alone, which may stop or freeze each. Each of settings is a line for the section
// [pgbouncer] of its configuration. The default is that of PgBouncer, but that it takes 1000 clients.
// BATCH_TEST_POSTGRES_URL does not count here.
func NewPgBouncer(t testing.TB, v Version, settings ...string) *Pooler {
	t.Helper()
	return own(t, func(l *launcher) (*Pooler, error) {
		back, err := rowOf(behind[v])
		if err != nil {
			return nil, err
		}
		b := launch.Broker{Kind: launch.PgBouncer, Config: strings.Join(settings, "\n")}
		if b.Back, err = back.image(); err != nil {
			return nil, err
		}
		g, err := l.launch(v, b)
		if err != nil {
			return nil, err
		}
		return &Pooler{Database: g.nodes[0], Pool: g.nodes[1], group: g}, nil
	})
}

// PgBouncerVersions returns the versions that there are, oldest first: every row of the family, or one
// when BATCH_TEST_PGBOUNCER_IMAGE says which to use.
func PgBouncerVersions() []Version {
	return versions("pgbouncer", PgBouncer118, PgBouncer1)
}

// String says what the two are, in the form of the report.
func (p *Pooler) String() string {
	return p.describe("what is behind " + p.Pool.String())
}
