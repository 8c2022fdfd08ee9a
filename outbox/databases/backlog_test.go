package databases

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	mysqldriver "github.com/go-sql-driver/mysql"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/internal/brokers"
	"github.com/batch-go/batch/outbox"
)

// withParam is a MariaDB of which every connection has a setting.
func withParam(t *testing.T, version brokers.Version, name, value string) *sql.DB {
	t.Helper()
	for _, d := range databases() {
		if d.name != string(version) {
			continue
		}
		c, err := mysqldriver.ParseDSN(d.source(t))
		if err != nil {
			t.Fatal(err)
		}
		c.Params = map[string]string{name: value}
		return openAt(t, d.client, c.FormatDSN())
	}
	t.Fatalf("there is no %s", version)
	return nil
}

// status is the sum of counters of the one connection that a test has.
func status(t *testing.T, db *sql.DB, pattern string) (sum int64) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SHOW SESSION STATUS LIKE '"+pattern+"'")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		var n int64
		if err := rows.Scan(&name, &n); err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return sum
}

// While a queue fails, the jobs that wait there are not read again and again for those of others.
func TestBacklogIsNotRead(t *testing.T) {
	for _, v := range brokers.MariaDBVersions() {
		t.Run(string(v), func(t *testing.T) {
			t.Parallel()
			const backlog, others = 4096, 20
			db := withParam(t, v, "tx_isolation", "'REPEATABLE-READ'")
			db.SetMaxOpenConns(1)
			box := newBox(t, db, outbox.MySQL)
			table, _ := tableOf.Load(box)
			d := broker(t)
			bad, good := batch.NewQueue(d, "bad"), batch.NewQueue(d, "good")
			write(t, db, box, bad, []int{0}, batch.Group(bad, "bad"))
			for n := 1; n < backlog; n *= 2 {
				if _, err := db.ExecContext(t.Context(), "INSERT INTO "+table.(string)+" (queue, job, stored) SELECT queue, job, stored FROM "+table.(string)+" WHERE id > 1"); err != nil {
					t.Fatal(err)
				}
			}
			r, _ := relay(t, box, &rigged{Driver: d, fault: func(e *driver.Entry) (error, bool) {
				if e.Group == "bad" {
					return away(driver.FateNotStored), false
				}
				return nil, true
			}}, outbox.RelayConfig{Interval: time.Hour})
			await(t, "the failure", func() error {
				if !errors.Is(r.Stats().Err, batch.ErrUnavailable) {
					return fmt.Errorf("the relay says %+v", r.Stats())
				}
				return nil
			})
			before := status(t, db, "Handler_read%")
			for n := range others {
				write(t, db, box, good, []int{n})
				r.Wake()
				await(t, "a job of the other queue", func() error {
					if s := r.Stats(); s.Relayed != int64(n+1) {
						return fmt.Errorf("the relay says %+v", s)
					}
					return nil
				})
			}
			if n := status(t, db, "Handler_read%") - before; n > others*backlog/2 {
				t.Errorf("for %d jobs of another queue the database has read %d rows, where %d wait", others, n, backlog)
			}
		})
	}
}

// large is a job that is.
type large struct {
	N    int    `json:"n"`
	Text string `json:"text"`
}

// Kind is its kind.
func (large) Kind() string { return "large" }

// What the relay has no room for it does not fetch.
func TestLargeJobsAreFetchedOnce(t *testing.T) {
	for _, v := range brokers.MariaDBVersions() {
		t.Run(string(v), func(t *testing.T) {
			t.Parallel()
			const size, count = 1 << 20, 24
			db := withParam(t, v, "tx_isolation", "'REPEATABLE-READ'")
			db.SetMaxOpenConns(1)
			box := newBox(t, db, outbox.MySQL)
			d := broker(t)
			q := batch.NewQueue(d, "notes")
			tx, err := db.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback()
			for n := range count {
				if _, err := outbox.Enqueue(t.Context(), tx, box, q, large{n, strings.Repeat("x", size)}, batch.ID(q, id(n))); err != nil {
					t.Fatal(err)
				}
			}
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
			before := status(t, db, "Bytes_sent")
			relay(t, box, d, outbox.RelayConfig{})
			empty(t, box)
			sent := status(t, db, "Bytes_sent") - before
			form := int64(size) * 4 / 3 // in base64
			if sent < count*size || sent > count*form*5/4 {
				t.Errorf("the relay has read %d bytes of %d jobs of %d", sent, count, size)
			}
			for i, e := range jobs(t, d, "notes", batch.StateWaiting) {
				if e.ID != id(i) || len(e.Body) < size {
					t.Errorf("job %d is %s of %d bytes", i, e.ID, len(e.Body))
				}
			}
		})
	}
}

// Whatever the isolation of transactions is by default, the relay takes what was committed, and waits for no transaction.
func TestIsolation(t *testing.T) {
	for _, v := range brokers.MariaDBVersions() {
		for _, level := range []string{"READ-UNCOMMITTED", "READ-COMMITTED", "REPEATABLE-READ", "SERIALIZABLE"} {
			t.Run(string(v)+"/"+level, func(t *testing.T) {
				t.Parallel()
				db := withParam(t, v, "tx_isolation", "'"+level+"'")
				box := newBox(t, db, outbox.MySQL)
				d := broker(t)
				q, other := batch.NewQueue(d, "notes"), batch.NewQueue(d, "others")
				open, err := db.BeginTx(t.Context(), nil)
				if err != nil {
					t.Fatal(err)
				}
				defer open.Rollback()
				for n, to := range []*batch.Queue[*memory.Driver]{q, other} {
					if _, err := outbox.Enqueue(t.Context(), open, box, to, note{n}, batch.ID(to, id(n))); err != nil {
						t.Fatal(err)
					}
				}
				if depth, err := box.Depth(t.Context()); err != nil || depth.Waiting != 0 {
					t.Errorf("beside an open transaction the box has %+v, %v", depth, err)
				}
				relay(t, box, d, outbox.RelayConfig{})
				for n := range 5 {
					write(t, db, box, q, []int{10 + n})
					empty(t, box)
				}
				if err := open.Rollback(); err != nil {
					t.Fatal(err)
				}
				write(t, db, box, q, []int{20})
				empty(t, box)
				got, others := jobs(t, d, "notes", batch.StateWaiting), jobs(t, d, "others", batch.StateWaiting)
				if len(got) != 6 || len(others) != 0 {
					t.Errorf("the broker has %d jobs, want 6, and %d of a queue of which all were rolled back: %+v", len(got), len(others), got)
				}
			})
		}
	}
}
