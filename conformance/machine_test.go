package conformance

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
)

var errTime = errors.New("its time is over")

// A case has more time on a machine that is late.
func TestDeadlineOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pulse
		begin := time.Now()
		ctx, cancel := deadlineOf(t.Context(), time.Minute, &p, errTime)
		defer cancel()
		p.late.Store(int64(100 * time.Millisecond))
		<-ctx.Done()
		if took, want := time.Since(begin), time.Minute+allSteps*100*time.Millisecond; took != want {
			t.Errorf("it ended after %s, want %s", took, want)
		}
		if err := context.Cause(ctx); err != errTime {
			t.Errorf("the cause is %v", err)
		}
	})
}

// A pulse measures nothing where nothing is late.
func TestPulse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPulse(callBeat)
		time.Sleep(time.Second) // fake time
		if worst := p.stop(); worst != 0 {
			t.Errorf("the fake clock is late by %s", worst)
		}
	})
	if (*pulse)(nil).worst() != 0 {
		t.Error("no pulse is late")
	}
}

// repeated runs a case on memory and returns how often it ran, and its result.
func repeated(t *testing.T, c Case) (leases []time.Duration, notes []string, err error) {
	t.Helper()
	d := memory.New()
	defer d.Close(t.Context())
	run := c.run
	c.run = func(s *stage) {
		leases = append(leases, s.harness.Lease)
		run(s)
	}
	h := Harness{Open: func(context.Context) (driver.Driver, error) { return memory.New(), nil }}
	h, err = h.withDefaults(d.Info().Limits)
	if err != nil {
		t.Fatal(err)
	}
	notes, err = c.execute(t.Context(), &h, d.Info())
	return leases, notes, err
}

// A case that a slow machine keeps from judging is repeated with longer leases, and is no
// failure in the end; one that judges is not repeated.
func TestSlowMachine(t *testing.T) {
	late := func(s *stage) { s.machine.late.Store(int64(time.Minute)) }
	failed := false
	for name, test := range map[string]struct {
		run   func(*stage)
		timed bool
		times int
		fails bool
		note  string
	}{
		"it passes":                           {func(*stage) {}, true, 1, false, ""},
		"it passes on a machine that is late": {late, true, 1, false, ""},
		"it fails":                            {func(s *stage) { s.failf("wrong") }, true, 1, true, ""},
		"it fails on a machine that is late":  {func(s *stage) { late(s); s.failf("wrong") }, true, repeats, true, "run 1 failed on a machine that was late by up to 1m0s: wrong (BATCH_SEED="},
		"it fails for what is no time":        {func(s *stage) { late(s); s.failf("wrong") }, false, 1, true, ""},
		"it fails once on a machine that is late": {func(s *stage) {
			if !failed {
				failed = true
				late(s)
				s.failf("wrong")
			}
		}, true, 2, false, "run 1 failed on a machine that was late by up to 1m0s: wrong (BATCH_SEED="},
		"it cannot judge": {func(s *stage) { s.slow("the window is over") }, true, repeats, false, "the machine is too slow: the window is over"},
	} {
		t.Run(name, func(t *testing.T) {
			leases, notes, err := repeated(t, Case{Name: "case", timed: test.timed, run: test.run})
			if len(leases) != test.times || (err != nil) != test.fails || (len(notes) > 0) != (test.note != "") {
				t.Errorf("it ran with leases of %v: %v, %v", leases, notes, err)
			}
			if test.times == repeats && leases[2] != 4*leases[0] {
				t.Errorf("the leases are %v, want each twice the one before", leases)
			}
			if test.note != "" && !strings.Contains(notes[0], test.note) {
				t.Errorf("the note is %q, want %q", notes[0], test.note)
			}
		})
	}
}
