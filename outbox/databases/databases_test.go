package databases

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mysqldriver "github.com/go-sql-driver/mysql"
	_ "modernc.org/sqlite"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/internal/brokers"
	"github.com/batch-go/batch/outbox"
)

func TestMain(m *testing.M) {
	relayInChild()
	brokers.Main(m)
}

// database is one of those that the tests run on, by its data source name.
type database struct {
	name    string
	dialect outbox.Dialect
	client  string
	source  func(t testing.TB) string
}

// databases are all of them.
func databases() []database {
	all := []database{{"sqlite", outbox.SQLite, "sqlite", func(t testing.TB) string {
		return "file:" + filepath.Join(t.TempDir(), "shop.db") + "?_pragma=journal_mode(WAL)&_pragma=busy_timeout(10000)&_txlock=immediate"
	}}}
	for _, v := range brokers.MariaDBVersions() {
		all = append(all, database{string(v), outbox.MySQL, "mysql", func(t testing.TB) string {
			server := brokers.MariaDB(t, v)
			c := mysqldriver.NewConfig()
			c.User, c.Passwd, c.Net, c.Addr, c.DBName = server.Username, server.Password, "tcp", server.Addr, server.Path[1:]
			return c.FormatDSN()
		}})
	}
	return all
}

// openAt opens a database until the end of the test.
func openAt(t testing.TB, client, source string) *sql.DB {
	t.Helper()
	db, err := sql.Open(client, source)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(8)
	db.SetMaxIdleConns(8)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// tables counts the tables of this run.
var tables atomic.Int64

// newTable is a name for a table of the test's own.
func newTable() string { return fmt.Sprintf("outbox_%d_%d", time.Now().UnixNano(), tables.Add(1)) }

// tableOf are the names of the tables of boxes.
var tableOf sync.Map

// newBox makes a box of the test's own.
func newBox(t testing.TB, db *sql.DB, d outbox.Dialect) *outbox.Box {
	t.Helper()
	name := newTable()
	box, err := outbox.New(db, d, outbox.Table(name))
	if err != nil {
		t.Fatal(err)
	}
	if err := box.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	tableOf.Store(box, name)
	return box
}

// each runs a test on every database, each with a box of its own.
func each(t *testing.T, test func(t *testing.T, db *sql.DB, box *outbox.Box)) {
	for _, d := range databases() {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			db := openAt(t, d.client, d.source(t))
			test(t, db, newBox(t, db, d.dialect))
		})
	}
}

// note is a job.
type note struct {
	N int `json:"n"`
}

// Kind is its kind.
func (note) Kind() string { return "note" }

// broker is a memory broker of the test's own.
func broker(t testing.TB) *memory.Driver {
	t.Helper()
	d := memory.New()
	t.Cleanup(func() {
		if err := d.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return d
}

// write writes jobs in a transaction and commits it.
func write(t testing.TB, db *sql.DB, box *outbox.Box, q *batch.Queue[*memory.Driver], numbers []int, options ...batch.Option[*memory.Driver]) {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	for _, n := range numbers {
		if _, err := outbox.Enqueue(t.Context(), tx, box, q, note{n}, append([]batch.Option[*memory.Driver]{batch.ID(q, id(n))}, options...)...); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

// id is that of a job.
func id(n int) string { return fmt.Sprintf("job-%04d", n) }

// upTo are the numbers from 0 to n-1.
func upTo(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// relay runs one until the function that it returns is called, or the test ends.
func relay(t testing.TB, box *outbox.Box, target batch.Importer, config outbox.RelayConfig) (*outbox.Relay, func()) {
	t.Helper()
	if config.Interval == 0 {
		config.Interval = 10 * time.Millisecond
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	r, err := outbox.NewRelay(box, target, config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	stopped := false
	stop := func() {
		cancel()
		if stopped {
			return
		}
		stopped = true
		if err := <-ended; err != nil {
			t.Errorf("the relay ended with %v", err)
		}
	}
	t.Cleanup(stop)
	return r, stop
}

// bound is how long a test waits for what should come at once.
const bound = 30 * time.Second

// await waits until ok returns nil.
func await(t testing.TB, what string, ok func() error) {
	t.Helper()
	deadline, tick := time.After(bound), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for {
		err := ok()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waiting for %s: %v", what, err)
		}
	}
}

// empty waits until nothing waits in a box any more.
func empty(t testing.TB, box *outbox.Box) outbox.Depth {
	t.Helper()
	var d outbox.Depth
	await(t, "an empty box", func() (err error) {
		if d, err = box.Depth(t.Context()); err == nil && d.Waiting > 0 {
			err = fmt.Errorf("it has %+v", d)
		}
		return err
	})
	return d
}

// jobs are those that a queue of the memory broker has in a state.
func jobs(t testing.TB, d *memory.Driver, queue string, state batch.State) []batch.Entry {
	t.Helper()
	var all []batch.Entry
	for cursor := ""; ; {
		page, next, err := d.List(t.Context(), queue, state, cursor, 100)
		if errors.Is(err, batch.ErrNotFound) {
			return nil
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page...)
		if cursor = next; next == "" {
			return all
		}
	}
}
