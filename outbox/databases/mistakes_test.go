package databases

import (
	"database/sql"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/outbox"
)

func TestWrongArguments(t *testing.T) {
	db := openAt(t, "sqlite", "file::memory:")
	box := newBox(t, db, outbox.SQLite)
	d := broker(t)
	made := func(_ any, err error) error { return err }
	for name, err := range map[string]error{
		"no database":   made(outbox.New(nil, outbox.MySQL)),
		"no dialect":    made(outbox.New(db, 0)),
		"zero option":   made(outbox.New(db, outbox.SQLite, outbox.Option{})),
		"table":         made(outbox.New(db, outbox.SQLite, outbox.Table("a; b"))),
		"schema":        made(outbox.Schema(7, "")),
		"schema, table": made(outbox.Schema(outbox.MySQL, "a b")),
		"no box":        made(outbox.NewRelay(nil, d, outbox.RelayConfig{})),
		"no target":     made(outbox.NewRelay(box, nil, outbox.RelayConfig{})),
		"interval":      made(outbox.NewRelay(box, d, outbox.RelayConfig{Interval: -1})),
		"lease":         made(outbox.NewRelay(box, d, outbox.RelayConfig{Lease: time.Hour})),
		"parked":        made(box.Parked(t.Context(), 0, 0)),
	} {
		if !errors.Is(err, batch.ErrInvalid) || !strings.HasPrefix(err.Error(), "outbox: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	q := batch.NewQueue(d, "notes")
	if err := outbox.EnqueuePrepared(t.Context(), tx, box, q, nil); !errors.Is(err, batch.ErrInvalid) {
		t.Errorf("a nil job: %v", err)
	}
	if err := outbox.EnqueuePrepared(t.Context(), tx, box, q, new(batch.Prepared)); !errors.Is(err, batch.ErrInvalid) {
		t.Errorf("a zero job: %v", err)
	}
}

// What is no prepared job, or on a queue that cannot be, is parked, and the error of a table that is not there says
// what to do.
func TestForeignRows(t *testing.T) {
	each(t, func(t *testing.T, db *sql.DB, box *outbox.Box) {
		d := broker(t)
		q := batch.NewQueue(d, "notes")
		write(t, db, box, q, []int{0})
		relay(t, box, d, outbox.RelayConfig{})
		empty(t, box)
		table, _ := tableOf.Load(box)
		for _, row := range [][2]string{{"notes", "{"}, {"notes", `{"version":99}`}, {"no queue", goodForm(t, q)}, {"notes", "\x00\xff"}} {
			if _, err := db.ExecContext(t.Context(), "INSERT INTO "+table.(string)+" (queue, job, stored) VALUES (?, ?, 0)", []byte(row[0]), []byte(row[1])); err != nil {
				t.Fatal(err)
			}
		}
		write(t, db, box, q, []int{2})
		if depth := empty(t, box); depth.Parked != 4 {
			t.Errorf("the box has %+v", depth)
		}
		parked, err := box.Parked(t.Context(), 0, 2)
		if err != nil || len(parked) != 2 || parked[0].Job != nil || !strings.Contains(parked[1].Reason, "version 99") {
			t.Errorf("parked are %+v, %v", parked, err)
		}
		if parked, err = box.Parked(t.Context(), parked[1].Row, 10); err != nil || len(parked) != 2 || parked[0].Queue != "no queue" || parked[0].Job.ID() != "good" {
			t.Errorf("parked are %+v, %v", parked, err)
		}
		if n, err := box.Discard(t.Context(), parked[0].Row, parked[1].Row, 1); err != nil || n != 2 {
			t.Errorf("%d were discarded, %v", n, err)
		}
		if got := jobs(t, d, "notes", batch.StateWaiting); len(got) != 2 {
			t.Errorf("the broker has %+v", got)
		}
	})
}

// A row with a number that no box gives, none above the lease's, is no job, and is not sent again and again.
func TestForeignNumbers(t *testing.T) {
	each(t, func(t *testing.T, db *sql.DB, box *outbox.Box) {
		d := broker(t)
		q := batch.NewQueue(d, "notes")
		table, _ := tableOf.Load(box)
		for i, row := range []string{"(-5, ?, ?, 0, NULL)", "(-6, ?, ?, 0, NULL)", "(-7, ?, ?, 0, 1)"} {
			if _, err := db.ExecContext(t.Context(), "INSERT INTO "+table.(string)+" (id, queue, job, stored, parked) VALUES "+row,
				[]byte([]string{"notes", "others", "notes"}[i]), []byte(goodForm(t, q))); err != nil {
				t.Fatal(err)
			}
		}
		r, stop := relay(t, box, d, outbox.RelayConfig{})
		for n := range 3 { // time for the foreign ones
			write(t, db, box, q, []int{n})
			if depth := empty(t, box); depth != (outbox.Depth{}) {
				t.Errorf("the box has %+v", depth)
			}
		}
		stop()
		if s := r.Stats(); s.Relayed != 3 || s.Repeated != 0 || s.Err != nil {
			t.Errorf("the relay says %+v", s)
		}
		if got, others := jobs(t, d, "notes", batch.StateWaiting), jobs(t, d, "others", batch.StateWaiting); len(got) != 3 || len(others) != 0 {
			t.Errorf("the broker has %+v, %+v", got, others)
		}
		if parked, err := box.Parked(t.Context(), -10, 10); err != nil || len(parked) != 0 {
			t.Errorf("parked are %+v, %v", parked, err)
		}
	})
}

// Any number may migrate at once, and again.
func TestMigrate(t *testing.T) {
	for _, d := range databases() {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			db := openAt(t, d.client, d.source(t))
			name := newTable()
			box, err := outbox.New(db, d.dialect, outbox.Table(name))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := box.Depth(t.Context()); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("without the table: %v", err)
			}
			text, err := outbox.Schema(d.dialect, name)
			if err != nil {
				t.Fatal(err)
			}
			for statement := range strings.SplitSeq(strings.TrimSuffix(text, ";\n"), ";\n") {
				if _, err := db.ExecContext(t.Context(), statement); err != nil {
					t.Fatal(err)
				}
			}
			// Without Migrate, as for a role that may not create tables.
			d := broker(t)
			write(t, db, box, batch.NewQueue(d, "notes"), []int{1})
			_, stop := relay(t, box, d, outbox.RelayConfig{})
			empty(t, box)
			stop()
			var all sync.WaitGroup
			for range 6 {
				all.Go(func() {
					if err := box.Migrate(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			if depth, err := box.Depth(t.Context()); err != nil || depth != (outbox.Depth{}) {
				t.Errorf("the box has %+v, %v", depth, err)
			}
		})
	}
}

// goodForm is the stored form of a job.
func goodForm(t testing.TB, q *batch.Queue[*memory.Driver]) string {
	t.Helper()
	job, err := q.Prepare(t.Context(), note{1}, batch.ID(q, "good"))
	if err != nil {
		t.Fatal(err)
	}
	form, err := job.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return string(form)
}
