package postgres

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/batch-go/batch/driver"
)

// newDatabase makes a database of the server, of a template, and returns its URL. The test drops it.
func newDatabase(t *testing.T, name, template string) string {
	t.Helper()
	conn := connect(t, plainURL(t))
	// The template's last connection may not be gone yet.
	await(t, "the copy of "+template, func() bool {
		_, err := conn.Exec(testContext(t), `CREATE DATABASE `+name+` TEMPLATE `+template)
		if err != nil && !isCode(err, "55006") {
			t.Fatal(err)
		}
		return err == nil
	})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), bound)
		defer cancel()
		conn, err := pgx.Connect(ctx, plainURL(t))
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close(ctx)
		if _, err := conn.Exec(ctx, `DROP DATABASE `+name+` WITH (FORCE)`); err != nil {
			t.Error(err)
		}
	})
	u, err := url.Parse(plainURL(t))
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

// notHere checks the error of a call with a transaction of another database.
func notHere(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, driver.ErrConfig) || driver.FateOf(err) != driver.FateNotStored {
		t.Errorf("%s: %v", what, err)
	}
}

// TestTxElsewhere: a transaction of another database is refused, whether that has no queues, queues of its own
// under the same names, or is a copy of the driver's; and nothing is stored or completed there.
func TestTxElsewhere(t *testing.T) {
	t.Parallel()
	name := newName()
	home := newDatabase(t, name, "template0")
	if err := Migrate(testContext(t), home); err != nil {
		t.Fatal(err)
	}
	conn := connect(t, home)
	run(t, conn, `INSERT INTO batch.queues (name) VALUES ('q')`)
	_ = conn.Close(testContext(t))
	others := map[string]string{"copy": newDatabase(t, name+"_copy", name), "empty": newDatabase(t, name+"_empty", "template0"), "own": newDatabase(t, name+"_own", "template0")}
	closeDriver(t, openAt(t, others["own"]))
	d := openAt(t, home)
	enqueue(t, d, "q", message("held"))
	held := receive(t, consume(t, d, "q"), 1)[0]
	for other, address := range others {
		if other == "own" {
			run(t, connect(t, address), `INSERT INTO batch.queues (name) VALUES ('q')`)
		}
		db, err := sql.Open("pgx", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		// A savepoint for each call, as the database may take nothing but a rollback after an error.
		tx, err := connect(t, address).Begin(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		for what, call := range map[string]func(pgx.Tx) error{
			"EnqueueTx":  func(tx pgx.Tx) error { _, err := d.EnqueueTx(testContext(t), tx, "q", many(2)); return err },
			"CompleteTx": func(tx pgx.Tx) error { return d.CompleteTx(testContext(t), tx, held) },
		} {
			point, err := tx.Begin(testContext(t))
			if err != nil {
				t.Fatal(err)
			}
			notHere(t, what+" with "+other, call(point))
			end := point.Commit
			if point.Conn().PgConn().TxStatus() == 'E' {
				end = point.Rollback
			}
			if err := end(testContext(t)); err != nil {
				t.Fatal(err)
			}
		}
		if err := tx.Commit(testContext(t)); err != nil {
			t.Error(err)
		}
		for what, call := range map[string]func(*sql.Tx) error{
			"EnqueueTx":  func(tx *sql.Tx) error { _, err := d.SQL().EnqueueTx(testContext(t), tx, "q", many(2)); return err },
			"CompleteTx": func(tx *sql.Tx) error { return d.SQL().CompleteTx(testContext(t), tx, held) },
		} {
			tx, err := db.BeginTx(testContext(t), nil)
			if err != nil {
				t.Fatal(err)
			}
			notHere(t, what+" of database/sql with "+other, call(tx))
			_ = tx.Commit() // which may fail, as it had
		}
		if other != "empty" {
			if n := number(t, connect(t, address), `SELECT count(*) FROM batch.jobs`); n != 0 {
				t.Errorf("%s has %d jobs", other, n)
			}
		}
	}
	if got := depth(t, d, "q"); got.Running != 1 || got.Waiting != 0 {
		t.Errorf("the depth is %+v", got)
	}
}

// TestTxEnded: a transaction that has ended, is none, has failed or lost its connection is an error that says so,
// of EnqueueTx and CompleteTx, and nothing is stored.
func TestTxEnded(t *testing.T) {
	t.Parallel()
	d := open(t)
	q := queue(t, d)
	enqueue(t, d, q, message("held"))
	held := receive(t, consume(t, d, q), 1)[0]
	pool, err := pgxpool.New(testContext(t), plainURL(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	transactions := map[string]struct {
		spoil func(pgx.Tx)
		kind  error
	}{
		"committed":   {func(tx pgx.Tx) { _ = tx.Commit(testContext(t)) }, driver.ErrClosed},
		"rolled back": {func(tx pgx.Tx) { _ = tx.Rollback(testContext(t)) }, driver.ErrClosed},
		"failed":      {func(tx pgx.Tx) { _, _ = tx.Exec(testContext(t), `SELECT 1/0`) }, driver.ErrBroker},
		"read-only":   {func(tx pgx.Tx) { execute(t, tx, `SET TRANSACTION READ ONLY`) }, driver.ErrUnavailable},
		"closed":      {func(tx pgx.Tx) { _ = tx.Conn().Close(testContext(t)) }, driver.ErrUnavailable},
		"terminated": {func(tx pgx.Tx) {
			run(t, connect(t, plainURL(t)), `SELECT pg_terminate_backend($1)`, tx.Conn().PgConn().PID())
		}, driver.ErrUnavailable},
		"idle": {func(tx pgx.Tx) {
			execute(t, tx, `SET LOCAL idle_in_transaction_session_timeout = '50ms'`)
			other := connect(t, plainURL(t))
			await(t, "the end of a transaction that is idle", func() bool {
				return number(t, other, `SELECT count(*) FROM pg_stat_activity WHERE pid = $1`, tx.Conn().PgConn().PID()) == 0
			})
		}, driver.ErrUnavailable},
	}
	for name, test := range transactions {
		for what, call := range map[string]func(pgx.Tx) error{
			"EnqueueTx":  func(tx pgx.Tx) error { _, err := d.EnqueueTx(testContext(t), tx, q, many(2)); return err },
			"CompleteTx": func(tx pgx.Tx) error { return d.CompleteTx(testContext(t), tx, held) },
		} {
			tx, err := pool.Begin(testContext(t))
			if err != nil {
				t.Fatal(err)
			}
			test.spoil(tx)
			if err := call(tx); !errors.Is(err, test.kind) || driver.FateOf(err) != driver.FateNotStored {
				t.Errorf("%s with a transaction that is %s: %v, want %v", what, name, err, test.kind)
			}
			_ = tx.Rollback(testContext(t)) // it may have ended
		}
	}
	_, err = d.EnqueueTx(testContext(t), nil, q, many(1))
	notHere(t, "EnqueueTx without a transaction", err)
	notHere(t, "CompleteTx without a transaction", d.CompleteTx(testContext(t), nil, held))
	_, err = d.SQL().EnqueueTx(testContext(t), nil, q, many(1))
	notHere(t, "EnqueueTx of database/sql without a transaction", err)
	notHere(t, "CompleteTx of database/sql without a transaction", d.SQL().CompleteTx(testContext(t), nil, held))
	if got := depth(t, d, q); got.Running != 1 || got.Waiting != 0 {
		t.Errorf("the depth is %+v", got)
	}
	db, err := sql.Open("pgx", plainURL(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	tx, err := db.BeginTx(testContext(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = tx.Rollback()
	if _, err = d.SQL().EnqueueTx(testContext(t), tx, q, many(1)); !errors.Is(err, driver.ErrClosed) {
		t.Errorf("EnqueueTx of database/sql after the rollback: %v", err)
	}
}

// TestTxOfAnotherSchema: what a transaction's search_path names does not matter: jobs go to the schema that the
// driver was opened with.
func TestTxOfAnotherSchema(t *testing.T) {
	t.Parallel()
	d, other := open(t), open(t)
	q := queue(t, d)
	if err := other.Declare(testContext(t), q); err != nil {
		t.Fatal(err)
	}
	tx := begin(t, pgx.ReadCommitted)
	execute(t, tx, `SET LOCAL search_path = `+other.schema)
	if _, err := d.EnqueueTx(testContext(t), tx, q, many(2)); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if mine, theirs := depth(t, d, q), depth(t, other, q); mine.Waiting != 2 || theirs.Waiting != 0 {
		t.Errorf("the schemas have %+v and %+v", mine, theirs)
	}
}
