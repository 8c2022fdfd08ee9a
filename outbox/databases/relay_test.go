package databases

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/outbox"
)

// rigged is a memory broker whose imports a test changes.
type rigged struct {
	*memory.Driver
	limits func(*driver.Limits)
	// fault is asked about each entry before it is stored, and whether that is carried out nevertheless.
	fault func(e *driver.Entry) (err error, stored bool)
}

func (r *rigged) Info() driver.Info {
	info := r.Driver.Info()
	if r.limits != nil {
		r.limits(&info.Limits)
	}
	return info
}

func (r *rigged) Import(ctx context.Context, queue string, entries []*driver.Entry) []driver.Result {
	results := make([]driver.Result, len(entries))
	for i, e := range entries {
		var err error
		stored := true
		if r.fault != nil {
			err, stored = r.fault(e)
		}
		if stored {
			// Without ctx: what is stored in spite of an error may be stored late.
			if one := r.Driver.Import(context.WithoutCancel(ctx), queue, []*driver.Entry{e}); one != nil {
				results[i] = one[0]
			}
		}
		if err != nil {
			results[i].Err = err
		}
	}
	return results
}

// away is the error of a broker that cannot be reached.
func away(fate driver.Fate) error {
	return &driver.Error{Driver: "test", Op: "import", Kind: driver.ErrUnavailable, Fate: fate}
}

// What is committed comes to the broker as it was written, in order, and what is rolled back does not.
func TestRelay(t *testing.T) {
	each(t, func(t *testing.T, db *sql.DB, box *outbox.Box) {
		d := broker(t)
		q := batch.NewQueue(d, "notes")
		write(t, db, box, q, upTo(250), batch.Priority(q, batch.High), batch.Headers(q, map[string]string{"tenant": "a"}))
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := outbox.Enqueue(t.Context(), tx, box, q, note{1000}); err != nil {
			t.Fatal(err)
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		write(t, db, box, q, []int{2000}, batch.Delay(q, time.Hour))
		if depth, err := box.Depth(t.Context()); err != nil || depth.Waiting != 251 || depth.Parked != 0 || depth.Age < 0 || depth.Age > time.Minute {
			t.Errorf("before, the box has %+v, %v", depth, err)
		}
		r, stop := relay(t, box, d, outbox.RelayConfig{})
		if depth := empty(t, box); depth != (outbox.Depth{}) {
			t.Errorf("the box has %+v", depth)
		}
		stop()
		if s := r.Stats(); s.Relayed != 251 || s.Repeated != 0 || s.Parked != 0 || s.Leads || s.Err != nil {
			t.Errorf("the relay says %+v", s)
		}
		waiting := jobs(t, d, "notes", batch.StateWaiting)
		if len(waiting) != 250 {
			t.Fatalf("%d jobs are there", len(waiting))
		}
		for i, e := range waiting {
			if e.ID != id(i) || e.Kind != "note" || e.Level != batch.High || e.Headers["tenant"] != "a" || string(e.Body) != fmt.Sprintf(`{"n":%d}`, i) {
				t.Fatalf("job %d is %+v", i, e)
			}
		}
		later := jobs(t, d, "notes", batch.StateScheduled)
		if len(later) != 1 || time.Until(later[0].DueAt) > time.Hour || time.Until(later[0].DueAt) < 50*time.Minute {
			t.Errorf("the delayed jobs are %+v", later)
		}
	})
}

// A job that the broker cannot keep, or that nobody can read, is parked with its reason, in the way of nobody.
func TestParked(t *testing.T) {
	each(t, func(t *testing.T, db *sql.DB, box *outbox.Box) {
		d := broker(t)
		q := batch.NewQueue(d, "notes")
		write(t, db, box, q, upTo(3), batch.Group(q, "g"))
		narrow := &rigged{Driver: d, limits: func(l *driver.Limits) { l.MaxBody = len(`{"n":1}`) }}
		write(t, db, box, q, []int{100}, batch.Group(q, "g"))
		write(t, db, box, q, []int{3}, batch.Group(q, "g"))
		var log bytes.Buffer
		r, stop := relay(t, box, narrow, outbox.RelayConfig{Log: slog.New(slog.NewTextHandler(&log, nil))})
		if depth := empty(t, box); depth.Parked != 1 {
			t.Errorf("the box has %+v", depth)
		}
		stop()
		if s := r.Stats(); s.Relayed != 4 || s.Parked != 1 {
			t.Errorf("the relay says %+v", s)
		}
		if !strings.Contains(log.String(), "id=job-0100") || strings.Contains(log.String(), `"n"`) {
			t.Errorf("the log says %s", log.String())
		}
		parked, err := box.Parked(t.Context(), 0, 10)
		if err != nil || len(parked) != 1 {
			t.Fatalf("%d jobs are parked, %v", len(parked), err)
		}
		p := parked[0]
		if p.Queue != "notes" || p.Job == nil || p.Job.ID() != id(100) || !strings.Contains(p.Reason, "body") || p.ParkedAt.Before(p.StoredAt) || time.Since(p.StoredAt).Abs() > time.Minute {
			t.Errorf("the parked job is %+v", p)
		}
		if more, err := box.Parked(t.Context(), p.Row, 10); err != nil || len(more) != 0 {
			t.Errorf("behind it there are %v, %v", more, err)
		}
		if n, err := box.Retry(t.Context(), p.Row, p.Row+1000); err != nil || n != 1 {
			t.Errorf("%d jobs are to be tried again, %v", n, err)
		}
		_, stop = relay(t, box, d, outbox.RelayConfig{})
		if depth := empty(t, box); depth.Parked != 0 {
			t.Errorf("the box has %+v", depth)
		}
		stop()
		if got := jobs(t, d, "notes", batch.StateWaiting); len(got) != 5 || got[4].ID != id(100) {
			t.Errorf("the broker has %+v", got)
		}
	})
}

// The jobs of a group stay in order, whatever fails between them.
func TestGroupsKeepTheirOrder(t *testing.T) {
	each(t, func(t *testing.T, db *sql.DB, box *outbox.Box) {
		d := broker(t)
		q := batch.NewQueue(d, "notes")
		seed := rand.Uint64()
		t.Logf("the seed is %d", seed)
		random := rand.New(rand.NewPCG(seed, 0))
		for n := range 90 {
			write(t, db, box, q, []int{n}, batch.Group(q, string(rune('a'+random.IntN(3)))))
		}
		var mu sync.Mutex
		flaky := &rigged{Driver: d, fault: func(*driver.Entry) (error, bool) {
			mu.Lock()
			defer mu.Unlock()
			switch random.IntN(10) {
			case 0:
				return away(driver.FateUnknown), false
			case 1:
				return away(driver.FateUnknown), true
			}
			return nil, true
		}}
		relay(t, box, flaky, outbox.RelayConfig{})
		empty(t, box)
		byGroup := make(map[string][]string)
		all := jobs(t, d, "notes", batch.StateWaiting)
		for _, e := range all {
			byGroup[e.Group] = append(byGroup[e.Group], e.ID)
		}
		if len(all) != 90 {
			t.Errorf("the broker has %d jobs, want 90", len(all))
		}
		for group, ids := range byGroup {
			if !slices.IsSorted(ids) {
				t.Errorf("the order of group %s is %v", group, ids)
			}
		}
	})
}

// A Unique key is the broker's to check: of two jobs one is stored. One that is sent again is no duplicate of another.
func TestUniqueKey(t *testing.T) {
	each(t, func(t *testing.T, db *sql.DB, box *outbox.Box) {
		d := broker(t)
		q := batch.NewQueue(d, "notes")
		write(t, db, box, q, []int{1, 2}, batch.Unique(q, "key"))
		r, stop := relay(t, box, d, outbox.RelayConfig{})
		empty(t, box)
		stop()
		if got := jobs(t, d, "notes", batch.StateWaiting); len(got) != 1 || got[0].ID != id(1) {
			t.Errorf("the broker has %+v", got)
		}
		if s := r.Stats(); s.Relayed != 2 || s.Duplicates != 1 || s.Repeated != 0 {
			t.Errorf("the relay says %+v", s)
		}
		write(t, db, box, q, []int{1}, batch.Unique(q, "key"))
		r, stop = relay(t, box, d, outbox.RelayConfig{})
		empty(t, box)
		stop()
		if s := r.Stats(); s.Relayed != 1 || s.Duplicates != 0 || s.Repeated != 1 {
			t.Errorf("after a repeated job the relay says %+v", s)
		}
	})
}

// A broker that is away costs nothing but time, and one line of the log.
func TestOutage(t *testing.T) {
	each(t, func(t *testing.T, db *sql.DB, box *outbox.Box) {
		d := broker(t)
		write(t, db, box, batch.NewQueue(d, "notes"), upTo(5))
		var mu sync.Mutex
		calls := 0
		flaky := &rigged{Driver: d, fault: func(*driver.Entry) (error, bool) {
			mu.Lock()
			defer mu.Unlock()
			if calls++; calls < 12 {
				return &driver.Error{Driver: "test", Op: "import", Kind: driver.ErrFull, Fate: driver.FateNotStored}, false
			}
			return nil, true
		}}
		var log bytes.Buffer
		r, stop := relay(t, box, flaky, outbox.RelayConfig{Log: slog.New(slog.NewTextHandler(&log, nil))})
		await(t, "the outage", func() error {
			if !errors.Is(r.Stats().Err, batch.ErrFull) {
				return fmt.Errorf("the relay says %+v", r.Stats())
			}
			return nil
		})
		empty(t, box)
		stop()
		if got := jobs(t, d, "notes", batch.StateWaiting); len(got) != 5 || r.Stats().Err != nil {
			t.Errorf("the broker has %d jobs, the relay says %+v", len(got), r.Stats())
		}
		if n := strings.Count(log.String(), "cannot go on"); n != 1 || !strings.Contains(log.String(), "goes on") {
			t.Errorf("the log says %s", log.String())
		}
	})
}

// A queue that fails holds up no other, and goes on in order when it can.
func TestFailingQueue(t *testing.T) {
	each(t, func(t *testing.T, db *sql.DB, box *outbox.Box) {
		d := broker(t)
		bad, good := batch.NewQueue(d, "bad"), batch.NewQueue(d, "good")
		write(t, db, box, bad, upTo(250), batch.Group(bad, "bad"))
		write(t, db, box, good, upTo(5))
		var healed atomic.Bool
		r, _ := relay(t, box, &rigged{Driver: d, fault: func(e *driver.Entry) (error, bool) {
			if e.Group == "bad" && !healed.Load() {
				return &driver.Error{Driver: "test", Op: "import", Kind: driver.ErrUnauthorized, Fate: driver.FateNotStored}, false
			}
			return nil, true
		}}, outbox.RelayConfig{})
		await(t, "the jobs of the other queue", func() error {
			if n := len(jobs(t, d, "good", batch.StateWaiting)); n != 5 {
				return fmt.Errorf("there are %d", n)
			}
			return nil
		})
		await(t, "the failure", func() error {
			if !errors.Is(r.Stats().Err, batch.ErrUnauthorized) {
				return fmt.Errorf("the relay says %+v", r.Stats())
			}
			return nil
		})
		write(t, db, box, good, []int{5})
		await(t, "a job of the other queue", func() error {
			if n := len(jobs(t, d, "good", batch.StateWaiting)); n != 6 {
				return fmt.Errorf("there are %d", n)
			}
			return nil
		})
		healed.Store(true)
		empty(t, box)
		for i, e := range jobs(t, d, "bad", batch.StateWaiting) {
			if e.ID != id(i) {
				t.Fatalf("job %d is %s", i, e.ID)
			}
		}
		await(t, "the end of the failure", func() error { return r.Stats().Err })
	})
}

// With a long interval a job goes at once if the relay is woken.
func TestWake(t *testing.T) {
	each(t, func(t *testing.T, db *sql.DB, box *outbox.Box) {
		d := broker(t)
		q := batch.NewQueue(d, "notes")
		r, _ := relay(t, box, d, outbox.RelayConfig{Interval: time.Hour, Lease: 10 * time.Minute})
		await(t, "the lease", func() error {
			if !r.Stats().Leads {
				return errors.New("it does not lead")
			}
			return nil
		})
		for n := range 3 {
			write(t, db, box, q, []int{n})
			r.Wake()
			empty(t, box)
		}
	})
}
