package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/batch-go/batch/internal/brokers"
)

// asService in the environment makes the test binary the service itself: what the tests start are processes, with signals
// and exit codes.
const asService = "SERVICE_TEST_PROCESS"

func TestMain(m *testing.M) {
	if os.Getenv(asService) != "" {
		os.Exit(program(os.Args[1:], os.Getenv, os.Stderr))
	}
	brokers.Main(m)
}

// process is a process of the service.
type process struct {
	t       *testing.T
	command *exec.Cmd
	ended   chan struct{} // closed when the process has ended, and all its lines are there

	mu    sync.Mutex
	lines []map[string]any // guarded by mu: the log
	raw   strings.Builder  // likewise
}

// start starts a process in a role. It ends with the test, if not before.
func start(t *testing.T, role string, env ...string) *process {
	t.Helper()
	p := &process{t: t, ended: make(chan struct{})}
	p.command = exec.Command(os.Args[0], role)
	p.command.Env = append(append(os.Environ(), asService+"=1", "ADDRESS=127.0.0.1:0", "OPS_ADDRESS=127.0.0.1:0"), env...)
	stderr, err := p.command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	go p.read(stderr)
	t.Cleanup(func() {
		_ = p.command.Process.Kill()
		<-p.ended
		if t.Failed() {
			t.Logf("%s wrote\n%s", role, p.raw.String())
		}
	})
	return p
}

// read collects the log, until the process has ended.
func (p *process) read(stderr io.Reader) {
	defer close(p.ended)
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		var line map[string]any
		p.mu.Lock()
		if json.Unmarshal(lines.Bytes(), &line) == nil {
			p.lines = append(p.lines, line)
		}
		p.raw.WriteString(lines.Text() + "\n")
		p.mu.Unlock()
	}
	_ = p.command.Wait()
}

// logged is the first line of the log that good accepts, once it is there.
func (p *process) logged(what string, good func(line map[string]any) bool) (found map[string]any) {
	p.t.Helper()
	await(p.t, what, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, line := range p.lines {
			if good(line) {
				found = line
				return true
			}
		}
		return false
	})
	return found
}

// address is where the process listens, in the line that says so: for probes and metrics, or for requests.
func (p *process) address(message, key string) string {
	p.t.Helper()
	line := p.logged(message, func(line map[string]any) bool { return line["msg"] == message })
	address, _ := line[key].(string)
	return "http://" + address
}

// ops is where it answers probes and scrapes, and api where it answers requests.
func (p *process) ops() string { p.t.Helper(); return p.address("running", "ops") }
func (p *process) api() string { p.t.Helper(); return p.address("the API listens", "address") }

// terminate sends SIGTERM.
func (p *process) terminate() {
	p.t.Helper()
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Error(err)
	}
}

// exits is the exit code, once the process has ended.
func (p *process) exits() int {
	p.t.Helper()
	await(p.t, "the end of the process", func() bool {
		select {
		case <-p.ended:
			return true
		default:
			return false
		}
	})
	return p.command.ProcessState.ExitCode()
}

// await returns when something is the case.
func await(t *testing.T, what string, good func() bool) {
	t.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	late := time.NewTimer(2 * time.Minute)
	defer late.Stop()
	for !good() {
		select {
		case <-again.C:
		case <-late.C:
			t.Fatalf("in vain: %s", what)
		}
	}
}

// client does not keep connections, so that none is left when a test ends.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}

// get is the status and the body of an answer, or an error as text.
func get(url string) (status int, body string) { return do(http.MethodGet, url) }

// do makes a request without a body.
func do(method, url string) (status int, body string) {
	request, err := http.NewRequest(method, url, nil)
	if err != nil {
		return 0, err.Error()
	}
	answer, err := client.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, err.Error()
	}
	return answer.StatusCode, string(text)
}
