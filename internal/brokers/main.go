package brokers

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"

	"github.com/batch-go/batch/internal/leak"
)

// Main runs a package's tests, removes the brokers that they started, prints which those were, and
// fails the run when a goroutine is left. It does not return. A package whose tests use brokers calls
// it from TestMain.
func Main(m leak.Tests, excused ...leak.Excuse) {
	leak.Main(tests{m}, excused...)
}

// AtOnce lets n of the parallel tests run at once, unless -parallel says how many: where they mostly wait for
// a broker, that need not follow the number of processors. TestMain calls it before Main.
func AtOnce(n int) {
	flag.Parse() // before, nobody knows what is given
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if given {
		return
	}
	if err := flag.Set("test.parallel", strconv.Itoa(max(n, runtime.GOMAXPROCS(0)))); err != nil {
		panic(err) // package testing has no such flag any more
	}
}

// tests is a test binary's tests together with the brokers that they use. The launcher goes before
// goroutines are counted, since one reads what it answers.
type tests struct{ m leak.Tests }

// Run implements leak.Tests.
func (t tests) Run() int {
	code := t.m.Run()
	process.Lock()
	l := process.launcher
	process.Unlock()
	if l != nil {
		if err := l.stop(); err != nil {
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
