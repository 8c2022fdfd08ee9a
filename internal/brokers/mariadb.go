package brokers

import (
	"testing"

	"github.com/batch-go/batch/internal/brokers/launch"
)

// MariaDB returns a server of version v that all tests of the binary share, with a user who may do
// everything and an empty database, both called batch: tests tell their tables apart by a prefix. With
// BATCH_TEST_MARIADB_URL set, as mysql://user:password@host:port/database, it returns that server,
// which may be MySQL too, whatever v is. Its URL has that form, which no client takes: Addr, Username,
// Password, Path and Query are its parts.
func MariaDB(t testing.TB, v Version) *Instance {
	t.Helper()
	return share(t, "mariadb "+string(v), func(l *launcher) (*Instance, error) {
		return l.launchOne(v, launch.Broker{Kind: launch.OneMariaDB})
	}, func() (*Instance, error) { return given("mariadb", "3306", launch.MariaDB) })
}

// NewMariaDB starts a server of version v for this test alone and removes it when the test ends. args
// are added to the server's command line and win over the defaults. BATCH_TEST_MARIADB_URL does not
// count here.
func NewMariaDB(t testing.TB, v Version, args ...string) *Instance {
	t.Helper()
	return own(t, func(l *launcher) (*Instance, error) {
		return l.launchOne(v, launch.Broker{Kind: launch.OneMariaDB, Args: args})
	})
}

// MariaDBVersions returns the versions that there are: every row of the family, or one when
// BATCH_TEST_MARIADB_URL or BATCH_TEST_MARIADB_IMAGE says which server to use.
func MariaDBVersions() []Version {
	return versions("mariadb", MariaDB11)
}
