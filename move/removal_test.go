package move_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/move"
)

// stepped is a driver that waits before it discards, and tells when it has imported.
type stepped struct {
	*memory.Driver
	imported func()
	discard  func()
}

func (s *stepped) Import(ctx context.Context, queue string, entries []*driver.Entry) []driver.Result {
	results := s.Driver.Import(ctx, queue, entries)
	if s.imported != nil && entries[0].Kind == "kind" { // no probe
		s.imported()
	}
	return results
}

func (s *stepped) Discard(ctx context.Context, queue string, which driver.Selection) (int, error) {
	if s.discard != nil && !strings.HasPrefix(which.IDs[0], "batch-move-probe") {
		s.discard()
	}
	return s.Driver.Discard(ctx, queue, which)
}

// TestOppositeMoversAreTold: two movers in opposite directions, which are a mistake, may discard what the other one has stored, and
// do not go on then.
func TestOppositeMoversAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := brokers(t)
		fill(t, a, "q", []batch.Entry{bare("dead", batch.StateDead, nil)})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		there, back := make(chan struct{}), make(chan struct{})
		var once, once2 sync.Once
		// The one from a to b stores it on b, and is late: the other has taken it back to a by then.
		fromA := &stepped{Driver: a, discard: func() { <-back }}
		toB := &stepped{Driver: b, imported: func() { once.Do(func() { close(there) }) }}
		// The one from b to a stores it on a, and discards it on b a little later.
		toA := &stepped{Driver: a, imported: func() { once2.Do(func() { close(back) }) }}
		fromB := &stepped{Driver: b, discard: func() { time.Sleep(time.Second) }}
		var all sync.WaitGroup
		all.Go(func() {
			p, err := move.Run(ctx, fromA, toB, "q", move.Only(batch.StateDead))
			if err == nil || !strings.Contains(err.Error(), "another mover moves the other way") {
				t.Errorf("the first mover, which has discarded two and stored one, says %+v, %v", p, err)
			}
		})
		<-there
		all.Go(func() {
			if _, err := move.Run(ctx, fromB, toA, "q", move.Only(batch.StateDead)); err != nil {
				t.Error(err)
			}
		})
		all.Wait()
	})
}

// dying is a source on which a job dies when its dead letters have been counted.
type dying struct {
	*memory.Driver
	calls int
	die   func()
}

func (d *dying) DeadLetters(ctx context.Context, queue, cursor string, max int) ([]driver.DeadLetter, string, error) {
	page, next, err := d.Driver.DeadLetters(ctx, queue, cursor, max)
	if d.calls++; d.calls == 3 { // after that of the probe, the first page of the second round
		d.die()
	}
	return page, next, err
}

// TestDeathDuringMove: a move that has discarded a job unread, as it died with the ID of a dead letter that was being moved, does not end
// as if all were well.
func TestDeathDuringMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, to := brokers(t)
		fill(t, from, "q", []batch.Entry{bare("order-17", batch.StateDead, nil)})
		second := bare("order-17", batch.StateDead, func(e *batch.Entry) { e.Body = []byte("the second"); e.DeadAt = e.DeadAt.Add(time.Hour) })
		source := &dying{Driver: from, die: func() { fill(t, from, "q", []batch.Entry{second}) }}
		p, err := move.Run(t.Context(), source, to, "q")
		if len(content(t, to, "q")) != 1 || err == nil || !strings.Contains(err.Error(), "jobs with the IDs of others died") {
			t.Errorf("it says %+v, %v", p, err)
		}
	})
}

// TestScheduledTwin: a job that is enqueued, with the ID of a scheduled job that is just being moved, is not lost.
func TestScheduledTwin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, to := brokers(t)
		fill(t, from, "q", []batch.Entry{bare("user-5", batch.StateScheduled, nil)})
		other := bare("user-5", batch.StateWaiting, func(e *batch.Entry) { e.Body = []byte("now") })
		var once sync.Once
		target := &stepped{Driver: to, imported: func() {
			once.Do(func() { fill(t, from, "q", []batch.Entry{other}) })
		}}
		var faults []error
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour)
		defer cancel()
		p, err := move.Run(ctx, from, target, "q", move.Only(batch.StateScheduled), move.OnFault(func(err error) { faults = append(faults, err) }))
		t.Logf("it says %+v, %v, %v", p, err, faults)
		all := append(content(t, from, "q"), content(t, to, "q")...)
		if !slices.ContainsFunc(all, func(e batch.Entry) bool { return string(e.Body) == "now" }) {
			t.Errorf("the waiting job is lost: there are %+v", all)
		}
	})
}

// blinking is a source of which a look fails that comes after others.
type blinking struct {
	*memory.Driver
	looks, failing int
	blink          func()
}

func (b *blinking) Find(ctx context.Context, queue, id string) (driver.Entry, error) {
	if b.looks++; b.looks == b.failing {
		b.blink()
		return driver.Entry{}, &driver.Error{Driver: "blinking", Op: "find", Kind: driver.ErrUnavailable, Fate: driver.FateNotStored}
	}
	return b.Driver.Find(ctx, queue, id)
}

// TestTakenWhileLookFails: a scheduled job that somebody else deletes while the mover cannot look whether it is there is none that the
// mover has removed: it is on the target, and told of.
func TestTakenWhileLookFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, to := brokers(t)
		fill(t, from, "q", []batch.Entry{bare("taken", batch.StateScheduled, nil)})
		source := &blinking{Driver: from, failing: 2, blink: func() { // the second is that before the deletion
			if err := from.Delete(t.Context(), "q", "taken"); err != nil {
				t.Error(err)
			}
		}}
		p, err := move.Run(t.Context(), source, to, "q", move.Only(batch.StateScheduled))
		if err != nil || p.Scheduled != 0 || p.Doubled != 1 {
			t.Errorf("it says %+v, %v", p, err)
		}
	})
}
