package databases

import (
	"context"
	"testing"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
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
