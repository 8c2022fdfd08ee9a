package fault_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
)

var errDown = errors.New("down")

// maker knows the ends of contexts and errDown.
var maker = fault.Maker{Driver: "acme", Classify: func(err error) fault.Verdict {
	switch {
	case errors.Is(err, context.Canceled):
		return fault.Verdict{Kind: context.Canceled}
	case errors.Is(err, errDown):
		return fault.Verdict{Kind: driver.ErrUnavailable, Hint: "start it"}
	}
	return fault.Verdict{Kind: driver.ErrBroker, Bare: true}
}}

func TestFail(t *testing.T) {
	made := maker.Closed("declare", "q")
	for _, test := range []struct {
		name string
		err  error
		want string // "" for nil
		fate driver.Fate
	}{
		{"none", nil, "", driver.FateUnknown},
		{"known", errDown, "acme: enqueue on queue q: broker unavailable: down (start it)", driver.FateUnknown},
		{"known and not sent", fault.NotSent{Err: errDown}, "acme: enqueue on queue q: broker unavailable: down (start it)", driver.FateNotStored},
		{"a ctx under way", context.Canceled, "acme: enqueue on queue q: context canceled", driver.FateUnknown},
		{"a ctx before", fault.NotSent{Err: context.Canceled}, "acme: enqueue on queue q: context canceled", driver.FateNotStored},
		{"a ctx before, marked twice", fault.NotSent{Err: fault.NotSent{Err: context.Canceled}}, "acme: enqueue on queue q: context canceled", driver.FateNotStored},
		{"closed", driver.ErrClosed, "acme: enqueue on queue q: closed", driver.FateNotStored},
		{"nothing to add", errors.New("what"), "acme: enqueue on queue q: broker error", driver.FateUnknown},
		{"made already", made, made.Error(), driver.FateNotStored},
		{"made already, wrapped", fmt.Errorf("job 1: %w", made), "job 1: " + made.Error(), driver.FateNotStored},
	} {
		err := maker.Fail("enqueue", "q", test.err)
		if test.want == "" {
			if err != nil {
				t.Errorf("%s: %v, want none", test.name, err)
			}
			continue
		}
		if err == nil || err.Error() != test.want || driver.FateOf(err) != test.fate {
			t.Errorf("%s: %v (%s), want %s (%s)", test.name, err, driver.FateOf(err), test.want, test.fate)
		}
	}
}

func TestItems(t *testing.T) {
	if got := fault.All(2, errDown); len(got) != 2 || got[0] != errDown || got[1] != errDown {
		t.Errorf("All = %v", got)
	}
	if got := fault.Results(2, errDown); len(got) != 2 || got[0].Err != errDown || got[1].Err != errDown {
		t.Errorf("Results = %v", got)
	}
	if got := fault.Set(fault.Set(nil, 3, 1, errDown), 3, 2, errDown); len(got) != 3 || got[0] != nil || got[1] != errDown || got[2] != errDown {
		t.Errorf("Set = %v", got)
	}
}
