package main

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/batch-go/batch/internal/brokers"
)

func TestPgBouncerSharesConnections(t *testing.T) {
	want := map[brokers.Version]string{brokers.PgBouncer118: "pgbouncer 1.18.", brokers.PgBouncer1: "pgbouncer 1."}
	overridden := len(brokers.PgBouncerVersions()) != len(want)
	for _, v := range brokers.PgBouncerVersions() {
		t.Run(string(v), func(t *testing.T) {
			t.Parallel()
			pooler := brokers.NewPgBouncer(t, v, "default_pool_size = 1")
			if !overridden && !strings.HasPrefix(pooler.Pool.String(), want[v]) {
				t.Errorf("got %s, want %s", pooler.Pool, want[v])
			}
			ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
			defer cancel()
			// Two clients that both stay connected have one connection to the server between them.
			one, other := postgresqlConn(t, pooler.Pool), postgresqlConn(t, pooler.Pool)
			process := ask(t, one, "SELECT pg_backend_pid()::text")
			if got := ask(t, other, "SELECT pg_backend_pid()::text"); got != process {
				t.Errorf("the clients have the processes %s and %s of the server", process, got)
			}
			setRow(t, one, "value")
			if got := rowOf(t, postgresqlConn(t, pooler.Database)); got != "value" {
				t.Errorf("the server behind has %q", got)
			}
			for _, fault := range restarts(ctx, pooler.Pool) {
				if err := fault.do(); err != nil {
					t.Fatalf("%s: %v", fault.name, err)
				}
				if got := rowOf(t, postgresqlConn(t, pooler.Pool)); got != "value" {
					t.Errorf("after %s: got %q", fault.name, got)
				}
			}
		})
	}
}

// The older version gives a prepared statement to one server and its use to another, or to none.
func TestPgBouncerKnowsNoPreparedStatements(t *testing.T) {
	if len(brokers.PgBouncerVersions()) == 1 {
		t.Skip("BATCH_TEST_PGBOUNCER_IMAGE says which version to use")
	}
	t.Parallel()
	pooler := brokers.NewPgBouncer(t, brokers.PgBouncer118, "default_pool_size = 1")
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	one, other := postgresqlConn(t, pooler.Pool), postgresqlConn(t, pooler.Pool)
	if _, err := one.Prepare(ctx, "same", "SELECT 1"); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Prepare(ctx, "same", "SELECT 2"); err == nil {
		t.Error("two clients prepared statements of one name on one connection")
	}
	if _, err := other.Exec(ctx, "SELECT 2", pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Error(err)
	}
}
