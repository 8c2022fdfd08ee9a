package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/batch-go/batch/internal/brokers"
)

func TestPostgreSQLServesEveryVersion(t *testing.T) {
	want := map[brokers.Version]string{brokers.PostgreSQL15: "postgresql 15.", brokers.PostgreSQL17: "postgresql 17."}
	overridden := len(brokers.PostgreSQLVersions()) != len(want)
	for _, v := range brokers.PostgreSQLVersions() {
		t.Run(string(v), func(t *testing.T) {
			t.Parallel()
			i := brokers.PostgreSQL(t, v)
			if !overridden && !strings.HasPrefix(i.String(), want[v]) {
				t.Errorf("got %s, want %s", i, want[v])
			}
			conn := postgresqlConn(t, i)
			setRow(t, conn, "value")
			if got := rowOf(t, conn); got != "value" {
				t.Errorf("got %q, want %q", got, "value")
			}
			if i.Ours() {
				for query, want := range map[string]string{
					"SHOW fsync":                             "on",
					"SHOW synchronous_commit":                "on",
					"SHOW max_connections":                   "200",
					"SHOW server_encoding":                   "UTF8",
					"SELECT current_database()":              "batch",
					"SELECT current_setting('is_superuser')": "on",
				} {
					if got := ask(t, conn, query); got != want {
						t.Errorf("%s: %q, want %q", query, got, want)
					}
				}
			}
			if again := brokers.PostgreSQL(t, v); again != i {
				t.Errorf("a second call started another server: %s and %s", i.Addr, again.Addr)
			}
		})
	}
}

func TestPostgreSQLRestartKeepsRows(t *testing.T) {
	for _, v := range []brokers.Version{brokers.PostgreSQL15, brokers.PostgreSQL17} {
		t.Run(string(v), func(t *testing.T) {
			t.Parallel()
			i := brokers.NewPostgreSQL(t, v)
			ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
			defer cancel()
			for _, fault := range restarts(ctx, i) {
				setRow(t, postgresqlConn(t, i), fault.name)
				if err := fault.do(); err != nil {
					t.Fatalf("%s: %v", fault.name, err)
				}
				if got := rowOf(t, postgresqlConn(t, i)); got != fault.name {
					t.Errorf("after %s: got %q", fault.name, got)
				}
			}
		})
	}
}

// Of a server that waits for its clients, the engine would make an end after ten seconds.
func TestPostgreSQLStopsAtOnce(t *testing.T) {
	t.Parallel()
	i := brokers.NewPostgreSQL(t, brokers.PostgreSQL17)
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	conn := postgresqlConn(t, i)
	setRow(t, conn, "value")
	if _, err := conn.Exec(ctx, "BEGIN"); err != nil {
		t.Fatal(err)
	}
	short, cancelShort := context.WithTimeout(ctx, 9*time.Second)
	defer cancelShort()
	if err := i.Stop(short); err != nil {
		t.Fatalf("stop while a client has a transaction: %v", err)
	}
	if err := i.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if got := rowOf(t, postgresqlConn(t, i)); got != "value" {
		t.Errorf("got %q", got)
	}
}

func TestPostgreSQLSettingsAndCommands(t *testing.T) {
	t.Parallel()
	i := brokers.NewPostgreSQL(t, brokers.PostgreSQL17, "max_connections=20", "work_mem=5MB")
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	conn := postgresqlConn(t, i)
	if got := ask(t, conn, "SHOW max_connections"); got != "20" {
		t.Errorf("the server takes %s connections, want the 20 of its settings", got)
	}
	output, err := i.Exec(ctx, "psql", "-c", "ALTER SYSTEM SET work_mem='7MB'", "-c", "SELECT pg_reload_conf()")
	if err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	err = await(ctx, func(context.Context) error {
		if got := ask(t, conn, "SHOW work_mem"); got != "7MB" {
			return errors.New("work_mem is " + got)
		}
		return nil
	})
	if err != nil {
		t.Errorf("after ALTER SYSTEM: %v", err)
	}
}

func TestPostgreSQLTLSAsksForACertificateAndAPassword(t *testing.T) {
	t.Parallel()
	i := brokers.PostgreSQLTLS(t, brokers.PostgreSQL17)
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	setRow(t, postgresqlConn(t, i), "value")

	wrong := map[string]func(*pgx.ConnConfig){
		"without TLS":           func(c *pgx.ConnConfig) { c.TLSConfig = nil },
		"without a certificate": func(c *pgx.ConnConfig) { c.TLSConfig.Certificates = nil },
		"without the password":  func(c *pgx.ConnConfig) { c.Password = "another" },
	}
	const notAllowed, wrongPassword = "28000", "28P01"
	for name, change := range wrong {
		config := postgresqlConfig(t, i)
		change(config)
		conn, err := pgx.ConnectConfig(ctx, config)
		if err == nil {
			t.Errorf("a client %s was let in: %v", name, conn.Close(ctx))
			continue
		}
		var refused *pgconn.PgError
		if !errors.As(err, &refused) || refused.Code != notAllowed && refused.Code != wrongPassword {
			t.Errorf("connect %s = %v, want that the server refuses", name, err)
		}
	}
}

func TestPostgreSQLStandbyFollows(t *testing.T) {
	for _, v := range []brokers.Version{brokers.PostgreSQL15, brokers.PostgreSQL17} {
		t.Run(string(v), func(t *testing.T) {
			t.Parallel()
			pair := brokers.NewPostgreSQLReplica(t, v)
			ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
			defer cancel()
			setRow(t, postgresqlConn(t, pair.Primary), "before")
			if err := pair.Await(ctx); err != nil {
				t.Fatal(err)
			}
			standby := postgresqlConn(t, pair.Standby)
			if got := rowOf(t, standby); got != "before" {
				t.Errorf("the standby has %q", got)
			}
			if got := ask(t, standby, "SELECT pg_is_in_recovery()::text"); got != "true" {
				t.Errorf("the standby says that it is one: %s", got)
			}
			const readOnly = "25006"
			var refused *pgconn.PgError
			if _, err := standby.Exec(ctx, "CREATE TABLE other ()"); !errors.As(err, &refused) || refused.Code != readOnly {
				t.Errorf("write to the standby = %v, want %s", err, readOnly)
			}
			if err := pair.Primary.Crash(ctx); err != nil {
				t.Fatal(err)
			}
			setRow(t, postgresqlConn(t, pair.Primary), "after")
			if err := pair.Await(ctx); err != nil {
				t.Fatal(err)
			}
			if got := rowOf(t, standby); got != "after" {
				t.Errorf("when the primary has come back, the standby has %q", got)
			}
			if err := pair.Standby.Restart(ctx); err != nil {
				t.Fatal(err)
			}
			if err := pair.Await(ctx); err != nil {
				t.Errorf("after a restart of the standby: %v", err)
			}
		})
	}
}

func TestPostgreSQLClock(t *testing.T) {
	t.Parallel()
	i := brokers.NewPostgreSQLClock(t, brokers.PostgreSQL17)
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	conn := postgresqlConn(t, i)
	if err := i.SetClock(ctx, time.Hour, 0); err != nil {
		t.Fatal(err)
	}
	var now time.Time
	if err := conn.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&now); err != nil {
		t.Fatal(err)
	}
	if ahead := time.Until(now); ahead < 50*time.Minute || ahead > 70*time.Minute {
		t.Errorf("the server's time is ahead by %v, want an hour", ahead)
	}
}

// postgresqlConfig is how to connect to i.
func postgresqlConfig(t *testing.T, i *brokers.Instance) *pgx.ConnConfig {
	t.Helper()
	config, err := pgx.ParseConfig(i.URL())
	if err != nil {
		t.Fatal(err)
	}
	if i.TLS != nil {
		config.TLSConfig, config.Fallbacks = i.TLS.Clone(), nil
	}
	// A pool knows no prepared statements.
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	return config
}

// postgresqlConn returns a connection to i that is closed when the test ends.
func postgresqlConn(t *testing.T, i *brokers.Instance) *pgx.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, postgresqlConfig(t, i))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) }) // its server may be gone
	return conn
}

// ask returns the answer to a query that has one value.
func ask(t *testing.T, conn *pgx.Conn, query string) (value string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	if err := conn.QueryRow(ctx, query).Scan(&value); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return value
}

// table names a table after the test.
func table(t *testing.T) string { return pgx.Identifier{t.Name()}.Sanitize() }

// setRow makes body the one row of the test's table.
func setRow(t *testing.T, conn *pgx.Conn, body string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	statements := []string{
		"CREATE TABLE IF NOT EXISTS " + table(t) + " (body text)",
		"DELETE FROM " + table(t),
		"INSERT INTO " + table(t) + " VALUES ('" + body + "')",
	}
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// rowOf returns the one row of the test's table.
func rowOf(t *testing.T, conn *pgx.Conn) string {
	t.Helper()
	return ask(t, conn, "SELECT body FROM "+table(t))
}
