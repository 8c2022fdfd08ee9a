package brokers

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// Main runs a package's tests, removes the brokers that they started, prints which those were, and
// fails the run when a goroutine is left. It does not return. A package whose tests use brokers calls
// it from TestMain; options excuse goroutines, and each needs its reason beside it.
func Main(m *testing.M, options ...goleak.Option) {
	goleak.VerifyTestMain(tests{m}, options...)
}

// tests is a test binary's tests together with the brokers that they use. The brokers go before
// goroutines are counted, since the connections to the engine have some.
type tests struct{ m *testing.M }

// Run implements goleak.TestingM.
func (t tests) Run() int {
	code := t.m.Run()
	process.Lock()
	e := process.opened
	process.Unlock()
	if e != nil {
		if err := e.close(); err != nil {
			fmt.Fprintln(os.Stderr, "brokers:", err)
			code = max(code, 1)
		}
	}
	if err := report(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	return code
}
