//go:build !race

package allocs

import (
	"fmt"
	"testing"
)

// recorder is a test that others judge.
type recorder struct {
	testing.TB
	failed string
}

// Helper does nothing.
func (*recorder) Helper() {}

// Logf does nothing.
func (*recorder) Logf(string, ...any) {}

// Errorf notes what was wrong.
func (r *recorder) Errorf(format string, args ...any) { r.failed = fmt.Sprintf(format, args...) }

// TestWithin: one allocation too many in each try fails the test, and one in all but the last does not.
func TestWithin(t *testing.T) {
	for _, c := range []struct {
		spoilt int
		fails  bool
	}{{0, false}, {tries - 1, false}, {tries, true}} {
		var kept [2]*int
		r, measured := &recorder{TB: t}, 0
		Within(r, "two", 2.5, func() float64 {
			measured++
			per := PerCall(func() { kept[0], kept[1] = new(int), new(int) })
			count, bytes := Of(func() { kept[0] = new(int) })
			if count < 1 || bytes < 8 {
				t.Errorf("%v allocations of %v bytes of an int", count, bytes)
			}
			if measured <= c.spoilt {
				per++
			}
			return per
		})
		if failed := r.failed != ""; failed != c.fails || measured != min(c.spoilt+1, tries) {
			t.Errorf("of %d spoilt: it measured %d times, and says %q", c.spoilt, measured, r.failed)
		}
	}
}
