package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
)

// terminal is a command that runs on a terminal.
type terminal struct {
	t       *testing.T
	command *exec.Cmd
	screen  *os.File
	read    sync.WaitGroup

	mu   sync.Mutex // guards shown and more
	text bytes.Buffer
	more chan struct{} // closed when there is more text
}

// onTerminal starts a command on a terminal of its own.
func onTerminal(t *testing.T, url string, env []string, args ...string) *terminal {
	t.Helper()
	c := process(t, url, args...)
	c.Env = append(append(c.Env, "TERM=xterm", "NO_COLOR="), env...)
	screen, err := pty.StartWithSize(c, &pty.Winsize{Rows: 24, Cols: 100})
	if err != nil {
		t.Fatal(err)
	}
	s := &terminal{t: t, command: c, screen: screen, more: make(chan struct{})}
	s.read.Go(s.listen)
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = screen.Close()
		s.read.Wait()
	})
	return s
}

// listen reads what is shown, until the command has ended.
func (s *terminal) listen() {
	buffer := make([]byte, 4096)
	for {
		n, err := s.screen.Read(buffer)
		s.mu.Lock()
		s.text.Write(buffer[:n])
		close(s.more)
		s.more = make(chan struct{})
		s.mu.Unlock()
		if err != nil {
			return // a terminal whose process has ended is an error to read
		}
	}
}

// shown is all that was shown, and a channel that is closed when there is more.
func (s *terminal) shown() (string, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String(), s.more
}

// await waits until a text is shown.
func (s *terminal) await(text string) {
	s.t.Helper()
	deadline := time.After(bound)
	for {
		shown, more := s.shown()
		if strings.Contains(shown, text) {
			return
		}
		select {
		case <-more:
		case <-deadline:
			s.t.Fatalf("%q was not shown:\n%q", text, shown)
		}
	}
}

// press types keys.
func (s *terminal) press(keys string) {
	s.t.Helper()
	if _, err := io.WriteString(s.screen, keys); err != nil {
		s.t.Fatal(err)
	}
}

// end waits for the end, and returns all that was shown and the exit code.
func (s *terminal) end() result {
	s.t.Helper()
	err := s.command.Wait()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		s.t.Fatal(err)
	}
	s.read.Wait()
	shown, _ := s.shown()
	return result{out: shown, code: s.command.ProcessState.ExitCode()}
}

// ctrlC is the key that interrupts.
const ctrlC = "\x03"

// TestColours: on a terminal there are colours, and with NO_COLOR, --no-color, TERM=dumb or
// elsewhere there are none.
func TestColours(t *testing.T) {
	const escape = "\x1b["
	for _, test := range []struct {
		env  []string
		args []string
		want bool
	}{
		{nil, nil, true},
		{[]string{"NO_COLOR=1"}, nil, false},
		{[]string{"TERM=dumb"}, nil, false},
		{nil, []string{"--no-color"}, false},
		{nil, []string{"--json"}, false},
	} {
		r := onTerminal(t, "memory://", test.env, append([]string{"doctor"}, test.args...)...).end()
		if r.code != exitOK || strings.Contains(r.out, escape) != test.want {
			t.Errorf("with %q and %q there are colours: %v, want %v:\n%q", test.env, test.args, !test.want, test.want, r.out)
		}
	}
	if r := away(t, "memory://", "doctor"); strings.Contains(r.both(), escape) {
		t.Errorf("without a terminal there are colours:\n%q", r.both())
	}
}

// TestProgress: what takes long has a bar on a terminal, and nowhere else, and Ctrl-C ends
// it with what was measured.
func TestProgress(t *testing.T) {
	args := []string{"bench", "--jobs", "10000000", "--batch", "1000"}
	s := onTerminal(t, "memory://", nil, args...)
	s.await("enqueueing  [")
	s.press(ctrlC)
	r := s.end()
	r.want(t, exitInterrupted, "JOBS/S", "ended by a signal: interrupt")
	s = onTerminal(t, "memory://", nil, append(args, "--quiet")...)
	s.await("batch-bench-")
	s.press(ctrlC)
	if r := s.end(); strings.Contains(r.out, "enqueueing") {
		t.Errorf("with --quiet there is a bar:\n%q", r.out)
	}
	if r := away(t, "memory://", "bench", "--jobs", "300000", "--single", "0"); r.code != exitOK || r.err != "" {
		t.Errorf("without a terminal it exits with %d and says %q", r.code, r.err)
	}
}
