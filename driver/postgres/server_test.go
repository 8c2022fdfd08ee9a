package postgres

import (
	"testing"

	"github.com/batch-go/batch/internal/brokers"
)

// TestHighNumbers: on a server that has lived for long, so that the numbers of new tables are beyond those of an
// integer, everything works.
func TestHighNumbers(t *testing.T) {
	t.Parallel()
	server := brokers.NewPostgreSQL(t, brokers.PostgreSQL17)
	script(t, server, `set -e; old="$PGDATA"; export PGDATA="$old.next"; . /etc/batch-postgresql-init.sh
		pg_resetwal -o 4000000000 "$PGDATA" >/dev/null; mv "$old" "$old.old"; mv "$PGDATA" "$old"`)
	if err := server.Crash(testContext(t)); err != nil {
		t.Fatal(err)
	}
	d := openAt(t, server.URL())
	if n := number(t, connect(t, server.URL()), `SELECT 'batch.jobs'::regclass::oid::bigint`); n < 1<<31 {
		t.Fatalf("the number of the table is %d", n)
	}
	lifeAt(t, d, server.URL())
	q := queue(t, d)
	for _, err := range []error{d.Pause(testContext(t), q), d.Resume(testContext(t), q), d.DeleteQueue(testContext(t), q)} {
		if err != nil {
			t.Error(err)
		}
	}
}
