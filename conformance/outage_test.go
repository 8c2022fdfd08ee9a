package conformance_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/batch-go/batch/conformance"
	"github.com/batch-go/batch/driver"
)

// freezer makes calls wait while it is frozen: until their context ends or, if it
// is deaf, for longer.
type freezer struct {
	deaf bool

	mu     sync.Mutex // guards following
	frozen chan struct{}
}

func (f *freezer) freeze(context.Context) (func(), error) {
	frozen := make(chan struct{})
	f.mu.Lock()
	defer f.mu.Unlock()
	f.frozen = frozen
	return func() { close(frozen) }, nil
}

func (f *freezer) call(ctx context.Context) error {
	f.mu.Lock()
	frozen := f.frozen
	f.mu.Unlock()
	if frozen == nil {
		return nil
	}
	if f.deaf {
		select {
		case <-frozen:
		case <-time.After(3 * time.Second):
		}
		return nil
	}
	select {
	case <-frozen:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestFreeze(t *testing.T) {
	t.Parallel()
	for name, deaf := range map[string]bool{"a driver that heeds contexts": false, "one that does not": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &freezer{deaf: deaf}
			h := on(t, &faults{call: f.call})
			h.Freeze = f.freeze
			err := find(t, "freeze-deadline").Run(t.Context(), h)
			if (err != nil) != deaf {
				t.Errorf("the case says %v", err)
			}
		})
	}
}

func TestCut(t *testing.T) {
	t.Parallel()
	for name, loses := range map[string]bool{"a driver that says what broke": false, "one that confirms what it lost": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var cut atomic.Int32
			f := &faults{call: func(context.Context) error {
				if cut.Add(-1) >= 0 {
					return &driver.Error{Driver: "broken", Op: "call", Kind: driver.ErrUnavailable, Fate: driver.FateNotStored}
				}
				return nil
			}}
			var lost atomic.Bool
			if loses {
				f.call = nil
				f.store = func(m *driver.Message) []*driver.Message {
					if lost.CompareAndSwap(true, false) {
						return nil
					}
					return one(m)
				}
			}
			h := on(t, f)
			h.Cut = func(context.Context) error { cut.Store(3); lost.Store(true); return nil }
			err := find(t, "cut-goes-on").Run(t.Context(), h)
			if (err != nil) != loses {
				t.Errorf("the case says %v", err)
			}
		})
	}
}

// A restart that loses something is found.
func TestRestart(t *testing.T) {
	t.Parallel()
	for _, c := range []string{"restart-keeps", "restart-delay", "restart-pause"} {
		for name, forgets := range map[string]bool{"a broker that keeps": false, "one that forgets": true} {
			t.Run(c+"/"+name, func(t *testing.T) {
				t.Parallel()
				b := broker(t)
				h := conformance.Harness{
					Open:  func(context.Context) (driver.Driver, error) { return b.Open() },
					Lease: 300 * time.Millisecond, Slack: 200 * time.Millisecond, Timeout: 20 * time.Second,
					Restart: func(context.Context) error {
						if b.Crash(); forgets {
							b = broker(t)
						}
						return nil
					},
				}
				err := find(t, c).Run(t.Context(), h)
				var v *conformance.Violation
				if errors.As(err, &v) != forgets {
					t.Errorf("the case says %v", err)
				}
			})
		}
	}
}

// subjects are suites that must fail, run by TestRunFails in a process of their
// own.
var subjects = map[string]func(*testing.T){
	"early": func(t *testing.T) {
		conformance.Run(t, on(t, &faults{store: changed(func(m *driver.Message) { m.Delay /= 2 })}))
	},
	"missing": func(t *testing.T) {
		conformance.Run(t, conformance.Harness{Open: func(context.Context) (driver.Driver, error) {
			return nil, errors.New("nobody listens")
		}})
	},
	"unnamed": func(t *testing.T) {
		b := broker(t)
		conformance.Run(t, conformance.Harness{Open: func(context.Context) (driver.Driver, error) {
			d, err := b.OpenPortable()
			return unnamed{d}, err
		}})
	},
}

// unnamed is a driver without capabilities that no other package can name.
type unnamed struct{ driver.Driver }

// Pause is half a capability.
func (unnamed) Pause(context.Context, string) error { return nil }

func TestSubject(t *testing.T) {
	if name := os.Getenv("CONFORMANCE_SUBJECT"); name != "" {
		subjects[name](t)
	}
}

// Run must fail through package testing, in the case's subtest and with its rule.
func TestRunFails(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		filter string
		want   []string
	}{
		"early": {"TestSubject/^(delay|fields)$", []string{
			"--- FAIL: TestSubject/delay", "--- PASS: TestSubject/fields", "early", "rule delay:", "BATCH_SEED=",
			"conformance of *conformance_test.broken on memory", "this is no statement on the driver",
		}},
		"missing": {"TestSubject", []string{"the broker cannot be opened, so nothing was tested: nobody listens"}},
		"unnamed": {"TestSubject/^(capabilities|compiles-portable|info)$", []string{
			"--- FAIL: TestSubject/capabilities", "has Pause of driver.Pauser but lacks Paused, Resume",
			"--- FAIL: TestSubject/compiles-portable", "no other package can name it",
			"--- PASS: TestSubject/info",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			command := exec.CommandContext(t.Context(), os.Args[0], "-test.run", c.filter, "-test.v")
			command.Env = append(os.Environ(), "CONFORMANCE_SUBJECT="+name)
			out, err := command.CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) {
				t.Fatalf("the run did not fail: %v\n%s", err, out)
			}
			for _, want := range c.want {
				if !strings.Contains(string(out), want) {
					t.Errorf("the output lacks %q:\n%s", want, out)
				}
			}
		})
	}
}
