package postgres

import (
	"context"
	"errors"
	"net/url"
	"testing"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/brokers"
)

// pgData is what a script in a server's container begins with, to find the programs of PostgreSQL.
const pgData = `for bin in /usr/lib/postgresql/*/bin; do PATH="$bin:$PATH"; done; `

// wantReadOnly checks that each call that writes fails as one of a server that takes none.
func wantReadOnly(t *testing.T, d *Driver, q string, c driver.Consumer, held *driver.Delivery) {
	t.Helper()
	for what, call := range map[string]func() error{
		"Enqueue":       func() error { return d.Enqueue(testContext(t), q, many(2))[1].Err },
		"EnqueueAtomic": func() error { return d.EnqueueAtomic(testContext(t), q, many(2)) },
		"Declare":       func() error { return d.Declare(testContext(t), q+"-new") },
		"Receive":       func() error { _, err := c.Receive(testContext(t), 1); return err },
		"Settle": func() error {
			return append(c.Settle(testContext(t), []driver.Settlement{{Delivery: held, Outcome: driver.OutcomeDone}}), nil)[0]
		},
		"Extend": func() error { return append(c.Extend(testContext(t), []*driver.Delivery{held}), nil)[0] },
		"Pause":  func() error { return d.Pause(testContext(t), q) },
		"Purge":  func() error { _, err := d.Purge(testContext(t), q); return err },
	} {
		if err := call(); !errors.Is(err, driver.ErrUnavailable) || driver.FateOf(err) != driver.FateNotStored || !isCode(err, "25006") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestReadOnlyMeanwhile: while the transactions of a role are read-only, as those of a database whose disk is
// nearly full, calls say so. When they are not any more, the driver goes on, and not when its connections are
// old: those that were made meanwhile stay as they are.
func TestReadOnlyMeanwhile(t *testing.T) {
	t.Parallel()
	own, schema := ownSchema(t, plainURL(t))
	closeDriver(t, openAt(t, own))
	role := newRole(t)
	conn := connect(t, plainURL(t))
	run(t, conn, `GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA `+schema+` TO `+role)
	d := openAt(t, withParams(t, asRole(t, own, role, "pw"), "migrate", "false"))
	d.bell.config, d.bell.poll, d.bell.forget = nil, func() { <-d.bell.done }, func() {} // nothing else makes connections
	q := queue(t, d)
	c := consume(t, d, q)
	enqueue(t, d, q, message("held"), message("next"))
	held := receive(t, c, 1)[0]
	run(t, conn, `ALTER ROLE `+role+` SET default_transaction_read_only = on`)
	run(t, conn, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1`, role)
	await(t, "a connection that is read-only", func() bool {
		return isCode(d.Enqueue(testContext(t), q, []*driver.Message{message("x")})[0].Err, "25006")
	})
	wantReadOnly(t, d, q, c, held)
	if err := d.Enqueue(testContext(t), q, []*driver.Message{message("x")})[0].Err; !isCode(err, "25006") {
		t.Errorf("Enqueue, the last before it is over: %v", err)
	}
	run(t, conn, `ALTER ROLE `+role+` SET default_transaction_read_only = off`)
	await(t, "an Enqueue when it is over", func() bool {
		return d.Enqueue(testContext(t), q, []*driver.Message{message("after")})[0].Err == nil
	})
	done(t, c, held)
	done(t, c, receive(t, c, 1)...)
	done(t, c, receive(t, c, 1)...)
	if got := depth(t, d, q); got.Running != 0 || got.Dead != 0 {
		t.Errorf("the depth is %+v", got)
	}
}

// script runs a script as the server's user in its container.
func script(t *testing.T, server *brokers.Instance, text string) {
	t.Helper()
	if out, err := server.Exec(testContext(t), "sh", "-c", pgData+text); err != nil {
		t.Fatalf("%s: %v\n%s", text, err, out)
	}
}

// TestFailover: when the standby takes the place of the primary, a driver whose URL names both goes on with what
// the standby has, and the old primary, a replica by then, is left alone.
func TestFailover(t *testing.T) {
	t.Parallel()
	pair := brokers.NewPostgreSQLReplica(t, brokers.PostgreSQL17)
	u, err := url.Parse(pair.Primary.URL())
	if err != nil {
		t.Fatal(err)
	}
	u.Host += "," + pair.Standby.Addr
	d := openAt(t, withParams(t, u.String(), "target_session_attrs", "read-write"))
	q := queue(t, d)
	c := consume(t, d, q)
	enqueue(t, d, q, message("held"), message("next"))
	held := receive(t, c, 1)[0]
	if err := pair.Await(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if err := pair.Primary.Stop(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if r := d.Enqueue(testContext(t), q, []*driver.Message{message("between")}); !errors.Is(r[0].Err, driver.ErrUnavailable) {
		t.Errorf("without a primary: %v", r[0].Err)
	}
	script(t, pair.Standby, `pg_ctl promote -w`)
	await(t, "an Enqueue after the failover", func() bool {
		return d.Enqueue(testContext(t), q, []*driver.Message{message("after")})[0].Err == nil
	})
	done(t, c, held)
	done(t, c, receive(t, c, 1)...)
	done(t, c, receive(t, c, 1)...)
	if err := pair.Primary.Start(testContext(t)); err != nil {
		t.Fatal(err)
	}
}

// TestBecomesReplica: a server that comes back as a replica takes nothing, which the calls say, and a Receive
// that waits meanwhile does not hang: when the server is a primary again, the driver goes on.
func TestBecomesReplica(t *testing.T) {
	t.Parallel()
	server := brokers.NewPostgreSQL(t, brokers.PostgreSQL17)
	d := openAt(t, server.URL())
	q := queue(t, d)
	c := consume(t, d, q)
	enqueue(t, d, q, message("held"), message("next"))
	held := receive(t, c, 1)[0]
	script(t, server, `touch "$PGDATA/standby.signal"`)
	if err := server.Restart(testContext(t)); err != nil {
		t.Fatal(err)
	}
	await(t, "a connection to the replica", func() bool {
		return isCode(d.Enqueue(testContext(t), q, []*driver.Message{message("x")})[0].Err, "25006")
	})
	wantReadOnly(t, d, q, c, held)
	wantRefused(t, server.URL(), driver.ErrUnsupported, "replica", "target_session_attrs")
	script(t, server, `pg_ctl promote -w`)
	await(t, "an Enqueue when it is the primary again", func() bool {
		return d.Enqueue(testContext(t), q, []*driver.Message{message("after")})[0].Err == nil
	})
	ctx, cancel := context.WithTimeout(testContext(t), bound)
	defer cancel()
	for n := 0; n < 2; {
		got, err := c.Receive(ctx, 2)
		if err != nil {
			t.Fatal(err)
		}
		n += len(got)
		done(t, c, got...)
	}
	done(t, c, held)
	if got := depth(t, d, q); got != (driver.Depth{}) {
		t.Errorf("the depth is %+v", got)
	}
}
