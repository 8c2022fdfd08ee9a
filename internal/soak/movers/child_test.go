package movers

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/internal/brokers"
	"github.com/batch-go/batch/move"

	// The drivers that a URL may name.
	_ "github.com/batch-go/batch/driver/amqp"
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
		var a assignment
		err := json.Unmarshal([]byte(text), &a)
		if err == nil {
			err = a.run()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "movers:", err)
			os.Exit(1)
		}
		return
	}
	brokers.Main(m)
}

// assignment is what a mover is to do.
type assignment struct {
	From, To, Queue, ToQueue string
	// Relay says that it goes on until it is killed, and parks what the target cannot keep.
	Relay bool
}

// run moves the queue, and writes a line when it begins to and one with what it came to.
func (a assignment) run() error {
	ctx := context.Background()
	from, err := batch.Open[batch.Driver](ctx, a.From)
	if err != nil {
		return err
	}
	defer from.Close(ctx)
	to, same := from.(batch.Importer)
	if a.To != a.From || !same {
		if to, err = batch.Open[batch.Importer](ctx, a.To); err != nil {
			return err
		}
		defer to.Close(ctx)
	}
	fmt.Println("begin")
	options := []move.Option{move.To(a.ToQueue), move.Quiet(3 * time.Second), move.Drop(move.Group),
		move.OnFault(func(err error) { fmt.Fprintln(os.Stderr, "fault:", err) })}
	if a.Relay {
		options = append(options, move.Follow(), move.Park())
	}
	p, err := move.Run(ctx, from, to, a.Queue, options...)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(p)
}

// mover is a process that moves.
type mover struct {
	cmd *exec.Cmd
	out *bufio.Reader
}

// start starts a mover and returns when it begins to move.
func (a assignment) start(t *testing.T) *mover {
	t.Helper()
	text, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	m := &mover{cmd: exec.Command(os.Args[0])}
	m.cmd.Env = append(os.Environ(), childVariable+"="+string(text))
	m.cmd.Stderr = testLog{t}
	out, err := m.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	m.out = bufio.NewReader(out)
	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := m.out.ReadString('\n'); err != nil || line != "begin\n" {
		_ = m.cmd.Wait()
		t.Fatalf("a mover began with %q, %v", line, err)
	}
	return m
}

// killAfter kills the process, unless it ends before.
func (m *mover) killAfter(d time.Duration) (killed bool) {
	var was atomic.Bool
	timer := time.AfterFunc(d, func() {
		was.Store(true)
		_ = m.cmd.Process.Kill()
	})
	_, _ = io.Copy(io.Discard, m.out)
	_ = m.cmd.Wait()
	timer.Stop()
	return was.Load()
}

// wait waits until the move has ended.
func (m *mover) wait(t *testing.T) (p move.Progress) {
	t.Helper()
	err := json.NewDecoder(m.out).Decode(&p)
	if ended := m.cmd.Wait(); err != nil || ended != nil {
		t.Fatalf("the move ended with %v, %v", err, ended)
	}
	return p
}

// testLog writes lines of a process to the test's log.
type testLog struct{ t *testing.T }

// Write implements io.Writer.
func (l testLog) Write(p []byte) (int, error) {
	l.t.Logf("%s", p)
	return len(p), nil
}
