// Package leak fails the tests of a package that have left goroutines behind.
package leak

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// patience is how long goroutines get to end, after the tests have. Only a run that fails waits so long.
const patience = 2 * time.Second

// An Excuse lets goroutines be left in which a function is running, or has called what is.
type Excuse struct {
	Function string // such as net/http.(*Server).Serve
	Reason   string // for the reader of the list
}

// always are those of the runtime and of package testing.
var always = []Excuse{
	{"os/signal.signal_recv", "the first signal.Notify of a process starts it for good"},
	{"os/signal.loop", "likewise, before it waits for the first signal"},
	{"testing.(*T).Run", "it waits for the test that looks for leaks"},
	{"testing.(*T).Parallel", "a test that waits for its turn"},
}

// Tests are those of a package, a *testing.M in most cases.
type Tests interface{ Run() int }

// Main runs the tests and ends the process, with an error when they passed and a goroutine is left that
// has no excuse. Tests that failed may have left some. TestMain calls it.
func Main(m Tests, excused ...Excuse) {
	code := m.Run()
	if code == 0 {
		if left := find(patience, excused); len(left) > 0 {
			fmt.Fprintf(os.Stderr, "the tests passed and left %d goroutines:\n\n%s\n", len(left), strings.Join(left, "\n\n"))
			code = 1
		}
	}
	os.Exit(code)
}

// find returns the stacks of the goroutines that are there and have no excuse, but for the caller's own.
// It looks again for as long as patience lasts.
func find(patience time.Duration, excused []Excuse) []string {
	excused = slices.Concat(always, excused)
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for deadline := time.Now().Add(patience); ; <-again.C {
		left := slices.DeleteFunc(others(), func(stack string) bool {
			return slices.ContainsFunc(excused, func(e Excuse) bool { return strings.Contains(stack, "\n"+e.Function+"(") })
		})
		if len(left) == 0 || time.Now().After(deadline) {
			return left
		}
	}
}

// others returns the stacks of all goroutines but the caller's, which is the first.
func others() []string {
	for size := 1 << 16; ; size *= 2 {
		text := make([]byte, size)
		if n := runtime.Stack(text, true); n < size {
			return strings.Split(strings.TrimSpace(string(text[:n])), "\n\n")[1:]
		}
	}
}
