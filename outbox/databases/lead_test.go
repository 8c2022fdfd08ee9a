package databases

import (
	"database/sql"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/outbox"
)

// leads is nil if a relay has the lease.
func leads(r *outbox.Relay) func() error {
	return func() error {
		if !r.Stats().Leads {
			return fmt.Errorf("the relay says %+v", r.Stats())
		}
		return nil
	}
}

// Of several relays one has the lease, and another has it at once when that stops.
func TestOneLeads(t *testing.T) {
	each(t, func(t *testing.T, db *sql.DB, box *outbox.Box) {
		d := broker(t)
		config := outbox.RelayConfig{Lease: 10 * time.Minute}
		first, stop := relay(t, box, d, config)
		await(t, "the first relay", leads(first))
		second, _ := relay(t, box, d, config)
		q := batch.NewQueue(d, "notes")
		for n := range 20 { // time for the second
			write(t, db, box, q, []int{n})
			empty(t, box)
			if second.Stats().Leads {
				t.Fatal("both have the lease")
			}
		}
		if s := first.Stats(); s.Relayed != 20 {
			t.Errorf("the first relay says %+v", s)
		}
		stop()
		await(t, "the second relay", leads(second))
	})
}

// A relay whose broker answers late gives up the lease in time, and the one after it has no job twice.
func TestLateBroker(t *testing.T) {
	each(t, func(t *testing.T, db *sql.DB, box *outbox.Box) {
		d := broker(t)
		write(t, db, box, batch.NewQueue(d, "notes"), upTo(10))
		held, release := make(chan struct{}), make(chan struct{})
		late := &rigged{Driver: d, fault: func(e *driver.Entry) (error, bool) {
			if e.ID == id(0) {
				close(held)
				<-release
			}
			return nil, true
		}}
		first, stop := relay(t, box, late, outbox.RelayConfig{Lease: time.Second})
		<-held
		second, _ := relay(t, box, d, outbox.RelayConfig{})
		await(t, "the second relay", leads(second))
		empty(t, box)
		close(release)
		await(t, "the first relay's answer", func() error {
			if s := first.Stats(); s.Relayed < 10 {
				return fmt.Errorf("it says %+v", s)
			}
			return nil
		})
		stop()
		if got := jobs(t, d, "notes", batch.StateWaiting); len(got) != 10 {
			t.Errorf("the broker has %d jobs", len(got))
		}
		if s := first.Stats(); s.Repeated != 10 || s.Leads {
			t.Errorf("the first relay says %+v", s)
		}
		if !errors.Is(first.Stats().Err, nil) {
			t.Errorf("the first relay says %v", first.Stats().Err)
		}
	})
}

// A lease that ends far in the future, as of a relay that died before the clock of the database was set back, keeps no other away
// for that long.
func TestLeaseAfterClockWentBack(t *testing.T) {
	each(t, func(t *testing.T, db *sql.DB, box *outbox.Box) {
		d := broker(t)
		table, _ := tableOf.Load(box)
		if _, err := db.ExecContext(t.Context(), "UPDATE "+table.(string)+" SET token = 7, expires = ? WHERE id = 1", time.Now().Add(time.Hour).UnixMicro()); err != nil {
			t.Fatal(err)
		}
		write(t, db, box, batch.NewQueue(d, "notes"), []int{1})
		r, _ := relay(t, box, d, outbox.RelayConfig{Lease: time.Second})
		await(t, "the relay", leads(r))
		empty(t, box)
	})
}
