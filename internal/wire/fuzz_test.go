package wire_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/batch-go/batch/internal/wire"
)

// FuzzToken holds IsToken to its description, and Millis to rounding up.
func FuzzToken(f *testing.F) {
	for _, s := range []string{"", "a", " ", "~", "\x7f", "\u00e9", strings.Repeat("x", 128), strings.Repeat("x", 129)} {
		f.Add(s, int64(len(s))*int64(time.Microsecond))
		f.Add(s, int64(math.MaxInt64-len(s)))
	}
	f.Fuzz(func(t *testing.T, s string, n int64) {
		want := s != "" && len(s) <= 128 && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
		if wire.IsToken(s) != want {
			t.Errorf("IsToken(%q) is %t", s, !want)
		}
		d := time.Duration(n)
		if ms := wire.Millis(d); n >= 0 && (ms < 0 || time.Duration(ms-1) >= d/time.Millisecond+1) {
			t.Errorf("Millis(%d) = %d", n, ms)
		}
	})
}
