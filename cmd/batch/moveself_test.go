package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/batch-go/batch/internal/brokers"
)

// TestMoveToItself: a queue is not moved to itself by another URL of its broker.
func TestMoveToItself(t *testing.T) {
	url := brokers.Redis(t, brokers.Redis8).URL() + "/7"
	again := strings.Replace(url, "127.0.0.1", "localhost", 1)
	if again == url {
		t.Fatalf("the URL is %s", url)
	}
	d := open(t, url)
	seed(t, d, "self")
	before := depth(t, d, "self")
	if r := here(t, url, "move", "self", "--to", again); r.code != exitUsage || !strings.Contains(r.err, "the source itself") {
		t.Errorf("it exits with %d, and says %q %q", r.code, r.out, r.err)
	}
	if after := depth(t, d, "self"); after.Waiting+after.Scheduled+after.Dead != before.Waiting+before.Scheduled+before.Dead {
		t.Errorf("of %+v there is %+v left", before, after)
	}
}

// TestMoveFollowClosedPipe: a move that goes on ends when nobody reads what it prints, as every other command.
func TestMoveFollowClosedPipe(t *testing.T) {
	url := brokers.Redis(t, brokers.Redis8).URL() + "/8"
	d := open(t, url)
	seed(t, d, "piped")
	c := process(t, url, "move", "piped", "--to-queue", "other", "--follow", "-json")
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_ = read.Close()
	var errs strings.Builder
	c.Stdout, c.Stderr = write, &errs
	err = c.Start()
	_ = write.Close()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	select {
	case <-ended:
		if code := c.ProcessState.ExitCode(); code != exitPipe {
			t.Errorf("it exits with %d: %s", code, errs.String())
		}
	case <-time.After(20 * time.Second):
		_ = c.Process.Kill()
		<-ended
		t.Errorf("it goes on for ever, and nobody reads it: %q", errs.String())
	}
}
