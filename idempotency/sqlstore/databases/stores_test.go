package databases

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mysqldriver "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/lib/pq"
	_ "modernc.org/sqlite"

	"github.com/batch-go/batch/idempotency"
	"github.com/batch-go/batch/idempotency/sqlstore"
	"github.com/batch-go/batch/idempotency/storetest"
	"github.com/batch-go/batch/internal/brokers"
)

func TestMain(m *testing.M) {
	brokers.AtOnce(8)
	brokers.Main(m)
}

// bound is how long a test waits for what should come at once.
const bound = 20 * time.Second

// database is one of those that the tests run on.
type database struct {
	name    string
	dialect sqlstore.Dialect
	// open opens the database with further parameters of the client's, the same at each call within one test.
	open func(t *testing.T, parameters string) *sql.DB
	// shared is set if the database's clock is not that of this process.
	shared bool
	// newest is set for the newest version of each dialect, by one of its drivers.
	newest bool
}

// databases are all of them.
func databases() []database {
	all := []database{
		{name: "sqlite", dialect: sqlstore.SQLite, newest: true, open: openSQLite},
	}
	versions := brokers.PostgreSQLVersions()
	for i, v := range versions {
		all = append(all, database{name: string(v), dialect: sqlstore.PostgreSQL, shared: true, newest: i == len(versions)-1, open: func(t *testing.T, parameters string) *sql.DB {
			return openAt(t, "pgx", brokers.PostgreSQL(t, v).URL(), parameters)
		}})
		if i == len(versions)-1 {
			all = append(all, database{name: string(v) + "-pq", dialect: sqlstore.PostgreSQL, shared: true, open: func(t *testing.T, parameters string) *sql.DB {
				return openAt(t, "postgres", brokers.PostgreSQL(t, v).URL(), strings.TrimSuffix("sslmode=disable&"+parameters, "&"))
			}})
		}
	}
	for _, v := range brokers.MariaDBVersions() {
		all = append(all, database{name: string(v), dialect: sqlstore.MySQL, shared: true, newest: true, open: func(t *testing.T, parameters string) *sql.DB {
			server := brokers.MariaDB(t, v)
			c := mysqldriver.NewConfig()
			c.User, c.Passwd, c.Net, c.Addr, c.DBName = server.Username, server.Password, "tcp", server.Addr, server.Path[1:]
			return openAt(t, "mysql", c.FormatDSN(), parameters)
		}})
	}
	return all
}

// openAt opens a database at an address.
func openAt(t *testing.T, driver, address, parameters string) *sql.DB {
	t.Helper()
	if parameters != "" {
		mark := "?"
		if strings.Contains(address, mark) {
			mark = "&"
		}
		address += mark + parameters
	}
	db, err := sql.Open(driver, address)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(16)
	db.SetMaxIdleConns(16)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close the database: %v", err)
		}
	})
	return db
}

// openSQLite opens a file of the test's own.
func openSQLite(t *testing.T, parameters string) *sql.DB {
	t.Helper()
	return openAt(t, "sqlite", "file:"+filepath.Join(t.TempDir(), "keys.db")+"?_pragma=journal_mode(WAL)&_pragma=busy_timeout(20000)", parameters)
}

// tableOf is a name for the table of a test.
func tableOf(t *testing.T) sqlstore.Option {
	return sqlstore.Table(fmt.Sprintf("keys_%d", time.Now().UnixNano()))
}

// newStore makes a store with a table, whose cleaning must not fail.
func newStore(t *testing.T, db *sql.DB, dialect sqlstore.Dialect, options ...sqlstore.Option) *sqlstore.Store {
	t.Helper()
	options = append([]sqlstore.Option{sqlstore.OnFault(func(err error) { t.Errorf("a fault: %v", err) })}, options...)
	store, err := sqlstore.New(db, dialect, options...)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return store
}

// each runs a test on every database, each with a table of its own.
func each(t *testing.T, test func(t *testing.T, d database, db *sql.DB, store *sqlstore.Store)) {
	for _, d := range databases() {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			db := d.open(t, "")
			test(t, d, db, newStore(t, db, d.dialect, tableOf(t)))
		})
	}
}

func TestStore(t *testing.T) {
	for _, d := range databases() {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			db := d.open(t, "")
			table := tableOf(t)
			newStore(t, db, d.dialect, table)
			if !d.shared {
				storetest.Run(t, func(t *testing.T) idempotency.Store { return newStore(t, db, d.dialect, table) })
				return
			}
			storetest.RunShared(t, func(t *testing.T) idempotency.Store { return newStore(t, d.open(t, ""), d.dialect, table) })
		})
	}
}

// begin fails the test unless the key is in the state that is wanted.
func begin(t *testing.T, store idempotency.Store, key string, ttl time.Duration, want idempotency.State) idempotency.Claim {
	t.Helper()
	claim, state, err := store.Begin(t.Context(), key, ttl)
	if err != nil || state != want {
		t.Fatalf("the key %s is %s, want %s; error %v", key, state, want, err)
	}
	return claim
}

// limited is a context that ends when a test has waited for too long.
func limited(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	t.Cleanup(cancel)
	return ctx
}
