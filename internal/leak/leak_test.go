package leak

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// leaking makes the test binary one whose only test passes and leaves a goroutine.
const leaking = "BATCH_TEST_LEAKING"

func TestMain(m *testing.M) { Main(m) }

// hang is a function that a goroutine is left in.
func hang(until chan struct{}) { <-until }

func TestFindsAGoroutineThatIsLeft(t *testing.T) {
	until := make(chan struct{})
	go hang(until)
	left := find(20*time.Millisecond, nil)
	if len(left) != 1 || !strings.Contains(left[0], "internal/leak.hang(") {
		t.Errorf("found %q, want the goroutine in hang", left)
	}
	excuse := Excuse{Function: "github.com/batch-go/batch/internal/leak.hang", Reason: "this test"}
	if left := find(20*time.Millisecond, []Excuse{excuse}); len(left) != 0 {
		t.Errorf("found %q, which has an excuse", left)
	}
	close(until)
	if left := find(patience, nil); len(left) != 0 {
		t.Errorf("found %q after its end", left)
	}
}

func TestWaitsForAGoroutineThatEnds(t *testing.T) {
	until := make(chan struct{})
	time.AfterFunc(50*time.Millisecond, func() { close(until) })
	go hang(until)
	if left := find(patience, nil); len(left) != 0 {
		t.Errorf("found %q, which was about to end", left)
	}
}

func TestFindsEachOfMany(t *testing.T) {
	const many = 1000 // whose stacks take more than the first buffer
	until := make(chan struct{})
	defer func() {
		close(until)
		find(patience, nil)
	}()
	for range many {
		go hang(until)
	}
	if left := find(20*time.Millisecond, nil); len(left) != many {
		t.Errorf("found %d goroutines, want %d", len(left), many)
	}
}

func TestMainFailsARunThatLeaks(t *testing.T) {
	if os.Getenv(leaking) != "" {
		go hang(nil)
		return
	}
	command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestMainFailsARunThatLeaks$")
	command.Env = append(os.Environ(), leaking+"=1")
	output, err := command.CombinedOutput()
	if command.ProcessState.ExitCode() != 1 || !strings.Contains(string(output), "left 1 goroutines") || !strings.Contains(string(output), "leak.hang(") {
		t.Errorf("the run ended with %v and said %q; want a failure that names the goroutine", err, output)
	}
}
