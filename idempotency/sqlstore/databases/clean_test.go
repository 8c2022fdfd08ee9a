package databases

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/batch-go/batch/idempotency"
	"github.com/batch-go/batch/idempotency/sqlstore"
)

// old are statements that move when a table's rows have expired two hours back, and that count its rows.
func old(d sqlstore.Dialect, table string) (age, count string) {
	set := map[sqlstore.Dialect]string{
		sqlstore.PostgreSQL: "expires = expires - interval '3 hours'",
		sqlstore.MySQL:      "expires = expires - INTERVAL 3 HOUR",
		sqlstore.SQLite:     "expires = expires - 3 * 3600 * 1000",
	}[d]
	return "UPDATE " + table + " SET " + set, "SELECT count(*) FROM " + table
}

// fill makes a table with so many keys that expired two hours ago, and returns what counts its rows.
func fill(t *testing.T, d database, db *sql.DB, n int) (store *sqlstore.Store, name string, count func() int) {
	t.Helper()
	name = fmt.Sprintf("keys_%d", time.Now().UnixNano())
	store = newStore(t, db, d.dialect, sqlstore.Table(name))
	age, counting := old(d.dialect, name)
	for i := range n {
		begin(t, store, fmt.Sprint("old ", i), time.Hour, idempotency.Fresh)
	}
	if _, err := db.ExecContext(t.Context(), age); err != nil {
		t.Fatal(err)
	}
	return store, name, func() (n int) {
		t.Helper()
		if err := db.QueryRowContext(t.Context(), counting).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
}

// eachDatabase runs a test on every database.
func eachDatabase(t *testing.T, test func(t *testing.T, d database, db *sql.DB)) {
	for _, d := range databases() {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			test(t, d, d.open(t, ""))
		})
	}
}

// Calls of Begin remove what has expired for long, and nothing else.
func TestCleansAsItGoes(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d database, db *sql.DB) {
		const rows = 100
		store, _, count := fill(t, d, db, rows)
		begun := 0
		for ; count() >= rows+begun; begun++ {
			if begun > 3000 {
				t.Fatalf("none of %d calls of Begin has cleaned", begun) // with a probability of 10^-20
			}
			begin(t, store, fmt.Sprint("new ", begun), time.Hour, idempotency.Fresh)
		}
		if got := count(); got != begun {
			t.Errorf("%d rows are left of %d new ones and those that had expired", got, begun)
		}
		for i := range begun {
			begin(t, store, fmt.Sprint("new ", i), time.Hour, idempotency.InProgress)
		}
		begin(t, store, "old 7", time.Hour, idempotency.Fresh)
	})
}

func TestSweep(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d database, db *sql.DB) {
		store, name, count := fill(t, d, db, 0)
		held := begin(t, store, "held", time.Hour, idempotency.Fresh)
		recent := begin(t, store, "recent", time.Hour, idempotency.Fresh)
		if err := store.Abandon(t.Context(), recent); err != nil {
			t.Fatal(err)
		}
		const many = 2300
		addOld(t, d, db, name, many)
		before := count()
		n, err := store.Sweep(t.Context())
		if err != nil || n < int64(many) {
			t.Errorf("Sweep has removed %d rows of %d; error %v", n, before, err)
		}
		want := 2 // that of a claim that has just ended stays for a while
		if d.dialect == sqlstore.SQLite {
			want = 1
		}
		if left := count(); left != before-int(n) || left != want {
			t.Errorf("%d rows are left of %d, want %d", left, before, want)
		}
		if err := store.Extend(t.Context(), held, time.Hour); err != nil {
			t.Errorf("a claim that is held was swept away: %v", err)
		}
		if again := begin(t, store, "recent", time.Hour, idempotency.Fresh); again.Token <= recent.Token {
			t.Errorf("the token %d after %d", again.Token, recent.Token)
		}
	})
}

// addOld adds rows that have expired for long, by SQL.
func addOld(t *testing.T, d database, db *sql.DB, name string, n int) {
	t.Helper()
	values := map[sqlstore.Dialect]string{
		sqlstore.PostgreSQL: "(convert_to('old %d', 'UTF8'), 1, true, now() - interval '2 hours')",
		sqlstore.MySQL:      "('old %d', 1, 1, UTC_TIMESTAMP(6) - INTERVAL 2 HOUR)",
		sqlstore.SQLite:     "(CAST('old %d' AS BLOB), NULL, 1, 1)",
	}[d.dialect]
	columns := map[sqlstore.Dialect]string{
		sqlstore.PostgreSQL: "(key, token, done, expires)", sqlstore.MySQL: "(`key`, token, done, expires)", sqlstore.SQLite: "(key, token, done, expires)",
	}[d.dialect]
	var rows []string
	for i := range n {
		rows = append(rows, fmt.Sprintf(values, i))
	}
	if _, err := db.ExecContext(t.Context(), "INSERT INTO "+name+" "+columns+" VALUES "+strings.Join(rows, ", ")); err != nil {
		t.Fatal(err)
	}
}

// Tokens grow also when the row of a key was removed.
func TestTokensAfterRemoval(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d database, db *sql.DB) {
		store, name, count := fill(t, d, db, 3)
		last := begin(t, store, "later", time.Hour, idempotency.Fresh)
		if err := store.Abandon(t.Context(), last); err != nil {
			t.Fatal(err)
		}
		age, _ := old(d.dialect, name)
		if _, err := db.ExecContext(t.Context(), age); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Sweep(t.Context()); err != nil || count() != 0 {
			t.Fatalf("%d rows are left; error %v", count(), err)
		}
		for i := range 3 {
			claim := begin(t, store, fmt.Sprint("old ", i), time.Hour, idempotency.Fresh)
			if claim.Token <= last.Token {
				t.Errorf("the token %d after %d", claim.Token, last.Token)
			}
			last = claim
		}
	})
}

// Any number of programs make the table at once.
func TestMigrateAtOnce(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d database, db *sql.DB) {
		table := tableOf(t)
		errs := make(chan error)
		for range 8 {
			go func() {
				store, err := sqlstore.New(db, d.dialect, table)
				if err == nil {
					err = store.Migrate(t.Context())
				}
				errs <- err
			}()
		}
		for range 8 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
	})
}

// Without its table a store says what to do; what Schema returns is what is missing; and a table of another form is
// refused.
func TestSchema(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d database, db *sql.DB) {
		name := fmt.Sprintf("keys_%d", time.Now().UnixNano())
		store, err := sqlstore.New(db, d.dialect, sqlstore.Table(name))
		if err != nil {
			t.Fatal(err)
		}
		for op, err := range map[string]error{
			"Begin":  second(store.Begin(t.Context(), "k", time.Minute)),
			"Extend": store.Extend(t.Context(), idempotency.Claim{Key: "k", Token: 1}, time.Minute),
		} {
			if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "Migrate") || errors.Is(err, idempotency.ErrLost) {
				t.Errorf("%s without a table: %v", op, err)
			}
		}
		text, err := sqlstore.Schema(d.dialect, name)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second changes nothing
			for _, statement := range strings.Split(text, ";\n") {
				if _, err := db.ExecContext(t.Context(), statement); statement != "" && err != nil {
					t.Fatalf("%v: %s", err, statement)
				}
			}
		}
		begin(t, store, "k", time.Minute, idempotency.Fresh)
		if err := store.Migrate(t.Context()); err != nil {
			t.Error(err)
		}
		other := name + "_other"
		if _, err := db.ExecContext(t.Context(), "CREATE TABLE "+other+" (expires INTEGER)"); err != nil {
			t.Fatal(err)
		}
		wrong, err := sqlstore.New(db, d.dialect, sqlstore.Table(other))
		if err != nil {
			t.Fatal(err)
		}
		if err := wrong.Migrate(t.Context()); err == nil {
			t.Error("a table of another form was taken")
		}
	})
}

// second is the error of a Begin.
func second(_ idempotency.Claim, _ idempotency.State, err error) error { return err }

// What cannot be cleaned is told, and the claim is good.
func TestFaultOfCleaning(t *testing.T) {
	db := openSQLite(t, "")
	told := make(chan error, 10_000)
	store, err := sqlstore.New(db, sqlstore.SQLite, sqlstore.OnFault(func(err error) { told <- err }))
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), `CREATE TRIGGER t BEFORE DELETE ON batch_idempotency BEGIN SELECT RAISE(ABORT, 'no deletion'); END`); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), `INSERT INTO batch_idempotency (key, done, expires) VALUES ('old', 1, 1)`); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	for n := 0; len(told) == 0; n++ {
		if _, state, err := store.Begin(ctx, fmt.Sprint(n), time.Hour); err != nil || state != idempotency.Fresh {
			t.Fatalf("the key is %s; error %v", state, err)
		}
	}
	if err := <-told; !strings.Contains(err.Error(), "no deletion") {
		t.Errorf("the fault is %v", err)
	}
}

// A transaction that holds a claim keeps nobody from removing what is old, as few rows as there may be beside its own.
func TestSweepBesideTransaction(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d database, db *sql.DB) {
		if d.dialect == sqlstore.SQLite {
			t.Skip("a transaction that writes keeps all others from writing")
		}
		ctx := limited(t)
		store, name, count := fill(t, d, db, 0)
		claims := make([]idempotency.Claim, 3) // one of them before all that is old, and one between
		for i, key := range []string{"a", "old 50", "z"} {
			claims[i] = begin(t, store, key, time.Hour, idempotency.Fresh)
		}
		addOld(t, d, db, name, 50)
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		for _, claim := range claims {
			if err := store.CompleteTx(ctx, tx, claim, time.Hour); err != nil {
				t.Fatal(err)
			}
		}
		if n, err := store.Sweep(ctx); n != 50 || err != nil {
			t.Errorf("Sweep has removed %d rows of 50; error %v", n, err)
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		if n := count(); n != len(claims) {
			t.Errorf("%d rows are left, want %d", n, len(claims))
		}
	})
}
