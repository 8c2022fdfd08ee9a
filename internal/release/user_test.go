package release

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// mostModules is how many modules a program may resolve that uses one driver, itself included.
const mostModules = 25

// uncounted are those for which it does not hold: JetStream in the process is a whole server, and Prometheus's client
// resolves 32 by itself.
var uncounted = []string{"nats/embedded", "prombatch"}

// old are versions that a program may have had before batch came: of the brokers' clients, and of what the tests
// of this repository bring along.
var old = map[string]string{
	"github.com/redis/go-redis/v9":             "v9.5.1",
	"github.com/rabbitmq/amqp091-go":           "v1.9.0",
	"github.com/nats-io/nats.go":               "v1.31.0",
	"github.com/nats-io/nats-server/v2":        "v2.10.4",
	"github.com/aws/aws-sdk-go-v2":             "v1.30.0",
	"github.com/aws/aws-sdk-go-v2/service/sqs": "v1.34.0",
	"github.com/aws/smithy-go":                 "v1.20.2",
	"github.com/stretchr/testify":              "v1.9.0",
	"github.com/google/uuid":                   "v1.5.0",
	"go.opentelemetry.io/otel":                 "v1.28.0",
	"go.opentelemetry.io/otel/metric":          "v1.28.0",
	"go.opentelemetry.io/otel/trace":           "v1.28.0",
}

// checkUsers builds a program for each driver, for prombatch, for otelbatch and for the stores of keys, from a release, and a second one that uses the
// broker's client without batch. The first resolves what the second does, and batch's own modules, and nothing else; and it
// upgrades nothing that the client does not upgrade by itself.
func checkUsers(t *testing.T, repo string, env []string) {
	table := fmt.Sprintf("\n%-14s %8s %13s %13s  %s", "driver", "modules", "of its client", "go.sum lines", "upgrades by its client")
	for _, m := range append(modulesOf(t, repo), goMod{Path: module + "/driver/memory"}) {
		name, ok := strings.CutPrefix(m.Path, module+"/driver/")
		var beside []string // what a program has anyway that uses it
		if m.Path == module+"/prombatch" {
			name, ok = "prombatch", true
		}
		if m.Path == module+"/otelbatch" {
			name, ok, beside = "otelbatch", true, []string{"go.opentelemetry.io/otel/sdk/trace", "go.opentelemetry.io/otel/sdk/metric"}
		}
		if m.Path == module+"/idempotency/pgxstore" || m.Path == module+"/idempotency/redisstore" {
			name, ok = strings.TrimPrefix(m.Path, module+"/idempotency/"), true
		}
		if !ok {
			continue
		}
		t.Run(name, func(t *testing.T) {
			user := newProgram(t, env, []string{module, m.Path})
			user.require(map[string]string{module: version})
			if len(m.Require) > 0 { // memory is in the library's module
				user.require(map[string]string{m.Path: version})
			}
			user.tidy()
			user.command("build", "-o", os.DevNull, ".")
			client := newProgram(t, env, append(clientOf(t, repo, m.Path), beside...))
			client.require(m.foreign())
			client.tidy()

			modules := user.modules()
			if len(modules) > mostModules && !slices.Contains(uncounted, name) {
				t.Errorf("a program resolves %d modules, want %d at most", len(modules), mostModules)
			}
			resolvesOnly(t, modules, client.modules())
			table += fmt.Sprintf("\n%-14s %8d %13d %13d", name, len(modules), len(client.modules())-1, user.sums())
			table += "  " + strings.Join(upgrades(t, user, client, m.foreign()), ", ")
		})
	}
	t.Log(table)
}

// resolvesOnly checks that a program resolves the modules that the broker's client does, and ours.
func resolvesOnly(t *testing.T, modules, client map[string]string) {
	t.Helper()
	var others []string
	for _, path := range slices.Sorted(maps.Keys(modules)) {
		if _, ok := client[path]; !ok && !ours(path) {
			others = append(others, path)
		}
	}
	if len(others) > 0 {
		t.Errorf("a program resolves modules that the broker's client does not need: %s", strings.Join(others, ", "))
	}
}

// upgrades gives old versions to both programs, of all modules but those that the driver requires. It checks that
// they stay, and returns those that the client raises by itself.
func upgrades(t *testing.T, user, client *program, required map[string]string) []string {
	t.Helper()
	held := maps.Clone(old)
	maps.DeleteFunc(held, func(path, _ string) bool { return required[path] != "" })
	user.require(held)
	client.require(held)
	with, without := user.modules(), client.modules()
	var raised []string
	for _, path := range slices.Sorted(maps.Keys(held)) {
		if with[path] != without[path] {
			t.Errorf("a program that has %s at %s is forced to %s, and with the broker's client alone to %s",
				path, held[path], with[path], without[path])
		}
		if without[path] != held[path] {
			raised = append(raised, path)
		}
	}
	return raised
}

// checkAuthor runs the suite's cases that compile programs from the module of somebody who wrote a driver.
func checkAuthor(t *testing.T, env []string) {
	author := newProgram(t, env, nil)
	author.write("acme.go", `// Package acme is a driver that lacks everything.
package acme

import "github.com/batch-go/batch/driver/memory"

type Driver struct{ *memory.Portable }
`)
	author.write("acme_test.go", `package acme_test

import (
	"context"
	"testing"

	"example.com/user"

	"github.com/batch-go/batch/conformance"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
)

func TestConformance(t *testing.T) {
	conformance.Run(t, conformance.Harness{
		Open: func(context.Context) (driver.Driver, error) { return acme.Driver{memory.NewPortable()}, nil },
	})
}
`)
	author.require(map[string]string{module: version})
	author.tidy()
	if n := len(author.modules()); n > 2 {
		t.Errorf("an author resolves %d modules, want their own and batch's", n)
	}
	out := author.command("test", "-count=1", "-v", "-run", "TestConformance/(compiles-|does-not-compile-)")
	for _, name := range []string{"compiles-portable", "does-not-compile-Prioritizer", "does-not-compile-Pauser"} {
		if !strings.Contains(out, "--- PASS: TestConformance/"+name) {
			t.Errorf("the case %s did not pass:\n%s", name, out)
		}
	}
}

// checkInstall installs the command from a release by its name, as a user does who has no module around it, and
// runs it.
func checkInstall(t *testing.T, env []string) {
	user := newProgram(t, env, nil)
	bin := t.TempDir()
	user.env = append(slices.Clone(user.env), "GOBIN="+bin, "CGO_ENABLED=0", "GOFLAGS=-modcacherw -trimpath")
	user.command("install", module+"/cmd/batch@"+version)
	if out := run(t, bin, nil, filepath.Join(bin, "batch"), "--version"); !strings.Contains(out, version) {
		t.Errorf("batch --version says %q, want %s", out, version)
	}
}

// A goMod is what go mod edit tells of a go.mod file.
type goMod struct {
	Path    string
	Require []struct {
		Path, Version string
		Indirect      bool
	}
}

// foreign are the modules of others that a module requires itself, with their versions.
func (m goMod) foreign() map[string]string {
	foreign := make(map[string]string)
	for _, r := range m.Require {
		if !ours(r.Path) && !r.Indirect {
			foreign[r.Path] = r.Version
		}
	}
	return foreign
}

// modulesOf reads the go.mod files of a repository.
func modulesOf(t *testing.T, repo string) []goMod {
	t.Helper()
	var modules []goMod
	env := append(os.Environ(), "GOWORK="+filepath.Join(repo, "go.work"), "GOFLAGS=-mod=readonly")
	for line := range strings.Lines(run(t, repo, env, "go", "list", "-m", "-f", "{{.Path}} {{.GoMod}}")) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		m := goMod{}
		if err := json.Unmarshal([]byte(run(t, repo, env, "go", "mod", "edit", "-json", file)), &m); err != nil {
			t.Fatal(err)
		}
		m.Path = path
		modules = append(modules, m)
	}
	return modules
}

// clientOf returns the packages of other modules that a driver imports.
func clientOf(t *testing.T, repo, driver string) []string {
	t.Helper()
	env := append(os.Environ(), "GOWORK="+filepath.Join(repo, "go.work"), "GOFLAGS=-mod=readonly")
	var foreign []string
	for path := range strings.FieldsSeq(run(t, repo, env, "go", "list", "-f", "{{range .Imports}}{{.}} {{end}}", driver)) {
		if first, _, _ := strings.Cut(path, "/"); strings.Contains(first, ".") && !ours(path) {
			foreign = append(foreign, path)
		}
	}
	return foreign
}

// ours reports whether a package or a module is of this repository.
func ours(path string) bool { return path == module || strings.HasPrefix(path, module+"/") }
