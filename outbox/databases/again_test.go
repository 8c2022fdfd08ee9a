package databases

import (
	"context"
	"database/sql"
	"fmt"
	"testing"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/outbox"
)

// forgetful is a broker that does not remember what it has imported.
type forgetful struct {
	driver.Driver
	driver.Importer
}

// What is stored and could not be deleted is not sent again by the relay that stored it.
func TestDeletionFails(t *testing.T) {
	d := broker(t)
	db := openAt(t, "sqlite", databases()[0].source(t))
	box := newBox(t, db, outbox.SQLite)
	table, _ := tableOf.Load(box)
	write(t, db, box, batch.NewQueue(d, "notes"), upTo(5))
	if _, err := db.ExecContext(t.Context(), "CREATE TRIGGER keeps BEFORE DELETE ON "+table.(string)+" BEGIN SELECT RAISE(ABORT, 'kept'); END"); err != nil {
		t.Fatal(err)
	}
	r, stop := relay(t, box, forgetful{d, d}, outbox.RelayConfig{})
	await(t, "the failure", func() error {
		if err := r.Stats().Err; err == nil {
			return context.DeadlineExceeded
		}
		return nil
	})
	if _, err := db.ExecContext(t.Context(), "DROP TRIGGER keeps"); err != nil {
		t.Fatal(err)
	}
	empty(t, box)
	stop()
	if n := len(jobs(t, d, "notes", batch.StateWaiting)); n != 5 {
		t.Errorf("the broker has %d jobs, want 5", n)
	}
}

// A table that was restored from a copy gives its numbers again, and no job is taken for one of before.
func TestNumbersComeAgain(t *testing.T) {
	d := broker(t)
	db := openAt(t, "sqlite", databases()[0].source(t))
	box := newBox(t, db, outbox.SQLite)
	q := batch.NewQueue(d, "notes")
	for n := range 2 {
		write(t, db, box, q, []int{n})
		_, stop := relay(t, box, d, outbox.RelayConfig{})
		empty(t, box)
		stop()
		if _, err := db.ExecContext(t.Context(), "UPDATE sqlite_sequence SET seq = 1"); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(jobs(t, d, "notes", batch.StateWaiting)); n != 2 {
		t.Errorf("the broker has %d jobs, want 2", n)
	}
}

// failOver makes a database what a server is that takes over without the rows of a box and their numbers, and writes a job, which
// gets the first number again: in one transaction, as for the relay. change comes first in it.
func failOver(t *testing.T, db *sql.DB, box *outbox.Box, q *batch.Queue[*memory.Driver], n int, change ...string) {
	t.Helper()
	table, _ := tableOf.Load(box)
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	for _, text := range append(change,
		"DELETE FROM "+table.(string)+" WHERE id > 1", "UPDATE sqlite_sequence SET seq = 1 WHERE name = '"+table.(string)+"'") {
		if _, err := tx.ExecContext(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := outbox.Enqueue(t.Context(), tx, box, q, note{n}, batch.ID(q, id(n))); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

// The number of a row whose job is stored, and that could not be deleted as the database went away, may come again: a server that
// takes over may lack the last rows. A job that gets it is not taken for the one before.
func TestNumberComesAgainAfterFailover(t *testing.T) {
	d := broker(t)
	db := openAt(t, "sqlite", databases()[0].source(t))
	box := newBox(t, db, outbox.SQLite)
	table, _ := tableOf.Load(box)
	q := batch.NewQueue(d, "notes")
	if _, err := db.ExecContext(t.Context(), "CREATE TRIGGER away BEFORE DELETE ON "+table.(string)+" BEGIN SELECT RAISE(ABORT, 'the server is away'); END"); err != nil {
		t.Fatal(err)
	}
	write(t, db, box, q, []int{1})
	r, stop := relay(t, box, d, outbox.RelayConfig{})
	await(t, "the first job", func() error {
		if s := r.Stats(); s.Relayed != 1 || s.Err == nil {
			return fmt.Errorf("the relay says %+v", s)
		}
		return nil
	})
	failOver(t, db, box, q, 2, "DROP TRIGGER away")
	empty(t, box)
	stop()
	if got := jobs(t, d, "notes", batch.StateWaiting); len(got) != 2 {
		t.Errorf("the box is empty, and the broker has %d of 2 jobs; the relay says %+v", len(got), r.Stats())
	}
}

// So it is if the number comes again while the broker takes the job of before, whether it keeps that or not.
func TestNumberComesAgainWhileSending(t *testing.T) {
	for name, answer := range map[string]error{
		"stored":  nil,
		"refused": &driver.Error{Driver: "test", Op: "import", Kind: driver.ErrTooLarge, Fate: driver.FateNotStored},
	} {
		t.Run(name, func(t *testing.T) {
			d := broker(t)
			db := openAt(t, "sqlite", databases()[0].source(t))
			box := newBox(t, db, outbox.SQLite)
			q := batch.NewQueue(d, "notes")
			write(t, db, box, q, []int{1})
			held, release := make(chan struct{}), make(chan struct{})
			r, stop := relay(t, box, &rigged{Driver: d, fault: func(e *driver.Entry) (error, bool) {
				if e.ID != id(1) {
					return nil, true
				}
				close(held)
				<-release
				return answer, answer == nil
			}}, outbox.RelayConfig{Lease: 10 * time.Minute}) // so that the request ends with the answer
			<-held
			failOver(t, db, box, q, 2)
			close(release)
			depth := empty(t, box)
			stop()
			got := jobs(t, d, "notes", batch.StateWaiting)
			if len(got) == 0 || got[len(got)-1].ID != id(2) || depth.Parked != 0 {
				t.Errorf("the box has %+v, and the broker %d jobs without the last; the relay says %+v", depth, len(got), r.Stats())
			}
		})
	}
}
