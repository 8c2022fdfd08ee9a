package arrows

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/batch-go/batch"

// A rule says what packages may import. Packages are written with the module's path cut to "batch".
// A pattern is a package; a tree, as in "batch/driver/...", which is all below batch/driver and not
// batch/driver itself; or one of the words
//
//	std     the standard library
//	foreign every other module
//	own     the importing package's own folder below batch/driver, batch/examples or the like
type rule struct {
	from   []string // patterns of the packages that the rule is for
	may    []string // all that they may import; empty for no limit
	never  []string // what they must not import
	deep   bool     // never holds for what they import indirectly, too
	reason string
}

var rules = []rule{
	{
		from:   []string{"batch/driver"},
		may:    []string{"std"},
		reason: "a driver's author, and through them every user, would have to take the module along",
	},
	{
		from:   []string{"batch/driver/..."},
		may:    []string{"std", "foreign", "own", "batch/driver", "batch/internal/..."},
		reason: "a driver is one broker and nothing else: policy is the core's, and linking one broker must not link another",
	},
	{
		from:   []string{"batch"},
		may:    []string{"std", "batch/driver", "batch/internal/..."},
		reason: "the core knows no broker: a program that uses one links that one alone",
	},
	{
		from:   []string{"batch/otelbatch"},
		may:    []string{"std", "foreign", "batch", "batch/driver", "batch/internal/depths"},
		reason: "it watches by the hooks that anybody may write, on any driver",
	},
	{
		from:   []string{"batch", "batch/driver", "batch/driver/...", "batch/idempotency", "batch/idempotency/internal/...", "batch/idempotency/sqlstore", "batch/idempotency/pgxstore", "batch/idempotency/redisstore", "batch/health", "batch/prombatch", "batch/otelbatch", "batch/cmd/...", "batch/cron", "batch/dash", "batch/move", "batch/outbox"}, // batch/idempotency/storetest is for tests
		never:  []string{"testing", "testing/...", "github.com/testcontainers/...", "go.uber.org/goleak", "batch/conformance", "batch/conformance/...", "batch/internal/brokers", "batch/internal/brokers/...", "batch/internal/allocs", "batch/internal/fsyncs", "batch/internal/late", "batch/internal/leak", "batch/internal/secret", "batch/batchtest", "batch/internal/keda"},
		deep:   true,
		reason: "what tests need must not be in the users' programs",
	},
	{
		from:   []string{"batch/cron"},
		may:    []string{"std", "batch", "batch/idempotency", "batch/internal/..."},
		reason: "schedules run on any broker, and a parser of others would be in every user's go.sum",
	},
	{
		from:   []string{"batch/idempotency/internal/...", "batch/idempotency/sqlstore"},
		may:    []string{"std", "batch/idempotency", "batch/idempotency/internal/...", "batch/internal/sqlname"},
		reason: "an application has the driver of its database already, and every other would be one too many",
	},
	{
		from:   []string{"batch/idempotency/pgxstore", "batch/idempotency/redisstore"},
		may:    []string{"std", "foreign", "batch/idempotency", "batch/idempotency/internal/...", "batch/internal/sqlname"},
		reason: "a store is of one database, and for any broker",
	},
	{
		from:   []string{"batch/conformance", "batch/conformance/..."},
		may:    []string{"std", "own", "batch", "batch/driver", "batch/conformance", "batch/conformance/...", "batch/idempotency", "batch/internal/secret"},
		reason: "the suite judges drivers that it has never heard of, and their authors get no further modules with it",
	},
	{
		from:   []string{"batch/batchtest"},
		may:    []string{"std", "batch", "batch/driver", "batch/driver/memory", "batch/internal/uuid"},
		reason: "the tests of users get no further modules with it, and no broker",
	},
	{
		from:   []string{"batch/internal/brokers", "batch/internal/brokers/launch", "batch/internal/allocs", "batch/internal/fsyncs", "batch/internal/late", "batch/internal/leak", "batch/internal/secret"},
		may:    []string{"std", "batch/internal/..."},
		reason: "the tests of every driver import it, and its users would resolve what it requires",
	},
	{
		from:   []string{"batch/health", "batch/internal/depths"},
		may:    []string{"std", "batch", "batch/internal/depths"},
		reason: "probes are for any broker, and take no module along",
	},
	{
		from:   []string{"batch/move"},
		may:    []string{"std", "batch", "batch/driver"},
		reason: "a queue moves between any brokers, and takes no module along",
	},
	{
		from:   []string{"batch/outbox"},
		may:    []string{"std", "batch", "batch/driver", "batch/internal/sqlname"},
		reason: "an application has the driver of its database already, and its jobs go to any broker",
	},
	{
		from:   []string{"batch/dash"},
		may:    []string{"std", "batch", "batch/driver", "batch/internal/depths"},
		reason: "a dashboard is for any broker, and takes no module along",
	},
	{
		from:   []string{"batch/prombatch"},
		may:    []string{"std", "foreign", "batch", "batch/internal/depths"},
		reason: "metrics are for any broker",
	},
	{
		from:   []string{"batch/internal/keda"},
		may:    []string{"std", "batch/driver", "batch/health"},
		reason: "the tests of every driver import it, and its users would resolve what it requires",
	},
	{
		from:   []string{"batch/examples", "batch/examples/..."},
		never:  []string{"batch/internal/..."},
		reason: "an example is code that a user can copy, and users cannot import internal packages",
	},
}

// A pkg is a package as go list reports it.
type pkg struct {
	ImportPath string
	Standard   bool
	Imports    []string
}

// check returns a line for each arrow that breaks a rule, sorted.
func check(rules []rule, packages map[string]pkg) []string {
	var broken []string
	for path, p := range packages {
		for _, r := range rules {
			if !matchesAny(r.from, p, p) {
				continue
			}
			for _, imported := range p.Imports {
				to := lookUp(packages, imported)
				if len(r.may) > 0 && !matchesAny(r.may, p, to) {
					broken = append(broken, fmt.Sprintf("%s imports %s, and may import only %s: %s",
						short(path), short(imported), strings.Join(r.may, ", "), r.reason))
				}
			}
			for _, chain := range reached(packages, p, r.deep) {
				if matchesAny(r.never, p, lookUp(packages, chain[len(chain)-1])) {
					broken = append(broken, fmt.Sprintf("%s imports %s, which it must not: %s",
						short(path), strings.Join(chain, " -> "), r.reason))
				}
			}
		}
	}
	slices.Sort(broken)
	return broken
}

// reached returns the ways from p to each package that it imports, directly or, when deep, at all. The
// standard library is not followed: what it links is not ours to choose.
func reached(packages map[string]pkg, p pkg, deep bool) [][]string {
	var chains [][]string
	seen := map[string]bool{p.ImportPath: true}
	queue := [][]string{nil}
	for len(queue) > 0 {
		chain := queue[0]
		queue = queue[1:]
		at := p
		if len(chain) > 0 {
			at = lookUp(packages, chain[len(chain)-1])
		}
		if at.Standard {
			continue
		}
		for _, imported := range at.Imports {
			if seen[imported] {
				continue
			}
			seen[imported] = true
			next := append(slices.Clone(chain), imported)
			chains = append(chains, next)
			if deep {
				queue = append(queue, next)
			}
		}
	}
	return chains
}

// lookUp returns a package by its path; one that go list did not report has no imports.
func lookUp(packages map[string]pkg, path string) pkg {
	if p, ok := packages[path]; ok {
		return p
	}
	return pkg{ImportPath: path}
}

// matchesAny reports whether a package that from imports matches one of the patterns.
func matchesAny(patterns []string, from, p pkg) bool {
	path := short(p.ImportPath)
	ours := path == "batch" || strings.HasPrefix(path, "batch/")
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		switch pattern {
		case "std":
			return p.Standard
		case "foreign":
			return !p.Standard && !ours
		case "own":
			return folder(path) != "" && folder(path) == folder(short(from.ImportPath))
		}
		if tree, ok := strings.CutSuffix(pattern, "/..."); ok {
			return strings.HasPrefix(path, tree+"/")
		}
		return path == pattern
	})
}

// short cuts the module's path to "batch".
func short(path string) string {
	if path == module || strings.HasPrefix(path, module+"/") {
		return "batch" + strings.TrimPrefix(path, module)
	}
	return path
}

// folder returns the first three elements of a short path: batch/driver/redis of
// batch/driver/redis/internal/script. Paths with fewer are in no such folder.
func folder(path string) string {
	elements := strings.Split(path, "/")
	if len(elements) < 3 {
		return ""
	}
	return strings.Join(elements[:3], "/")
}

func TestArrows(t *testing.T) {
	for _, line := range check(rules, listPackages(t)) {
		t.Error(line)
	}
}

// listPackages asks the go command for the packages of all modules of the repository and all that they
// import, without their tests.
func listPackages(t *testing.T) map[string]pkg {
	t.Helper()
	packages := make(map[string]pkg)
	for _, p := range ask[pkg](t, "list", "-deps", "-json=ImportPath,Standard,Imports", "work") {
		packages[p.ImportPath] = p
	}
	return packages
}

// ask calls the go command in the workspace, and decodes the JSON values that it prints.
func ask[T any](t *testing.T, args ...string) []T {
	t.Helper()
	root := moduleRoot(t)
	command := exec.CommandContext(t.Context(), "go", args...)
	command.Dir = root
	command.Env = append(os.Environ(), "GOWORK="+filepath.Join(root, "go.work"), "GOFLAGS=-mod=readonly")
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	var values []T
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var value T
		if err := decoder.Decode(&value); errors.Is(err, io.EOF) {
			return values
		} else if err != nil {
			t.Fatal(err)
		}
		values = append(values, value)
	}
}

// TestCheckFindsViolations draws forbidden arrows, one at a time, into a graph that breaks no rule.
func TestCheckFindsViolations(t *testing.T) {
	allowed := map[string][]string{
		"batch":                      {"context", "batch/driver", "batch/internal/backoff"},
		"batch/internal/backoff":     {"time"},
		"batch/driver":               {"context"},
		"batch/driver/redis":         {"batch/driver", "batch/driver/redis/internal/script", "github.com/redis/go-redis/v9"},
		"batch/driver/memory":        {"batch/driver"},
		"batch/conformance":          {"testing", "batch", "batch/driver"},
		"batch/idempotency":          {"batch"},
		"batch/batchtest":            {"testing", "batch", "batch/driver/memory"},
		"batch/examples/swap":        {"batch", "batch/driver/memory", "batch/driver/redis"},
		"batch/internal/brokers":     {"testing", "batch/internal/leak"},
		"github.com/sneaky/unittest": {"testing"},
	}
	tests := []struct {
		name, from, to string
		want           string // part of the only line; empty when the arrow breaks no rule
	}{
		{"nothing forbidden", "batch", "errors", ""},
		{"the SPI takes a module along", "batch/driver", "github.com/google/uuid", "may import only std"},
		{"a driver knows the core", "batch/driver/redis", "batch", "a driver is one broker"},
		{"a driver knows another", "batch/driver/redis", "batch/driver/memory", "a driver is one broker"},
		{"the core knows a driver", "batch", "batch/driver/memory", "the core knows no broker"},
		{"the core takes a module along", "batch", "github.com/redis/go-redis/v9", "the core knows no broker"},
		{"a driver links testing", "batch/driver/redis", "testing", "must not be in the users' programs"},
		{"a driver links testing by way of a module", "batch/driver/memory", "github.com/sneaky/unittest", "-> testing"},
		{"a store links goleak", "batch/idempotency", "go.uber.org/goleak", "must not be in the users' programs"},
		{"the test kit knows a broker", "batch/batchtest", "batch/driver/redis", "get no further modules with it"},
		{"the suite knows a driver", "batch/conformance", "batch/driver/memory", "the suite judges"},
		{"the suite takes a module along", "batch/conformance", "github.com/google/uuid", "the suite judges"},
		{"the tests of drivers take a module along", "batch/internal/brokers", "github.com/testcontainers/testcontainers-go", "may import only std"},
		{"an example uses what users cannot", "batch/examples/swap", "batch/internal/backoff", "users cannot import"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			packages := make(map[string]pkg)
			for from, imports := range allowed {
				if from == test.from {
					imports = append(slices.Clone(imports), test.to)
				}
				add(packages, from, imports)
			}
			broken := check(rules, packages)
			switch {
			case test.want == "" && len(broken) > 0:
				t.Errorf("broken rules: %q, want none", broken)
			case test.want != "" && (len(broken) != 1 || !strings.Contains(broken[0], test.want)):
				t.Errorf("broken rules: %q, want one with %q", broken, test.want)
			}
		})
	}
}

// add puts a package into the graph, and those that it imports when they are of the standard library.
func add(packages map[string]pkg, path string, imports []string) {
	long := func(path string) string {
		if path == "batch" || strings.HasPrefix(path, "batch/") {
			return module + strings.TrimPrefix(path, "batch")
		}
		return path
	}
	p := pkg{ImportPath: long(path)}
	for _, imported := range imports {
		imported = long(imported)
		p.Imports = append(p.Imports, imported)
		if !strings.Contains(imported, ".") {
			packages[imported] = pkg{ImportPath: imported, Standard: true}
		}
	}
	packages[p.ImportPath] = p
}
