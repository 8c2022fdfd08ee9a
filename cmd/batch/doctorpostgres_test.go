package main

import (
	"net/url"
	"strings"
	"testing"

	"github.com/batch-go/batch/internal/brokers"
)

// TestDoctorOnPostgreSQL sets a server and a role up wrongly.
func TestDoctorOnPostgreSQL(t *testing.T) {
	t.Parallel()
	server := brokers.NewPostgreSQL(t, brokers.PostgreSQL17)
	psql := func(commands ...string) string {
		t.Helper()
		args := []string{"sh", "-c", `for bin in /usr/lib/postgresql/*/bin; do PATH="$bin:$PATH"; done; exec psql -X -A -t "$@"`, "sh"}
		for _, c := range commands {
			args = append(args, "-c", c)
		}
		out, err := server.Exec(testContext(t), args...)
		if err != nil {
			t.Fatalf("%q: %v %s", commands, err, out)
		}
		return strings.TrimSpace(out)
	}
	as := func(user, password string) string {
		u, err := url.Parse(server.URL())
		if err != nil {
			t.Fatal(err)
		}
		u.User = url.UserPassword(user, password)
		return u.String()
	}
	diagnose(t, server.URL(), nil, finding{"durability", "ok", "fsync", ""}, finding{"exercise", "ok", "", ""})

	psql(`CREATE ROLE few LOGIN PASSWORD 'word'`, `GRANT USAGE ON SCHEMA batch TO few`, `GRANT USAGE ON SEQUENCE batch.numbers TO few`,
		`GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA batch TO few`)
	diagnose(t, as("few", "word"), nil, finding{"exercise", "ok", "", ""})
	psql(`REVOKE INSERT ON batch.keys FROM few`)
	diagnose(t, as("few", "word"), nil, finding{"exercise", "fail", "unique job: postgres: enqueue", "grant the role"})
	psql(`GRANT INSERT ON batch.keys TO few`, `REVOKE USAGE ON SEQUENCE batch.numbers FROM few`)
	diagnose(t, as("few", "word"), nil, finding{"exercise", "fail", "enqueue in a transaction: postgres: enqueue", "grant the role"})
	diagnose(t, as("few", "wrong"), nil, finding{"connection", "fail", "not authorized", ""})
	psql(`ALTER ROLE few SET default_transaction_read_only = on`)
	diagnose(t, as("few", "word"), nil, finding{"connection", "fail", "default_transaction_read_only", "switch it off"})

	psql(`ALTER SYSTEM SET fsync = off`, `SELECT pg_reload_conf()`)
	for ctx := testContext(t); psql(`SHOW fsync`) != "off"; {
		if ctx.Err() != nil {
			t.Fatal("the server does not read its settings")
		}
	}
	diagnose(t, server.URL(), nil, finding{"durability", "fail", "fsync", "postgresql.conf"}, finding{"exercise", "ok", "", ""})
}
