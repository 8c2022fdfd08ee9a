package main

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/batch-go/batch/internal/brokers"
)

// asOrders in the environment makes the test binary the program itself: what the tests kill are processes.
const asOrders = "ORDERS_TEST_PROCESS"

func TestMain(m *testing.M) {
	if os.Getenv(asOrders) != "" {
		os.Exit(program(os.Args[1:], os.Getenv, os.Stderr))
	}
	brokers.Main(m)
}

// process is a place in which a process of the shop runs, and another after it was killed.
type process struct {
	role string
	env  []string

	mu      sync.Mutex // guards following
	command *exec.Cmd
	running chan struct{} // closed when the present one says that it runs
	ended   chan struct{} // closed when it has ended, and all its lines are there
	address string        // where it listens, once it runs
	log     strings.Builder
}

// start starts a process in a role. It ends with the test, if not before.
func start(t *testing.T, role string, env ...string) *process {
	t.Helper()
	p := &process{role: role, env: env}
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%s wrote, at the end\n%s", role, tail(p.log.String(), 6000))
		}
	})
	p.again(t)
	return p
}

// tail is the end of a text.
func tail(text string, most int) string { return text[max(0, len(text)-most):] }

// again starts it once more, after its end.
func (p *process) again(t *testing.T) {
	t.Helper()
	command := exec.Command(os.Args[0], p.role)
	command.Env = append(append(os.Environ(), asOrders+"=1", "ADDRESS=127.0.0.1:0"), p.env...)
	stderr, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	running, ended := make(chan struct{}), make(chan struct{})
	p.command, p.running, p.ended, p.address = command, running, ended, ""
	go func() {
		defer close(ended)
		said := false
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			var line struct{ Msg, Address string }
			_ = json.Unmarshal(lines.Bytes(), &line)
			p.mu.Lock()
			p.log.WriteString(lines.Text() + "\n")
			if line.Msg == "running" && !said {
				said, p.address = true, line.Address
				close(running)
			}
			p.mu.Unlock()
		}
		_ = command.Wait()
	}()
}

// present is the present process, and the channels that tell of it.
func (p *process) present() (command *exec.Cmd, running, ended <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.command, p.running, p.ended
}

// url is where it listens, or empty if it does not.
func (p *process) url() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.address == "" {
		return ""
	}
	return "http://" + p.address
}

// runs returns when it runs. One that ends instead, as one does that starts while the database is away, is started again, as
// what supervises processes would.
func (p *process) runs(t *testing.T) {
	t.Helper()
	late := time.After(2 * time.Minute)
	for {
		_, running, ended := p.present()
		select {
		case <-running:
			return
		case <-ended:
			p.again(t)
		case <-late:
			t.Fatalf("%s does not start", p.role)
		}
	}
}

// kill ends it with SIGKILL, and returns when it is gone.
func (p *process) kill() {
	command, _, ended := p.present()
	_ = command.Process.Kill()
	<-ended
}

// stops ends it with SIGTERM, which it must take for no failure.
func (p *process) stops(t *testing.T) {
	t.Helper()
	p.runs(t)
	command, _, ended := p.present()
	_ = command.Process.Signal(syscall.SIGTERM)
	select {
	case <-ended:
	case <-time.After(2 * time.Minute):
		t.Fatalf("%s does not stop", p.role)
	}
	if code := command.ProcessState.ExitCode(); code != 0 {
		t.Errorf("%s ends with %d", p.role, code)
	}
}
