package release

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// needs is added to what failed for the want of a module, perhaps.
const needs = "Modules of others come from this machine's cache, or from the proxies of GOPROXY, which must answer."

// outside is the environment of somebody who knows this repository's modules by their names alone. Their names
// lead to the repository at repo, and those of all others where they always do: first into this machine's
// cache, from which nothing else is taken and into which nothing is put.
func outside(t *testing.T, repo string) []string {
	t.Helper()
	var settings []string
	for _, name := range []string{"GOMODCACHE", "GOPROXY"} {
		settings = append(settings, strings.TrimSpace(run(t, root, nil, "go", "env", name)))
	}
	cache, proxy := settings[0], settings[1]
	return append(gitEnv("url.file://"+repo+".insteadOf", "https://"+module),
		"GOWORK=off",
		"GOFLAGS=-mod=mod -modcacherw -trimpath",
		"GOMODCACHE="+t.TempDir(),
		"GOPROXY=file://"+filepath.ToSlash(filepath.Join(cache, "cache", "download"))+","+proxy,
		"GOPRIVATE="+module+","+module+"/*",
		"GONOPROXY=", "GONOSUMDB=",
	)
}

// program is a module outside of this repository.
type program struct {
	t   *testing.T
	dir string
	env []string
}

// newProgram makes a module whose program imports the packages, or one without any code.
func newProgram(t *testing.T, env, packages []string) *program {
	t.Helper()
	p := &program{t: t, dir: t.TempDir(), env: env}
	p.write("go.mod", "module example.com/user\n\ngo 1.26.0\n")
	if packages != nil {
		var imports strings.Builder
		for _, path := range packages {
			fmt.Fprintf(&imports, "\t_ %q\n", path)
		}
		p.write("main.go", "package main\n\nimport (\n"+imports.String()+")\n\nfunc main() {}\n")
	}
	return p
}

// write writes a file of the module.
func (p *program) write(name, text string) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// require adds requirements to go.mod.
func (p *program) require(versions map[string]string) {
	p.t.Helper()
	edit := []string{"mod", "edit"}
	for path, version := range versions {
		edit = append(edit, "-require="+path+"@"+version)
	}
	if len(versions) > 0 {
		p.command(edit...)
	}
}

// tidy makes go.mod and go.sum what the program needs, which is when modules are fetched.
func (p *program) tidy() {
	p.t.Helper()
	p.command("mod", "tidy")
}

// modules are all modules that the module resolves, itself included, with their versions.
func (p *program) modules() map[string]string {
	p.t.Helper()
	all := make(map[string]string)
	for line := range strings.Lines(p.command("list", "-m", "all")) {
		path, version, _ := strings.Cut(strings.TrimSpace(line), " ")
		all[path] = version
	}
	return all
}

// sums counts the lines of go.sum.
func (p *program) sums() int {
	p.t.Helper()
	text, err := os.ReadFile(filepath.Join(p.dir, "go.sum"))
	if err != nil && !os.IsNotExist(err) {
		p.t.Fatal(err)
	}
	return bytes.Count(text, []byte("\n"))
}

// command runs the go command and returns what it prints.
func (p *program) command(args ...string) string {
	p.t.Helper()
	cmd := exec.CommandContext(p.t.Context(), "go", args...)
	cmd.Dir, cmd.Env = p.dir, p.env
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		p.t.Fatalf("go %s: %v\n%s%s\n%s", strings.Join(args, " "), err, &stdout, &stderr, needs)
	}
	return stdout.String()
}
