package movers

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/batch-go/batch/internal/brokers"

	// The drivers that a URL may name.
	_ "github.com/batch-go/batch/driver/amqp"
	_ "github.com/batch-go/batch/driver/memory"
	_ "github.com/batch-go/batch/driver/nats"
	_ "github.com/batch-go/batch/driver/nats/embedded"
	_ "github.com/batch-go/batch/driver/postgres"
	_ "github.com/batch-go/batch/driver/redis"
	_ "github.com/batch-go/batch/driver/sqs"
)

// childVariable has the assignment of a process that a test starts.
const childVariable = "BATCH_MOVERS_CHILD"

func TestMain(m *testing.M) {
	if text := os.Getenv(childVariable); text != "" {
		if err := runChild(text); err != nil {
			fmt.Fprintln(os.Stderr, "movers:", err)
			os.Exit(1)
		}
		return
	}
	brokers.Main(m)
}

// runChild is what such a process does: it moves, and tells of that on its standard output, an event a line.
func runChild(text string) error {
	var a assignment
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	p, err := a.run(context.Background(), func(e event) { _ = out.Encode(e) }, nil)
	if err != nil {
		return err
	}
	return out.Encode(event{End: &p})
}

// startProcess starts a process that moves.
func (a assignment) startProcess(t *testing.T) *mover {
	t.Helper()
	text, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+string(text))
	cmd.Stderr = testLog{t}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	m := &mover{events: make(chan event), kill: func() { _ = cmd.Process.Kill() }}
	go func() {
		defer close(m.events)
		lines := json.NewDecoder(out)
		for {
			var e event
			if lines.Decode(&e) != nil { // it has ended
				break
			}
			m.events <- e
		}
		_ = cmd.Wait() // the mover's last event tells whether it ended well
	}()
	return m
}

// testLog writes lines of a process to the test's log.
type testLog struct{ t *testing.T }

// Write implements io.Writer.
func (l testLog) Write(p []byte) (int, error) {
	l.t.Logf("%s", p)
	return len(p), nil
}
