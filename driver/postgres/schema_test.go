package postgres

import (
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/batch-go/batch/driver"
)

// dropSchema removes a schema that a test has named itself.
func dropSchema(t *testing.T, schema string) {
	t.Helper()
	name := pgx.Identifier{schema}.Sanitize()
	run(t, connect(t, plainURL(t)), `DROP SCHEMA IF EXISTS `+name+` CASCADE`)
}

// life lets a job live, and one of a transaction, with all that names the schema.
func life(t *testing.T, d *Driver) {
	t.Helper()
	lifeAt(t, d, plainURL(t))
}

// lifeAt is life on another server than the shared one.
func lifeAt(t *testing.T, d *Driver, address string) {
	t.Helper()
	q := queue(t, d)
	c := consume(t, d, q)
	enqueue(t, d, q, message("a", dedup("k")), message("b", func(m *driver.Message) { m.Group = "g" }))
	tx, err := connect(t, address).Begin(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.EnqueueTx(testContext(t), tx, q, []*driver.Message{message("c")}); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(testContext(t)); err != nil {
		t.Fatal(err)
	}
	for n := 0; n < 3; {
		got := receive(t, c, 3)
		n += len(got)
		done(t, c, got...)
	}
	if got := depth(t, d, q); got != (driver.Depth{}) {
		t.Errorf("the depth is %+v", got)
	}
}

// TestSchemaNames: a schema may have a name that SQL needs quotes for, or that is as long as may be.
func TestSchemaNames(t *testing.T) {
	t.Parallel()
	for _, schema := range []string{"user", "select", "_1", "batches", "x" + strings.Repeat("_", 47)} {
		dropSchema(t, schema)
		t.Cleanup(func() { dropSchema(t, schema) })
		d := openAt(t, withParams(t, plainURL(t), "schema", schema))
		life(t, d)
		conn := connect(t, plainURL(t))
		await(t, "listening for "+schema, func() bool { return listeners(t, conn, d) == 1 })
		closeDriver(t, d)
	}
}

// TestNewerSchemaMeanwhile: a program that runs goes on when a newer one has brought the schema up to date, as
// far as that has what it uses. What it lacks is an error that says what to do.
func TestNewerSchemaMeanwhile(t *testing.T) {
	t.Parallel()
	d := open(t)
	q := queue(t, d)
	conn := connect(t, plainURL(t))
	run(t, conn, `UPDATE `+d.schema+`.meta SET version = version + 1`)
	run(t, conn, `ALTER TABLE `+d.schema+`.jobs ADD COLUMN newer text`)
	enqueue(t, d, q, message("a"))
	if got := depth(t, d, q); got.Waiting != 1 {
		t.Errorf("the depth is %+v", got)
	}
	c := consume(t, d, q)
	done(t, c, receive(t, c, 1)...)
	run(t, conn, `ALTER FUNCTION `+d.schema+`.take RENAME TO taken`)
	_, err := c.Receive(testContext(t), 1)
	if !errors.Is(err, driver.ErrConfig) || driver.FateOf(err) != driver.FateNotStored || !strings.Contains(err.Error(), "upgrade this program") {
		t.Errorf("Receive without its function: %v", err)
	}
	wantRefused(t, withParams(t, plainURL(t), "schema", d.schema), driver.ErrUnsupported, "upgrade the program")
}

// TestSchemaGone: when the schema is dropped while the driver is open, calls say so and nothing hangs; one that
// was made anew is told apart from that of before.
func TestSchemaGone(t *testing.T) {
	t.Parallel()
	own, schema := ownSchema(t, plainURL(t))
	d := openAt(t, own)
	q := queue(t, d)
	c := consume(t, d, q)
	enqueue(t, d, q, message("a"))
	held := receive(t, c, 1)[0]
	dropSchema(t, schema)
	calls := map[string]func() error{
		"Enqueue":       func() error { return d.Enqueue(testContext(t), q, many(2))[1].Err },
		"EnqueueAtomic": func() error { return d.EnqueueAtomic(testContext(t), q, []*driver.Message{message("a", dedup("k"))}) },
		"Receive":       func() error { _, err := c.Receive(testContext(t), 1); return err },
		"Settle": func() error {
			return append(c.Settle(testContext(t), []driver.Settlement{{Delivery: held, Outcome: driver.OutcomeDone}}), nil)[0]
		},
		"Depth": func() error { _, err := d.Depth(testContext(t), q); return err },
		"EnqueueTx": func() error {
			_, err := d.EnqueueTx(testContext(t), begin(t, pgx.ReadCommitted), q, many(1))
			return err
		},
	}
	for what, call := range calls {
		if err := call(); !errors.Is(err, driver.ErrConfig) || driver.FateOf(err) != driver.FateNotStored {
			t.Errorf("%s without the schema: %v", what, err)
		}
	}
	again := openAt(t, own)
	if err := again.Declare(testContext(t), q); err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"Enqueue", "EnqueueTx"} {
		if err := calls[what](); !errors.Is(err, driver.ErrConfig) || driver.FateOf(err) != driver.FateNotStored {
			t.Errorf("%s with a schema made anew: %v", what, err)
		}
	}
	if got := depth(t, again, q); got != (driver.Depth{}) {
		t.Errorf("the depth is %+v", got)
	}
}
