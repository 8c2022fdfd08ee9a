package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/batch-go/batch/driver"
)

// newRole makes a role with the password pw that may use the schemas of others, and that the test drops. Each of
// settings is what ALTER ROLE takes.
func newRole(t *testing.T, settings ...string) string {
	t.Helper()
	conn := connect(t, plainURL(t))
	role := newName()
	run(t, conn, `CREATE ROLE `+role+` LOGIN PASSWORD 'pw' IN ROLE pg_read_all_data, pg_write_all_data`)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), bound)
		defer cancel()
		conn, err := pgx.Connect(ctx, plainURL(t))
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close(ctx)
		_, _ = conn.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1`, role)
		for _, text := range []string{`DROP OWNED BY ` + role, `DROP ROLE ` + role} {
			if _, err := conn.Exec(ctx, text); err != nil {
				t.Error(err)
			}
		}
	})
	for _, s := range settings {
		run(t, conn, `ALTER ROLE `+role+` `+s)
	}
	return role
}

// oddSettings are what the role of an application may have.
var oddSettings = []string{
	`SET timezone = 'America/St_Johns'`, `SET datestyle = 'German'`, `SET intervalstyle = 'sql_standard'`, `SET bytea_output = 'escape'`,
	`SET standard_conforming_strings = off`, `SET backslash_quote = off`, `SET array_nulls = off`, `SET transform_null_equals = on`,
	`SET client_encoding = 'LATIN1'`, `SET extra_float_digits = 0`, `SET enable_indexscan = off`, `SET plan_cache_mode = force_generic_plan`,
	`SET search_path = odd, pg_catalog`, `SET lock_timeout = '5s'`, `SET statement_timeout = '20s'`, `SET idle_in_transaction_session_timeout = '20s'`,
	`SET default_transaction_isolation = 'serializable'`, `SET default_transaction_deferrable = on`, `SET synchronous_commit = off`,
	`SET row_security = off`, `SET xmloption = 'document'`, `SET check_function_bodies = off`,
}

// oddMessages are jobs with everything, of which some lack what others of the call have.
func oddMessages() []*driver.Message {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	full := message("full", dedup(`NULL`), func(m *driver.Message) {
		m.Body, m.Headers = all, map[string]string{"a": string(all), "b": "", "c": `\x00'"{}`}
		m.Level, m.MaxAttempts, m.Timeout, m.ExpiresAt = driver.High, 3, 1e9, m.EnqueuedAt.AddDate(1, 0, 0)
	})
	return []*driver.Message{
		full, message("plain"), message("key", dedup(`'"\,{}`)), message("group", func(m *driver.Message) { m.Group = `NULL` }),
		message("empty", func(m *driver.Message) { m.Body = []byte{} }), message("null", dedup("null")),
	}
}

// oddTransactions are transactions of an application of a role, each by another way to speak to the server.
func oddTransactions(t *testing.T, d *Driver, address string) map[string]func(q string, all []*driver.Message) error {
	ways := make(map[string]func(string, []*driver.Message) error)
	for _, mode := range []string{"cache_statement", "cache_describe", "describe_exec", "exec"} {
		ways[mode] = func(q string, all []*driver.Message) error {
			tx, err := connect(t, withParams(t, address, "default_query_exec_mode", mode)).Begin(testContext(t))
			if err != nil {
				return err
			}
			if _, err := d.EnqueueTx(testContext(t), tx, q, all); err != nil {
				return err
			}
			return tx.Commit(testContext(t))
		}
	}
	ways["database/sql"] = func(q string, all []*driver.Message) error {
		db, err := sql.Open("pgx", address)
		if err != nil {
			return err
		}
		defer db.Close()
		tx, err := db.BeginTx(testContext(t), nil)
		if err != nil {
			return err
		}
		if _, err := d.SQL().EnqueueTx(testContext(t), tx, q, all); err != nil {
			return err
		}
		return tx.Commit()
	}
	return ways
}

// TestOddRole: whatever settings a role has, those of the driver and of the application's transactions, jobs
// arrive as they were enqueued, and nothing is left over.
func TestOddRole(t *testing.T) {
	t.Parallel()
	own, schema := ownSchema(t, plainURL(t))
	closeDriver(t, openAt(t, own))
	address := asRole(t, own, newRole(t, oddSettings...), "pw")
	application := asRole(t, plainURL(t), newRole(t, oddSettings...), "pw")
	d := openAt(t, withParams(t, address, "migrate", "false"))
	ways := oddTransactions(t, d, application)
	ways["Enqueue"] = func(q string, all []*driver.Message) error {
		var errs []error
		for _, r := range d.Enqueue(testContext(t), q, all) {
			errs = append(errs, r.Err)
		}
		return errors.Join(errs...)
	}
	ways["EnqueueAtomic"] = func(q string, all []*driver.Message) error { return d.EnqueueAtomic(testContext(t), q, all) }
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			q := queue(t, d)
			sent := oddMessages()
			if err := way(q, sent); err != nil {
				t.Fatal(err)
			}
			c := consume(t, d, q)
			want := make(map[string]*driver.Message)
			for _, m := range sent {
				want[m.ID] = m
			}
			for n := 0; n < len(sent); {
				got := receive(t, c, len(sent))
				n += len(got)
				for _, delivery := range got {
					if m := want[delivery.ID]; m == nil || !reflect.DeepEqual(delivery.Message, *m) {
						t.Errorf("received %+v, want %+v", delivery.Message, m)
					}
				}
				done(t, c, got...)
			}
			if got := depth(t, d, q); got != (driver.Depth{}) {
				t.Errorf("the depth is %+v", got)
			}
		})
	}
	if n := number(t, connect(t, plainURL(t)), `SELECT count(*) FROM `+schema+`.jobs`); n != 0 {
		t.Errorf("%d jobs are left", n)
	}
}

// TestFewConnections: a role that may have fewer connections than the driver would open is told so, typed, by
// the calls that cannot have one, and the others go on.
func TestFewConnections(t *testing.T) {
	t.Parallel()
	own, _ := ownSchema(t, plainURL(t))
	closeDriver(t, openAt(t, own))
	d := openAt(t, withParams(t, asRole(t, own, newRole(t, `CONNECTION LIMIT 3`), "pw"), "migrate", "false"))
	q := queue(t, d)
	c := consume(t, d, q) // and one listens
	const callers, each = 12, 20
	var all sync.WaitGroup
	var mu sync.Mutex // guards following
	stored, refused := 0, 0
	for caller := range callers {
		all.Go(func() {
			for i := range each {
				r := d.Enqueue(testContext(t), q, []*driver.Message{message(fmt.Sprintf("m-%d-%d", caller, i))})[0]
				mu.Lock()
				if r.Err == nil {
					stored++
				} else if refused++; !errors.Is(r.Err, driver.ErrUnavailable) || driver.FateOf(r.Err) != driver.FateNotStored || !isCode(r.Err, "53300") {
					t.Errorf("Enqueue: %v", r.Err)
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if stored == 0 || refused == 0 {
		t.Errorf("%d were stored, and %d refused", stored, refused)
	}
	if got := depth(t, d, q); got.Waiting != int64(stored) {
		t.Errorf("%d were stored, and %+v are there", stored, got)
	}
	for n := 0; n < stored; {
		got := receive(t, c, 100)
		n += len(got)
		done(t, c, got...)
	}
}
