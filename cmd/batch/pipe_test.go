package main

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/internal/brokers"
)

// TestClosedPipe: a command whose output nobody reads any more ends, says nothing of it, and cleans
// up: what head leaves unread must leave no queue on the broker.
func TestClosedPipe(t *testing.T) {
	t.Parallel()
	url := brokers.Redis(t, brokers.Redis8).URL() + "/11"
	d := open(t, url)
	for _, args := range [][]string{{"bench", "--jobs", "20000", "--single", "0"}, {"doctor"}, {"doctor", "-json"}} {
		c := process(t, url, args...)
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		_ = read.Close() // nobody reads from the start
		var errs strings.Builder
		c.Stdout, c.Stderr = write, &errs
		err = c.Start()
		_ = write.Close() // the command has its own
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Wait() // its code says all
		if code := c.ProcessState.ExitCode(); code != exitPipe || errs.String() != "" {
			t.Errorf("batch %s exits with %d and says %q, want %d and nothing", args, code, errs.String(), exitPipe)
		}
		if names, err := batch.AdminQueues(testContext(t), d); err != nil || len(names) > 0 {
			t.Errorf("batch %s leaves %q, %v", args, names, err)
		}
	}
}

// broken is a standard output that takes nothing.
type broken struct{ after int }

// Write fails once its time has come.
func (b *broken) Write(p []byte) (int, error) {
	if b.after--; b.after < 0 {
		return 0, context.DeadlineExceeded // any error
	}
	return len(p), nil
}

// TestFullDisk: what cannot be printed is no success.
func TestFullDisk(t *testing.T) {
	url := "memory://fulldisk"
	seed(t, open(t, url), "emails")
	for _, args := range [][]string{{"stats"}, {"stats", "-json"}, {"queues"}, {"doctor"}, {"doctor", "-json"}, {"dead", "list", "emails", "--body"}, {"pause", "emails"}} {
		for after := range 2 {
			if after > 0 && args[0] != "doctor" {
				continue
			}
			a := newApp(strings.NewReader(""), &broken{after}, &strings.Builder{}, func(name string) string {
				return map[string]string{"BATCH_URL": url}[name]
			})
			if code := a.run(testContext(t), args); code == exitOK {
				t.Errorf("batch %s exits with 0 although nothing was printed after line %d", args, after)
			}
		}
	}
}
