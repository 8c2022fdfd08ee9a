package clockstep

import (
	"context"
	"crypto/rand"
	"encoding/json"
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

// outcome is what the process writes down.
type outcome struct {
	Ahead, Back Seen
	Unsupported string // why the clock cannot be set
}

// Apart does what [Run] does in a process of its own whose time of day is set: the test calls it before anything else.
// url is called in the test, and open in the process. The test is skipped where the clock of a process cannot be set.
func Apart(t *testing.T, lease time.Duration, url func() string, open func(ctx context.Context, url string) (driver.Driver, error)) (ahead, back Seen) {
	t.Helper()
	if os.Getenv(urlVariable) != "" {
		apart(t, lease, open)
		t.SkipNow() // it has done its part
	}
	ctx, cancel := context.WithTimeout(context.Background(), apartTime)
	defer cancel()
	file := filepath.Join(t.TempDir(), "seen")
	command := exec.CommandContext(ctx, os.Args[0], "-test.v", "-test.run=^"+strings.ReplaceAll(t.Name(), "/", "$/^")+"$")
	command.Env = append(os.Environ(), urlVariable+"="+url(), fileVariable+"="+file)
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	var seen outcome
	if err := json.Unmarshal(text, &seen); err != nil {
		t.Fatal(err)
	}
	if seen.Unsupported != "" {
		t.Skip(seen.Unsupported)
	}
	return seen.Ahead, seen.Back
}

// apart is what that process does.
func apart(t *testing.T, lease time.Duration, open func(ctx context.Context, url string) (driver.Driver, error)) {
	ctx, cancel := context.WithTimeout(context.Background(), apartTime)
	defer cancel()
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
	var seen outcome
	seen.Ahead, seen.Back, err = Run(ctx, Broker{Driver: d, Lease: lease,
		Set: func(_ context.Context, ahead time.Duration) error { return gotime.Set(ahead) }}, queue)
	if errors.Is(err, gotime.ErrUnsupported) {
		seen.Unsupported, err = err.Error(), nil
	}
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(seen)
	if err == nil {
		err = os.WriteFile(os.Getenv(fileVariable), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
