package brokers

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
)

// exercised collects what the run reports at its end.
var exercised = struct {
	sync.Mutex
	// guards following
	brokers []string // in the order of their first use
	missing bool     // a test went without its broker
}{}

// announce logs which broker a test runs against, and notes it for the report.
func announce(t testing.TB, broker string) {
	t.Helper()
	t.Logf("broker: %s", broker)
	exercised.Lock()
	defer exercised.Unlock()
	if !slices.Contains(exercised.brokers, broker) {
		exercised.brokers = append(exercised.brokers, broker)
	}
}

func recordMissing() {
	exercised.Lock()
	defer exercised.Unlock()
	exercised.missing = true
}

// oneLine flattens an error, since a skipped test gets one line to say why.
func oneLine(err error) string {
	return strings.Join(strings.Fields(err.Error()), " ")
}

// report prints the brokers that this test binary exercised, and adds a line for each to the file that
// BATCH_TEST_REPORT names: go test does not show the output of packages that pass.
func report() (err error) {
	exercised.Lock()
	lines := slices.Clone(exercised.brokers)
	if exercised.missing {
		lines = append(lines, "none for some tests, which had no Docker engine")
	}
	exercised.Unlock()
	if len(lines) == 0 {
		return nil
	}
	fmt.Println("brokers exercised: " + strings.Join(lines, ", "))
	path := os.Getenv("BATCH_TEST_REPORT")
	if path == "" {
		return nil
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("brokers: BATCH_TEST_REPORT: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	// One write: test binaries that run at the same time append to the same file.
	_, err = file.WriteString(strings.Join(lines, "\n") + "\n")
	return err
}
