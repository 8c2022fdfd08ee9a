package gotime

import (
	"testing"
	"time"
)

// TestSet: the time of day steps, and nothing else.
func TestSet(t *testing.T) {
	machine := time.Duration(0)
	for _, by := range []time.Duration{time.Hour, -time.Hour, 0} {
		before := time.Now()
		if err := Set(by); err != nil {
			t.Skip(err)
		}
		after := time.Now()
		passed := after.Sub(before)
		if passed < 0 || passed > time.Minute {
			t.Errorf("by the monotonic clock %s passed", passed)
		}
		if step := after.Round(0).Sub(before.Round(0)) - passed; (step - (by - machine)).Abs() > time.Second {
			t.Errorf("the time of day stepped by %s, want %s", step, by-machine)
		}
		machine = by
	}
}
