package main

import (
	"context"
	"database/sql"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/batch-go/batch/internal/brokers"
)

func TestMariaDBServesEveryVersion(t *testing.T) {
	for _, v := range brokers.MariaDBVersions() {
		t.Run(string(v), func(t *testing.T) {
			t.Parallel()
			i := brokers.MariaDB(t, v)
			if i.Ours() && !strings.HasPrefix(i.String(), "mariadb 11.") {
				t.Errorf("got %s, want mariadb 11.", i)
			}
			db := mariadbClient(t, i)
			storeRow(t, db, "value")
			if got := storedRow(t, db); got != "value" {
				t.Errorf("got %q, want %q", got, "value")
			}
			if again := brokers.MariaDB(t, v); again != i {
				t.Errorf("a second call started another server: %s and %s", i.Addr, again.Addr)
			}
		})
	}
}

func TestMariaDBRestartKeepsRows(t *testing.T) {
	t.Parallel()
	i := brokers.NewMariaDB(t, brokers.MariaDB11, "--max-connections=20")
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	var name, connections string
	if err := mariadbClient(t, i).QueryRowContext(ctx, "SHOW VARIABLES LIKE 'max_connections'").Scan(&name, &connections); err != nil || connections != "20" {
		t.Errorf("the server takes %q connections, %v, want the 20 of its settings", connections, err)
	}
	for _, fault := range restarts(ctx, i) {
		storeRow(t, mariadbClient(t, i), fault.name)
		if err := fault.do(); err != nil {
			t.Fatalf("%s: %v", fault.name, err)
		}
		if got := storedRow(t, mariadbClient(t, i)); got != fault.name {
			t.Errorf("after %s: got %q", fault.name, got)
		}
	}
}

// mariadbClient returns a client of i that is closed when the test ends.
func mariadbClient(t *testing.T, i *brokers.Instance) *sql.DB {
	t.Helper()
	config := mysql.NewConfig()
	config.Net, config.Addr, config.DBName = "tcp", i.Addr, strings.TrimPrefix(i.Path, "/")
	config.User, config.Passwd = i.Username, i.Password
	connector, err := mysql.NewConnector(config)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	t.Cleanup(func() { closeClient(t, db) })
	return db
}

// mariadbTable names a table after the test.
func mariadbTable(t *testing.T) string { return "`" + t.Name() + "`" }

// storeRow makes body the one row of the test's table.
func storeRow(t *testing.T, db *sql.DB, body string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	statements := []string{
		"CREATE TABLE IF NOT EXISTS " + mariadbTable(t) + " (body text)",
		"DELETE FROM " + mariadbTable(t),
		"INSERT INTO " + mariadbTable(t) + " VALUES ('" + body + "')",
	}
	for _, statement := range statements {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// storedRow returns the one row of the test's table.
func storedRow(t *testing.T, db *sql.DB) (body string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	if err := db.QueryRowContext(ctx, "SELECT body FROM "+mariadbTable(t)).Scan(&body); err != nil {
		t.Fatal(err)
	}
	return body
}
