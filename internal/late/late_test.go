package late_test

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch/internal/late"
)

// TestDuring measures a machine that is never late.
func TestDuring(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if by := late.During(func() { time.Sleep(time.Second) }); by != 0 {
			t.Errorf("a machine that is never late is late by %s", by)
		}
	})
}

// TestDuringTheEnd leaves nothing behind when what it measures ends the goroutine, as a
// test that fails does.
func TestDuringTheEnd(t *testing.T) {
	synctest.Test(t, func(*testing.T) {
		go late.During(runtime.Goexit)
	})
}
