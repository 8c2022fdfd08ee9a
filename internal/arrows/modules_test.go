package arrows

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// clients are the modules of others that a module of this repository may require: of a driver its broker's
// client, and of prombatch that of Prometheus. Every user of the driver gets what is here, and what that
// requires. Modules that are not here have no users, and may require anything.
var clients = map[string][]string{
	"batch":                        {}, // every user of every driver would get it
	"batch/driver/amqp":            {"github.com/rabbitmq/amqp091-go"},
	"batch/driver/nats":            {"github.com/nats-io/nats.go", "github.com/nats-io/nkeys", "github.com/nats-io/nuid"},
	"batch/driver/nats/embedded":   {"github.com/nats-io/nats.go", "github.com/nats-io/nats-server/v2"},
	"batch/driver/postgres":        {"github.com/jackc/pgx/v5"},
	"batch/driver/redis":           {"github.com/redis/go-redis/v9"},
	"batch/idempotency/pgxstore":   {"github.com/jackc/pgx/v5"},
	"batch/idempotency/redisstore": {"github.com/redis/go-redis/v9"},
	"batch/idempotency/sqlstore":   {}, // it is for any driver of database/sql
	"batch/otelbatch":              {"go.opentelemetry.io/otel", "go.opentelemetry.io/otel/..."},
	"batch/driver/sqs":             {"github.com/aws/aws-sdk-go-v2", "github.com/aws/aws-sdk-go-v2/...", "github.com/aws/smithy-go"},
	"batch/prombatch":              {"github.com/prometheus/client_golang"},
}

// siblings are the modules of this repository that another may require beside the library.
var siblings = map[string][]string{"batch/driver/nats/embedded": {"batch/driver/nats"}}

// clientOf names a driver whose client a module is, unless the driver of that name has it as well.
func clientOf(path, name string) string {
	for _, mine := range append(siblings[name], name) {
		if matchesAny(clients[mine], pkg{}, pkg{ImportPath: path}) {
			return ""
		}
	}
	for other, theirs := range clients {
		if matchesAny(theirs, pkg{}, pkg{ImportPath: path}) {
			return other
		}
	}
	return ""
}

// A goMod is a go.mod file as go mod edit tells it.
type goMod struct {
	Module struct{ Path string }
	Go     string

	Require []struct {
		Path, Version string
		Indirect      bool
	}
	Replace []struct {
		Old, New struct{ Path, Version string }
	}
	folder string
}

// listModules reads the go.mod files of all modules of the repository.
func listModules(t *testing.T) []goMod {
	t.Helper()
	var modules []goMod
	for _, m := range ask[struct{ Dir, GoMod string }](t, "list", "-m", "-json=Dir,GoMod") {
		for _, file := range ask[goMod](t, "mod", "edit", "-json", m.GoMod) {
			file.folder = m.Dir
			modules = append(modules, file)
		}
	}
	return modules
}

// checkModules returns a line for each requirement that a module may not have, and for each difference between
// what modules of one repository must agree on. versions are those that the workspace has of others' modules.
func checkModules(modules []goMod, versions map[string]string) []string {
	var broken []string
	folders := make(map[string]string)
	for _, m := range modules {
		folders[m.Module.Path] = m.folder
	}
	release := make(map[string]string) // a version of ours, and a module that requires it
	for _, m := range modules {
		name := short(m.Module.Path)
		complain := func(format string, args ...any) {
			broken = append(broken, name+" "+fmt.Sprintf(format, args...))
		}
		if m.Go != modules[0].Go {
			complain("has go %s, and %s has go %s", m.Go, short(modules[0].Module.Path), modules[0].Go)
		}
		replaced := make(map[string]string)
		for _, r := range m.Replace {
			replaced[r.Old.Path] = filepath.Join(m.folder, filepath.FromSlash(r.New.Path))
		}
		allowed, limited := clients[name]
		for _, r := range m.Require {
			if folder, ours := folders[r.Path]; ours {
				release[r.Version] = name
				if limited && r.Path != module && !slices.Contains(siblings[name], short(r.Path)) {
					complain("requires %s, which its users would get", short(r.Path))
				}
				if replaced[r.Path] != folder {
					complain("requires %s without replacing it by its folder, so that it is built with a released one", short(r.Path))
				}
				continue
			}
			if !limited {
				continue
			}
			if r.Indirect {
				if of := clientOf(r.Path, name); of != "" {
					complain("requires %s, by way of something, which is the client of %s", r.Path, of)
				}
				continue
			}
			if !matchesAny(allowed, pkg{}, pkg{ImportPath: r.Path}) {
				complain("requires %s, which all who use it would get", r.Path)
			}
			if versions[r.Path] != r.Version {
				complain("requires %s %s, but the tests of the workspace run with %s", r.Path, r.Version, versions[r.Path])
			}
		}
		for path := range replaced {
			if folders[path] == "" {
				complain("replaces %s, which its users do not", path)
			}
		}
	}
	if len(release) > 1 {
		broken = append(broken, fmt.Sprintf("modules that are released together require each other at different versions: %v", release))
	}
	slices.Sort(broken)
	return broken
}

func TestModules(t *testing.T) {
	modules := listModules(t)
	versions := make(map[string]string)
	for _, m := range ask[struct{ Path, Version string }](t, "list", "-m", "-json=Path,Version", "all") {
		versions[m.Path] = m.Version
	}
	for _, line := range checkModules(modules, versions) {
		t.Error(line)
	}
	for name := range clients {
		if !slices.ContainsFunc(modules, func(m goMod) bool { return short(m.Module.Path) == name }) {
			t.Errorf("%s is no module of go.work", name)
		}
	}
	for _, m := range modules {
		if name := short(m.Module.Path); strings.HasPrefix(name, "batch/driver/") && clients[name] == nil {
			t.Errorf("%s may require anything: say which client it needs", name)
		}
	}
}

// outside are modules that are in no workspace. What the comparison's peers require would decide with which
// versions of the clients the drivers are tested, and takes minutes to compile. So do OpenTelemetry's collector and
// what it requires.
var outside = []string{"bench/performance", "otelbatch/collector"}

// TestModulesAreInTheWorkspace finds a go.mod that no rule and no test would see.
func TestModulesAreInTheWorkspace(t *testing.T) {
	known := make(map[string]bool)
	for _, m := range listModules(t) {
		known[m.folder] = true
	}
	eachFile(t, func(path string, _ string) {
		if folder := filepath.Join(moduleRoot(t), filepath.Dir(path)); filepath.Base(path) == "go.mod" && !known[folder] &&
			!slices.Contains(outside, filepath.ToSlash(filepath.Dir(path))) {
			t.Errorf("%s is not in go.work", path)
		}
	})
}

// TestCheckModulesFindsViolations shows made-up modules to the rule, since the repository's own break none.
func TestCheckModulesFindsViolations(t *testing.T) {
	const redis, client = module + "/driver/redis", "github.com/redis/go-redis/v9"
	type requirement = struct {
		Path, Version string
		Indirect      bool
	}
	tests := []struct {
		name   string
		change func(library, driver *goMod)
		want   string // part of the only line; empty when no rule is broken
	}{
		{"nothing forbidden", func(*goMod, *goMod) {}, ""},
		{"what a client requires", func(_, d *goMod) {
			d.Require = append(d.Require, requirement{"github.com/sneaky/unittest", "v1.0.0", true})
		}, ""},
		{"the library requires a module", func(l, _ *goMod) {
			l.Require = append(l.Require, requirement{client, "v9.1.0", false})
		}, "batch requires " + client},
		{"a driver requires another client", func(_, d *goMod) {
			d.Require = append(d.Require, requirement{"github.com/nats-io/nats.go", "v1.1.0", false})
		}, "batch/driver/redis requires github.com/nats-io/nats.go"},
		{"a driver gets another client by way of something", func(_, d *goMod) {
			d.Require = append(d.Require, requirement{"github.com/nats-io/nats.go", "v1.1.0", true})
		}, "which is the client of batch/driver/nats"},
		{"a driver requires another driver", func(_, d *goMod) {
			d.Require = append(d.Require, requirement{module, "v1.0.0", false})
			d.Require[2].Path = redis // as a module of ours that is not the library
			d.Replace = append(d.Replace, d.Replace[0])
			d.Replace[1].Old.Path, d.Replace[1].New.Path = redis, "."
		}, "batch/driver/redis, which its users would get"},
		{"a driver is tested with a newer client", func(_, d *goMod) { d.Require[1].Version = "v9.0.0" }, "run with v9.1.0"},
		{"a driver is built with a released library", func(_, d *goMod) { d.Replace = nil }, "without replacing it"},
		{"a driver replaces its client", func(_, d *goMod) {
			d.Replace = append(d.Replace, d.Replace[0])
			d.Replace[1].Old.Path = client
		}, "which its users do not"},
		{"a driver wants another go", func(_, d *goMod) { d.Go = "1.27" }, "has go 1.27"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			library, driver := goMod{Go: "1.26.0", folder: "/batch"}, goMod{Go: "1.26.0", folder: "/batch/driver/redis"}
			library.Module.Path, driver.Module.Path = module, redis
			driver.Require = []requirement{{module, "v1.0.0", false}, {client, "v9.1.0", false}}
			driver.Replace = make([]struct {
				Old, New struct{ Path, Version string }
			}, 1)
			driver.Replace[0].Old.Path, driver.Replace[0].New.Path = module, "../.."
			test.change(&library, &driver)
			versions := map[string]string{client: "v9.1.0", "github.com/nats-io/nats.go": "v1.1.0"}
			broken := checkModules([]goMod{library, driver}, versions)
			switch {
			case test.want == "" && len(broken) > 0:
				t.Errorf("broken rules: %q, want none", broken)
			case test.want != "" && (len(broken) != 1 || !strings.Contains(broken[0], test.want)):
				t.Errorf("broken rules: %q, want one with %q", broken, test.want)
			}
		})
	}
}
