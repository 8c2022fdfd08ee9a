package deploy

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/batch-go/batch/examples/service/config"
)

// steps are those of the Dockerfile, without comments.
func steps(t *testing.T) string {
	t.Helper()
	var lines []string
	for line := range strings.Lines(read(t, folder+"/Dockerfile")) {
		if !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

// step is what an expression finds in the Dockerfile.
func step(t *testing.T, expression string) string {
	t.Helper()
	found := regexp.MustCompile(`(?m)^` + expression + `$`).FindStringSubmatch(steps(t))
	if found == nil {
		t.Fatalf("the Dockerfile has no line %s", expression)
	}
	return found[1]
}

// programOf is the path of the program in the image.
func programOf(t *testing.T) string { t.Helper(); return step(t, `ENTRYPOINT \["(.*)"\]`) }

// TestDockerfile compares the file with the program and with its module.
func TestDockerfile(t *testing.T) {
	if got, want := step(t, `EXPOSE (.*)`), fmt.Sprintf("%d %d", portOf(t, config.Address), portOf(t, config.OpsAddress)); got != want {
		t.Errorf("the image has the ports %s, want %s", got, want)
	}
	if got := step(t, `FROM golang:(\S+) AS build`); !strings.Contains(read(t, folder+"/go.mod"), "\ngo "+got+".") {
		t.Errorf("the image is built with Go %s, and go.mod has another one", got)
	}
	if got := step(t, `COPY --from=build \S+ (\S+)`); got != programOf(t) {
		t.Errorf("the program is %s, and what is started %s", got, programOf(t))
	}
}

// TestImageNeedsNothing builds the program as the Dockerfile does, and starts it: an image without an operating system has no
// libraries.
func TestImageNeedsNothing(t *testing.T) {
	command := step(t, `RUN (.*)`)
	program := filepath.Join(t.TempDir(), "service")
	command = strings.Replace(command, "-o "+programOf(t), "-o "+program, 1)
	build := exec.CommandContext(t.Context(), "sh", "-c", command)
	build.Dir = "../.." // where the modules are
	build.Env = append(os.Environ(), "GOFLAGS=-mod=readonly")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	file, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, p := range file.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("the program is not static")
		}
	}
	var stderr bytes.Buffer
	run := exec.CommandContext(t.Context(), program)
	run.Stderr = &stderr
	var exit *exec.ExitError
	if err := run.Run(); !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.Contains(stderr.String(), "BATCH_URL") {
		t.Errorf("without arguments it ends with %v\n%s", err, &stderr)
	}
}
