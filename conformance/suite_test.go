package conformance

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
)

func TestCasesAreNamed(t *testing.T) {
	seen := make(map[string]bool)
	for _, c := range Cases() {
		if c.Name == "" || seen[c.Name] || strings.ToLower(c.Name) != c.Name || strings.ContainsAny(c.Name, " /_") {
			t.Errorf("the name %q is empty, not in the form of names, or there twice", c.Name)
		}
		seen[c.Name] = true
		if !strings.HasSuffix(c.Rule, ".") || len(c.Rule) < 30 {
			t.Errorf("the rule of %s is no sentence: %q", c.Name, c.Rule)
		}
		if c.run == nil {
			t.Errorf("%s has no code", c.Name)
		}
	}
}

// A capability that package batch knows and this package does not would be
// declared by drivers without being tested.
func TestSetsAreComplete(t *testing.T) {
	d := memory.New()
	defer d.Close(t.Context())
	var names []string
	for _, c := range allCapabilities {
		names = append(names, c.name)
		if len(c.uses) == 0 {
			t.Errorf("%s has no use that must not compile", c.name)
		}
		if !slices.ContainsFunc(Cases(), func(k Case) bool { return slices.Equal(k.Needs, []string{c.name}) }) {
			t.Errorf("no case needs just %s", c.name)
		}
	}
	if known := batch.Capabilities(d); !slices.Equal(names, known) {
		t.Errorf("the suite knows the capabilities %v, package batch %v", names, known)
	}
}

type half struct{ driver.Driver }

func (half) Pause(context.Context, string) error { return nil }
func (half) PriorityLevels() string              { return "five" }
func (half) TxType() reflect.Type                { return nil }
func (half) EnqueueTx(context.Context, int, string, []*driver.Message) ([]driver.Result, error) {
	return nil, nil
}

// mixed takes transactions of two types.
type mixed struct{ half }

func (mixed) CompleteTx(context.Context, string, *driver.Delivery) error { return nil }

func TestPartly(t *testing.T) {
	if errs := partly(reflect.TypeFor[*memory.Driver]()); len(errs) > 0 {
		t.Errorf("a driver that has everything: %v", errs)
	}
	if errs := partly(reflect.TypeFor[*memory.Portable]()); len(errs) > 0 {
		t.Errorf("a driver that has no capability: %v", errs)
	}
	text := errors.Join(partly(reflect.TypeFor[half]())...).Error()
	for _, want := range []string{
		"has Pause of driver.Pauser but lacks Paused, Resume",
		"has PriorityLevels of driver.Prioritizer but with another signature",
		"has EnqueueTx, TxType of driver.TxEnqueuer but lacks CompleteTx",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the errors lack %q:\n%s", want, text)
		}
	}
	text = errors.Join(partly(reflect.TypeFor[mixed]())...).Error()
	if want := "has CompleteTx, EnqueueTx, TxType of driver.TxEnqueuer but with another signature"; !strings.Contains(text, want) {
		t.Errorf("the errors lack %q:\n%s", want, text)
	}
}

func TestUntested(t *testing.T) {
	if errs := untested([]string{"Pauser"}, map[string]int{"Pauser": 1}); len(errs) > 0 {
		t.Errorf("a capability with a case that ran: %v", errs)
	}
	if errs := untested([]string{"Pauser", "Delayer"}, map[string]int{"Pauser": 1}); len(errs) != 1 || !strings.Contains(errs[0].Error(), "Delayer") {
		t.Errorf("a capability without a case that ran: %v", errs)
	}
}

func TestCaseRun(t *testing.T) {
	open := func(context.Context) (driver.Driver, error) { return memory.NewPortable(), nil }
	run := func(c Case, h Harness) error { return c.Run(t.Context(), h) }

	good := Case{Name: "good", Rule: "Rule.", run: func(s *stage) { s.declared() }}
	if err := run(good, Harness{Open: open}); err != nil {
		t.Errorf("a case without problems: %v", err)
	}
	if err := run(good, Harness{}); err == nil {
		t.Error("a harness without Open was taken")
	}
	refused := errors.New("refused")
	if err := run(good, Harness{Open: func(context.Context) (driver.Driver, error) { return nil, refused }}); !errors.Is(err, refused) {
		t.Errorf("a broker that cannot be opened: %v", err)
	}
	needy := good
	needy.Needs = []string{"Pauser"}
	if err := run(needy, Harness{Open: open}); !errors.Is(err, ErrNotApplicable) {
		t.Errorf("a case whose capability is lacking: %v", err)
	}

	ended := false
	bad := Case{Name: "bad", Rule: "Rule.", run: func(s *stage) {
		defer func() { ended = true }()
		s.history.Add(Event{Op: Noted, Note: "the last event"})
		s.failf("the %s", "problem")
		s.problem("not reached")
	}}
	var v *Violation
	if err := run(bad, Harness{Open: open}); !errors.As(err, &v) {
		t.Fatalf("a case with a problem: %v", err)
	}
	if !ended || len(v.Problems) != 1 || v.Case != "bad" || v.Rule != "Rule." {
		t.Errorf("the violation is %+v", v)
	}
	for _, want := range []string{"the problem", "rule bad: Rule.", "memory", "BATCH_SEED=", "the last event"} {
		if !strings.Contains(v.Error(), want) {
			t.Errorf("the error lacks %q:\n%s", want, v)
		}
	}

	panics := Case{Name: "panics", Rule: "Rule.", run: func(*stage) { panic("at the disco") }}
	if err := run(panics, Harness{Open: open}); !errors.As(err, &v) || !strings.Contains(err.Error(), "at the disco") {
		t.Errorf("a case that panics: %v", err)
	}
	long := Case{Name: "long", Rule: "Rule.", run: func(s *stage) { s.pass(time.Hour) }}
	if err := run(long, Harness{Open: open, Timeout: 10 * time.Millisecond}); err == nil || !strings.Contains(err.Error(), "longer than 10ms") {
		t.Errorf("a case that takes too long: %v", err)
	}
}

func TestSeed(t *testing.T) {
	t.Setenv("BATCH_SEED", "42")
	if got := seed(); got != 42 {
		t.Errorf("the seed is %d, want that of the environment", got)
	}
	t.Setenv("BATCH_SEED", "")
	if first, second := seed(), seed(); first == second {
		t.Error("two seeds are the same")
	}
}
