package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/batch-go/batch/internal/brokers"
)

// binary is the command as users have it, which TestMain builds.
var binary string

// bound is how long a test waits for what should come soon.
const bound = 2 * time.Minute

func TestMain(m *testing.M) {
	folder, err := os.MkdirTemp("", "batch")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(folder, "batch")
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		os.Exit(1)
	}
	brokers.AtOnce(4) // they mostly wait for brokers
	brokers.Main(removing{m, folder})
}

// removing are tests after which a folder is removed.
type removing struct {
	*testing.M
	folder string
}

// Run runs them.
func (r removing) Run() int {
	defer os.RemoveAll(r.folder)
	return r.M.Run()
}

// result is what a command left behind.
type result struct {
	out, err string
	code     int
}

// both is all that it printed.
func (r result) both() string { return r.out + r.err }

// here runs a command in this process, where memory://name is a broker that tests share with
// it, and the race detector sees it.
func here(t *testing.T, url string, args ...string) result {
	t.Helper()
	var out, err bytes.Buffer
	env := func(name string) string {
		if name == "BATCH_URL" {
			return url
		}
		return ""
	}
	a := newApp(strings.NewReader(""), &out, &err, env)
	code := a.run(testContext(t), args)
	return result{out.String(), err.String(), code}
}

// away runs a command as a process of its own.
func away(t *testing.T, url string, args ...string) result {
	t.Helper()
	c := process(t, url, args...)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	if c.ProcessState == nil {
		t.Fatal(err)
	}
	return result{out.String(), errs.String(), c.ProcessState.ExitCode()}
}

// process is a command that is to be started.
func process(t *testing.T, url string, args ...string) *exec.Cmd {
	t.Helper()
	c := exec.CommandContext(testContext(t), binary, args...)
	c.Env = append(os.Environ(), "BATCH_URL="+url)
	return c
}

// testContext ends with the test, or when something hangs.
func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	t.Cleanup(cancel)
	return ctx
}

// want checks the exit code of a command, and that it printed texts.
func (r result) want(t *testing.T, code int, texts ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("the exit code is %d, want %d:\n%s", r.code, code, r.both())
	}
	for _, text := range texts {
		if !strings.Contains(r.both(), text) {
			t.Errorf("%q is not in what was printed:\n%s", text, r.both())
		}
	}
}

// TestStatic: the binary needs nothing of the machine, as one that is copied into an image
// of nothing else.
func TestStatic(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the format of programs is another one here")
	}
	content, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(content, []byte("/ld-linux")) || bytes.Contains(content, []byte("ld-musl")) {
		t.Error("the binary names a dynamic linker")
	}
}
