package pgxstore

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/batch-go/batch/conformance"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/idempotency"
	"github.com/batch-go/batch/idempotency/storetest"
	"github.com/batch-go/batch/internal/brokers"
)

func TestMain(m *testing.M) {
	brokers.AtOnce(6)
	brokers.Main(m)
}

// address is that of a server, with parameters.
func address(t *testing.T, v brokers.Version, parameters ...string) string {
	t.Helper()
	u, err := url.Parse(brokers.PostgreSQL(t, v).URL())
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("pool_max_conns", "16")
	for i := 0; i < len(parameters); i += 2 {
		q.Set(parameters[i], parameters[i+1])
	}
	u.RawQuery = strings.ReplaceAll(q.Encode(), "+", "%20") // pgx takes a plus for one
	return u.String()
}

// openPool opens a pool that the test closes.
func openPool(t *testing.T, address string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// tableOf is a name for the table of a test.
func tableOf() string { return fmt.Sprintf("keys_%d", time.Now().UnixNano()) }

// newStore makes a store with a table, whose cleaning must not fail.
func newStore(t *testing.T, db DB, table string) *Store {
	t.Helper()
	store, err := New(db, Table(table), OnFault(func(err error) { t.Errorf("a fault: %v", err) }))
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return store
}

// begin fails the test unless the key is in the state that is wanted.
func begin(t *testing.T, store *Store, key string, ttl time.Duration, want idempotency.State) idempotency.Claim {
	t.Helper()
	claim, state, err := store.Begin(t.Context(), key, ttl)
	if err != nil || state != want {
		t.Fatalf("the key %s is %s, want %s; error %v", key, state, want, err)
	}
	return claim
}

func TestStore(t *testing.T) {
	check := func(v brokers.Version, name string, parameters ...string) {
		t.Run(string(v)+"/"+name, func(t *testing.T) {
			t.Parallel()
			where, table := address(t, v, parameters...), tableOf()
			newStore(t, openPool(t, where), table)
			storetest.RunShared(t, func(t *testing.T) idempotency.Store { return newStore(t, openPool(t, where), table) })
		})
	}
	versions := brokers.PostgreSQLVersions()
	for _, v := range versions {
		check(v, "default")
	}
	newest := versions[len(versions)-1]
	check(newest, "simple protocol", "default_query_exec_mode", "simple_protocol", "default_transaction_isolation", "repeatable read")
	check(newest, "exec", "default_query_exec_mode", "exec", "default_transaction_isolation", "serializable")
}

// On a connection, calls wait for each other.
func TestStoreOnConnection(t *testing.T) {
	where, table := address(t, brokers.PostgreSQL17), tableOf()
	storetest.Run(t, func(t *testing.T) idempotency.Store { return newStore(t, connect(t, where), table) })
	t.Run("transaction", func(t *testing.T) {
		store := newStore(t, connect(t, where), table)
		claim := begin(t, store, "a", time.Minute, idempotency.Fresh)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		err := deliver(t, store, "b", func(handling context.Context) error {
			return store.InTx(handling, func(pgx.Tx) error {
				if err := store.Extend(ctx, claim, time.Minute); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("a call beside a transaction ended with %v", err)
				}
				return nil
			})
		})
		if err != nil {
			t.Error(err)
		}
		begin(t, store, "b", time.Minute, idempotency.Done)
	})
}

// connect opens a connection that the test closes.
func connect(t *testing.T, where string) *pgx.Conn {
	t.Helper()
	u, err := url.Parse(where)
	if err != nil {
		t.Fatal(err)
	}
	u.RawQuery = ""
	conn, err := pgx.Connect(t.Context(), u.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// The cases of the suite about idempotency hold, on the memory driver.
func TestSuite(t *testing.T) {
	pool := openPool(t, address(t, brokers.PostgreSQL17))
	ran := 0
	for _, c := range conformance.Cases() {
		if !strings.HasPrefix(c.Name, "idempotency-") {
			continue
		}
		ran++
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			b, err := memory.NewBroker(memory.Options{})
			if err != nil {
				t.Fatal(err)
			}
			err = c.Run(t.Context(), conformance.Harness{
				Open:  func(context.Context) (driver.Driver, error) { return b.OpenPortable() },
				Store: func(context.Context) (idempotency.Store, error) { return newStore(t, pool, tableOf()), nil },
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	if ran < 10 {
		t.Errorf("the suite has %d cases about idempotency", ran)
	}
}

func TestSweep(t *testing.T) {
	pool := openPool(t, address(t, brokers.PostgreSQL17))
	table := tableOf()
	store := newStore(t, pool, table)
	begin(t, store, "held", time.Hour, idempotency.Fresh)
	_, err := pool.Exec(t.Context(), "INSERT INTO "+table+" SELECT convert_to('old ' || n, 'UTF8'), n, true, now() - interval '2 hours' FROM generate_series(1, 2300) n")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := store.Sweep(t.Context()); n != 2300 || err != nil {
		t.Errorf("%d rows were removed, want 2300; error %v", n, err)
	}
	begin(t, store, "held", time.Hour, idempotency.InProgress)
}

func TestMistakes(t *testing.T) {
	pool := openPool(t, address(t, brokers.PostgreSQL17))
	for name, make := range map[string]func() (*Store, error){
		"no database":     func() (*Store, error) { return New(nil) },
		"a bad name":      func() (*Store, error) { return New(pool, Table(`k"`)) },
		"no function":     func() (*Store, error) { return New(pool, OnFault(nil)) },
		"the zero option": func() (*Store, error) { return New(pool, Option{}) },
	} {
		if store, err := make(); err == nil || store != nil || !strings.HasPrefix(err.Error(), "idempotency/pgxstore: ") {
			t.Errorf("%s: the store is %v, the error %v", name, store, err)
		}
	}
	table := tableOf()
	store, err := New(pool, Table(table))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := store.Begin(t.Context(), "k", time.Minute); err == nil || !strings.Contains(err.Error(), table) || !strings.Contains(err.Error(), "Migrate") {
		t.Errorf("without a table: %v", err)
	}
	if _, _, err := store.Begin(t.Context(), "k", 0); err == nil {
		t.Error("a claim for no time was taken")
	}
	text, err := Schema(table)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(t.Context(), text, pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
	begin(t, store, "k", time.Minute, idempotency.Fresh)
	if err := store.Migrate(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := Schema("K"); err == nil {
		t.Error("a name that is none was taken")
	}
}

// A role that may not create tables uses one that another has made.
func TestRights(t *testing.T) {
	where := address(t, brokers.PostgreSQL17)
	pool := openPool(t, where)
	table := tableOf()
	newStore(t, pool, table)
	role := "role_" + table
	for _, text := range []string{
		"CREATE ROLE " + role + " LOGIN PASSWORD 'secret-of-a-role'",
		"GRANT SELECT, INSERT, UPDATE, DELETE ON " + table + " TO " + role,
		"GRANT USAGE ON SEQUENCE " + table + "_tokens TO " + role,
	} {
		if _, err := pool.Exec(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	u, err := url.Parse(where)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(role, "secret-of-a-role")
	limited := openPool(t, u.String())
	store, err := New(limited, Table(table))
	if err != nil {
		t.Fatal(err)
	}
	claim := begin(t, store, "a", time.Minute, idempotency.Fresh)
	begin(t, store, "b", time.Nanosecond, idempotency.Fresh)
	begin(t, store, "b", time.Minute, idempotency.Fresh)
	swept := func() error { _, err := store.Sweep(t.Context()); return err }
	if err := errors.Join(store.Extend(t.Context(), claim, time.Minute), store.Complete(t.Context(), claim, time.Minute), store.Complete(t.Context(), claim, time.Minute),
		store.Abandon(t.Context(), claim), swept()); err != nil {
		t.Errorf("with the rights that the documentation names: %v", err)
	}
	other, err := New(limited, Table(table+"x"))
	if err != nil {
		t.Fatal(err)
	}
	var pg *pgconn.PgError
	if err := other.Migrate(t.Context()); !errors.As(err, &pg) || pg.Code != "42501" || strings.Contains(err.Error(), "secret-of-a-role") {
		t.Errorf("a role that may not create a table: %v", err)
	}
}
