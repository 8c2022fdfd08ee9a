package wire_test

import (
	"strings"
	"testing"
	"time"

	"github.com/batch-go/batch/internal/wire"
)

func TestIsToken(t *testing.T) {
	for s, want := range map[string]bool{
		"a": true, "!~": true, strings.Repeat("x", 128): true,
		"": false, strings.Repeat("x", 129): false, "a b": false, "ä": false, "a\n": false, "\x7f": false,
	} {
		if got := wire.IsToken(s); got != want {
			t.Errorf("IsToken(%q) = %v", s, got)
		}
	}
}

func TestIsMediaType(t *testing.T) {
	for s, want := range map[string]bool{
		"application/json": true, "a b": true, " ~": true, strings.Repeat("x", 128): true,
		"": false, strings.Repeat("x", 129): false, "ä": false, "a\n": false, "\x7f": false,
	} {
		if got := wire.IsMediaType(s); got != want {
			t.Errorf("IsMediaType(%q) = %v", s, got)
		}
	}
}

func TestMillis(t *testing.T) {
	for d, want := range map[time.Duration]int64{0: 0, 1: 1, time.Millisecond: 1, time.Millisecond + 1: 2, time.Second: 1000} {
		if got := wire.Millis(d); got != want {
			t.Errorf("Millis(%s) = %d, want %d", d, got, want)
		}
	}
}
