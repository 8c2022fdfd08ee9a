package soak

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is a child that runs.
type process struct {
	name  string
	cmd   *exec.Cmd
	stdin io.Closer
	log   *tail
	ready chan struct{} // closed when it works, or has ended
	ended chan struct{} // closed when all that it wrote was read
	err   error         // why it ended, set before ended is closed
}

// start starts a process whose events go to the record.
func start(name string, a assignment, rec *record) (*process, error) {
	text, err := json.Marshal(a)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{name: name, log: &tail{}, ready: make(chan struct{}), ended: make(chan struct{})}
	p.cmd = exec.Command(self)
	p.cmd.Env = append(os.Environ(), childVariable+"="+string(text))
	p.cmd.Stderr = p.log
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go p.read(out, rec)
	return p, nil
}

// read records what the process writes, until it has ended.
func (p *process) read(out io.Reader, rec *record) {
	defer close(p.ended)
	var once sync.Once
	ready := func() { once.Do(func() { close(p.ready) }) }
	defer ready()
	lines := bufio.NewScanner(out)
	var strange []error
	for lines.Scan() {
		e, err := parseEvent(lines.Text())
		if err != nil {
			strange = append(strange, err) // also the half of a line that a kill leaves
			continue
		}
		if e.op == opReady {
			ready()
		}
		e.process = p.name
		rec.add(e)
	}
	p.err = p.cmd.Wait()
	if p.err == nil && len(strange) > 0 {
		p.err = errors.Join(strange...)
	}
}

// kill ends the process as the kernel would, and returns when it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// freeze stops the process where it is, until thaw.
func (p *process) freeze() error { return p.cmd.Process.Signal(syscall.SIGSTOP) }

// thaw lets the process go on.
func (p *process) thaw() error { return p.cmd.Process.Signal(syscall.SIGCONT) }

// stop asks the process to end and waits for it, for so long.
func (p *process) stop(patience time.Duration) error {
	_ = p.stdin.Close()
	select {
	case <-p.ended:
		if p.err != nil {
			return fmt.Errorf("soak: %s ended with %w; its last lines:\n%s", p.name, p.err, p.log)
		}
		return nil
	case <-time.After(patience):
		_ = p.cmd.Process.Signal(syscall.SIGQUIT) // for its goroutines
		<-p.ended
		return fmt.Errorf("soak: %s did not end within %s; its last lines:\n%s", p.name, patience, p.log)
	}
}

// tail keeps the last of what is written to it. It is safe for concurrent use.
type tail struct {
	mu   sync.Mutex
	text []byte
}

// tailSize is how much a tail keeps, in bytes.
const tailSize = 16 << 10

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if n := len(t.text) - tailSize; n > 0 {
		t.text = append(t.text[:0], t.text[n:]...)
	}
	return len(p), nil
}

// String is what was kept.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.text))
}
