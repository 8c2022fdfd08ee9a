package clockstep

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/clockstep/gotime"
)

// The variables that make the test binary the process whose clock is set: the URL of its driver, and the file for
// what was seen.
const (
	urlVariable  = "BATCH_TEST_CLOCKSTEP_URL"
	fileVariable = "BATCH_TEST_CLOCKSTEP_FILE"
)

// apartTime bounds the process.
const apartTime = 2 * time.Minute

// Apart does what [Run] does in a process of its own whose time of day is set: the test calls it before anything else.
// url is called in the test, and open in the process. Driver and Set of b are not used. The test is skipped where the
// clock of a process cannot be set.
func Apart(t *testing.T, b Broker, url func() string, open func(ctx context.Context, url string) (driver.Driver, error)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), apartTime)
	defer cancel()
	if os.Getenv(urlVariable) != "" {
		apart(ctx, t, b, open)
		return
	}
	file := filepath.Join(t.TempDir(), "outcome")
	command := exec.CommandContext(ctx, os.Args[0], "-test.v", "-test.run=^"+strings.ReplaceAll(t.Name(), "/", "$/^")+"$")
	command.Env = append(os.Environ(), urlVariable+"="+url(), fileVariable+"="+file)
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	outcome, err := os.ReadFile(file)
	switch {
	case err != nil:
		t.Fatal(err)
	case string(outcome) != done:
		t.Skip(string(outcome))
	}
}

// done is what the process writes into the file, or why its clock cannot be set.
const done = "done"

// apart is what that process does.
func apart(ctx context.Context, t *testing.T, b Broker, open func(ctx context.Context, url string) (driver.Driver, error)) {
	d, err := open(ctx, os.Getenv(urlVariable))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.Close(ctx); err != nil {
			t.Error(err)
		}
	}()
	queue := "clock-step-" + strings.ToLower(rand.Text()) // the broker may be one that goes on
	defer func() {
		if err := d.DeleteQueue(ctx, queue); err != nil {
			t.Error(err)
		}
	}()
	b.Driver = d
	b.Set = func(_ context.Context, ahead time.Duration) error { return gotime.Set(ahead) }
	outcome := done
	if _, err = Run(ctx, b, queue); errors.Is(err, gotime.ErrUnsupported) {
		outcome, err = err.Error(), nil
	}
	if err = errors.Join(err, os.WriteFile(os.Getenv(fileVariable), []byte(outcome), 0o600)); err != nil {
		t.Fatal(err)
	}
}
