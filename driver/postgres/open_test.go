package postgres

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/brokers"
)

// wantRefused checks the error of an Open: its kind, that nothing is stored, and what it says, the hint included.
func wantRefused(t *testing.T, address string, kind error, says ...string) {
	t.Helper()
	d, err := Open(testContext(t), address)
	if err == nil {
		closeDriver(t, d)
	}
	if !errors.Is(err, kind) || driver.FateOf(err) != driver.FateNotStored {
		t.Errorf("Open: %v, want %v", err, kind)
		return
	}
	var de *driver.Error
	if !errors.As(err, &de) || de.Hint == "" {
		t.Errorf("Open: %v has no hint", err)
		return
	}
	for _, part := range says {
		if !strings.Contains(err.Error()+de.Hint, part) {
			t.Errorf("Open: %v (%s) does not say %q", err, de.Hint, part)
		}
	}
}

// TestOpenReplica: a read replica is refused, and with both servers in the URL the primary is found.
func TestOpenReplica(t *testing.T) {
	t.Parallel()
	pair := brokers.NewPostgreSQLReplica(t, brokers.PostgreSQL17)
	d := openAt(t, pair.Primary.URL())
	q := queue(t, d)
	if err := pair.Await(testContext(t)); err != nil {
		t.Fatal(err)
	}
	wantRefused(t, pair.Standby.URL(), driver.ErrUnsupported, "replica", "target_session_attrs")
	u, err := url.Parse(pair.Primary.URL())
	if err != nil {
		t.Fatal(err)
	}
	u.Host = pair.Standby.Addr + "," + pair.Primary.Addr
	both := openAt(t, withParams(t, u.String(), "target_session_attrs", "read-write"))
	enqueue(t, both, q, message("a"))
}

// TestOpenRefuses: what is not fit is refused, and the error says why and what to do.
func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	own, schema := ownSchema(t, plainURL(t))
	conn := connect(t, plainURL(t))
	wantRefused(t, withParams(t, own, "migrate", "false"), driver.ErrConfig, "migrate=false", "postgres.Migrate")
	closeDriver(t, openAt(t, own))
	closeDriver(t, openAt(t, withParams(t, own, "migrate", "false")))
	run(t, conn, `UPDATE `+schema+`.meta SET version = version + 1`)
	wantRefused(t, own, driver.ErrUnsupported, "version", "upgrade the program")
	run(t, conn, `UPDATE `+schema+`.meta SET version = version - 1`)

	role := newName()
	run(t, conn, `CREATE ROLE `+role+` LOGIN PASSWORD 'pw'`)
	defer run(t, conn, `DROP ROLE `+role)
	run(t, conn, `ALTER ROLE `+role+` SET default_transaction_read_only = on`)
	wantRefused(t, asRole(t, own, role, "pw"), driver.ErrUnsupported, "default_transaction_read_only")

	wrong := asRole(t, own, role, "s3cr3t")
	wantRefused(t, wrong, driver.ErrUnauthorized, "password")
	if _, err := Open(testContext(t), wrong); strings.Contains(shown(err), "s3cr3t") {
		t.Errorf("the error has the password: %s", shown(err))
	}
	elsewhere, err := url.Parse(own)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere.Path = "/nowhere"
	wantRefused(t, elsewhere.String(), driver.ErrConfig, "database does not exist")
	ctx, cancel := context.WithCancel(testContext(t))
	cancel()
	if _, err := Open(ctx, own); !errors.Is(err, context.Canceled) || driver.FateOf(err) != driver.FateNotStored {
		t.Errorf("Open with a ctx that has ended: %v", err)
	}
}

// TestLeastRights: a role that may not create is told so, and works when another has run Migrate and
// granted what the documentation lists, and nothing else.
func TestLeastRights(t *testing.T) {
	t.Parallel()
	own, schema := ownSchema(t, plainURL(t))
	conn := connect(t, plainURL(t))
	role := newName()
	run(t, conn, `CREATE ROLE `+role+` LOGIN PASSWORD 'pw'`)
	defer func() {
		run(t, conn, `DROP OWNED BY `+role)
		run(t, conn, `DROP ROLE `+role)
	}()
	least := asRole(t, own, role, "pw")
	wantRefused(t, least, driver.ErrUnauthorized, "postgres.Migrate")
	if err := Migrate(testContext(t), own); err != nil {
		t.Fatal(err)
	}
	wantRefused(t, withParams(t, least, "migrate", "false"), driver.ErrUnauthorized, "grant")
	for _, grant := range []string{
		`REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA ` + schema + ` FROM PUBLIC`,
		`GRANT USAGE ON SCHEMA ` + schema + ` TO ` + role,
		`GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ` + schema + ` TO ` + role,
		`GRANT USAGE ON SEQUENCE ` + schema + `.numbers TO ` + role,
		`GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA ` + schema + ` TO ` + role,
	} {
		run(t, conn, grant)
	}
	d := openAt(t, least)
	q := queue(t, d)
	c := consume(t, d, q)
	late := message("late")
	late.Delay = 1
	enqueue(t, d, q, message("a", dedup("k")), message("b", func(m *driver.Message) { m.Group = "g" }), late)
	for n := 0; n < 3; {
		got := receive(t, c, 3)
		n += len(got)
		done(t, c, got...)
	}
	depth(t, d, q)
	if err := d.DeleteQueue(testContext(t), q); err != nil {
		t.Error(err)
	}
	closeDriver(t, d)
}

// TestManyOpensMigrateOnce: programs that start at once on an empty database make one schema.
func TestManyOpensMigrateOnce(t *testing.T) {
	t.Parallel()
	own, schema := ownSchema(t, plainURL(t))
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			d, err := Open(testContext(t), own)
			if err != nil {
				t.Error(err)
				return
			}
			closeDriver(t, d)
		})
	}
	all.Wait()
	if n := number(t, connect(t, plainURL(t)), `SELECT count(*) FROM `+schema+`.meta WHERE version = $1`, len(migrations)); n != 1 {
		t.Errorf("the schema has %d versions", n)
	}
}
