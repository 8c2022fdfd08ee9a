package bootclock_test

import (
	"testing"
	"time"

	"github.com/batch-go/batch/internal/bootclock"
	"github.com/batch-go/batch/internal/wire"
)

// TestNow: it counts as the monotonic clock does, which a machine that does not sleep shares with it.
func TestNow(t *testing.T) {
	begun, before := time.Now(), bootclock.Now()
	for bootclock.Now()-before < time.Millisecond {
	}
	if after := bootclock.Now(); before < 0 || time.Since(begun) < time.Millisecond/2 {
		t.Errorf("%s is before %s, and %s passed", before, after, time.Since(begun))
	}
	if !wire.IsToken(bootclock.ID) {
		t.Errorf("%q is no name", bootclock.ID)
	}
}
