package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/internal/brokers"
)

func TestMain(m *testing.M) { brokers.Main(m) }

// build compiles the program.
func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "quickstart")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return program
}

// tree makes n files and returns the folder, and the digest of each by its path.
func tree(t *testing.T, n int) (string, map[string]string) {
	t.Helper()
	dir := t.TempDir()
	digests := make(map[string]string)
	for i := range n {
		path := filepath.Join(dir, fmt.Sprintf("folder%d", i%3), fmt.Sprintf("file%03d", i))
		body := bytes.Repeat([]byte("line\n"), i)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, body, 0o600); err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(body)
		digests[path] = hex.EncodeToString(sum[:])
	}
	return dir, digests
}

// command runs the program on a broker, with a deadline. Without a URL it is the
// program's own.
func command(t *testing.T, url, program string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "BATCH_URL="+url)
	cmd.Stderr = os.Stderr
	return cmd
}

// checkResults compares the results file with the truth: every file once, with
// its digest.
func checkResults(t *testing.T, path string, digests map[string]string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	if first, last := lines[0], lines[len(lines)-1]; !strings.Contains(first, `"quickstart":1`) || last != `{"complete":true}` {
		t.Errorf("the results begin with %s and end with %s", first, last)
	}
	seen := make(map[string]int)
	for _, line := range lines[1 : len(lines)-1] {
		var r record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%v in line %s", err, line)
		}
		if want := digests[r.Path]; r.SHA256 != want {
			t.Errorf("digest of %s = %q, want %q", r.Path, r.SHA256, want)
		}
		seen[r.Path]++
	}
	for path := range digests {
		if seen[path] != 1 {
			t.Errorf("%s has %d results, want 1", path, seen[path])
		}
	}
}

// TestProgram runs the program as a user does.
func TestProgram(t *testing.T) {
	program := build(t)
	for name, url := range map[string]string{"its own": "", "memory": "memory://"} {
		t.Run("to the end on "+name, func(t *testing.T) {
			t.Parallel()
			runToTheEnd(t, program, url)
		})
		t.Run("interrupted on "+name, func(t *testing.T) {
			t.Parallel()
			interrupt(t, program, url)
		})
		t.Run("killed on "+name, func(t *testing.T) {
			t.Parallel()
			killAndGoOn(t, program, url)
		})
	}
	t.Run("jobs are kept", func(t *testing.T) {
		t.Parallel()
		keepsItsJobs(t, program)
	})
	// Here jobs of the killed process come again beside those that the next one
	// enqueues.
	for _, version := range brokers.RedisVersions() {
		t.Run("killed on "+string(version), func(t *testing.T) {
			t.Parallel()
			killAndGoOn(t, program, brokers.Redis(t, version).URL())
		})
	}
}

func runToTheEnd(t *testing.T, program, url string) {
	dir, digests := tree(t, 40)
	results := filepath.Join(t.TempDir(), "results.jsonl")
	out, err := command(t, url, program, "-results", results, dir).Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	has(t, out,
		"41 of 41 files accounted for: 40 digested, 1 dead",
		"total        3900 bytes, 780 lines", // 5 * (0 + 1 + ... + 39)
		"retries      2",
		"dead letters 1",
		"does-not-exist (the demonstration)",
		"max-attempts after 3 failures: open "+filepath.Join(dir, missing)+": no such file or directory",
		"195 bytes  "+filepath.Join(dir, "folder0", "file039"))
	checkResults(t, results, digests)
}

// has looks for words in the program's output.
func has(t *testing.T, out []byte, words ...string) {
	t.Helper()
	for _, want := range words {
		if !bytes.Contains(out, []byte(want)) {
			t.Errorf("the output lacks %q:\n%s", want, out)
		}
	}
}

// interrupt presses Ctrl-C: what has started is finished, and no more is started.
func interrupt(t *testing.T, program, url string) {
	dir, _ := tree(t, 120)
	results := filepath.Join(t.TempDir(), "results.jsonl")
	cmd := command(t, url, program, "-pace=50ms", "-demo-failure=false", "-results", results, dir)
	out := endInMidRun(t, cmd, os.Interrupt)
	if code := cmd.ProcessState.ExitCode(); code != 130 {
		t.Errorf("exit code %d, want 130", code)
	}
	has(t, out, "stopping", "interrupted; run it again with the same arguments to go on")
	found := regexp.MustCompile(`(\d+) of 120 files accounted for: (\d+) digested, 0 dead`).FindSubmatch(out)
	if found == nil {
		t.Fatalf("there is no summary:\n%s", out)
	}
	lines, err := os.ReadFile(results)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(lines, []byte("\n")) - 1; string(found[2]) != fmt.Sprint(n) {
		t.Errorf("the summary counts %s files, and the results are %d", found[2], n)
	}
}

// killAndGoOn kills the program while it works, starts it again, and counts.
func killAndGoOn(t *testing.T, program, url string) {
	dir, digests := tree(t, 120)
	results := filepath.Join(t.TempDir(), "results.jsonl")
	args := []string{"-demo-failure=false", "-results", results, dir}

	first := command(t, url, program, append([]string{"-pace=50ms"}, args...)...)
	killed := endInMidRun(t, first, os.Kill)
	if status, ok := first.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		t.Fatalf("the program was not killed: %v", first.ProcessState)
	}
	out, err := command(t, url, program, args...).Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("killed after:\n%s\nthen:\n%s", killed, out)
	has(t, out, "resuming", "120 of 120 files accounted for: 120 digested, 0 dead", "earlier")
	checkResults(t, results, digests)
}

// keepsItsJobs kills the program on its own server, and looks for the jobs in the
// folder: they are what the next process begins with, beside what it enqueues.
func keepsItsJobs(t *testing.T, program string) {
	dir, _ := tree(t, 120)
	results := filepath.Join(t.TempDir(), "results.jsonl")
	endInMidRun(t, command(t, "", program, "-pace=50ms", "-demo-failure=false", "-results", results, dir), os.Kill)

	address, _, err := ownURL(results)
	if err != nil {
		t.Fatal(err)
	}
	d, err := open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close(t.Context())
	first, err := os.ReadFile(results)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSpace(first), []byte("\n"))
	var h header
	if err := json.Unmarshal(lines[0], &h); err != nil {
		t.Fatal(err)
	}
	depth, err := batch.NewQueue(d, "quickstart-"+h.Run).Depth(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// Some may be done whose results are the last that were written.
	kept, open := depth.Waiting+depth.Running+depth.Scheduled, int64(120-(len(lines)-1))
	t.Logf("%d jobs are kept, %d files have no result", kept, open)
	if kept < open {
		t.Errorf("the folder holds %d jobs, but %d files have no result", kept, open)
	}
}

// endInMidRun starts the program, waits for its first line of progress, which
// comes after a second, sends the signal, and returns all that was printed.
func endInMidRun(t *testing.T, cmd *exec.Cmd, signal os.Signal) []byte {
	t.Helper()
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	sent := false
	progress := regexp.MustCompile(`^[1-9]\d* of 120 files`)
	for lines := bufio.NewScanner(pipe); lines.Scan(); {
		fmt.Fprintln(&out, lines.Text())
		if !sent && progress.MatchString(lines.Text()) {
			sent = true
			if err := cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait() // how it ended is in cmd.ProcessState
	if !sent {
		t.Fatalf("the program ended before it could be signalled:\n%s", &out)
	}
	return out.Bytes()
}
