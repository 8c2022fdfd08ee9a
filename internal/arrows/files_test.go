package arrows

import (
	"errors"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// readDownwards are the packages whose files can be put in an order in which no arrow between them runs back up. An
// arrow runs from a file to each other file that declares something it uses: a function, a method, a type, a constant
// or a variable. There is such an order if no file uses itself by way of others.
var readDownwards = []string{
	".", "driver", "driver/memory", "driver/redis", "driver/amqp", "driver/nats", "driver/nats/embedded", "driver/sqs", "driver/postgres",
	"batchtest", "conformance", "conformance/proxy",
	"idempotency", "idempotency/internal/table", "internal/sqlname", "idempotency/sqlstore", "idempotency/pgxstore", "idempotency/redisstore", "idempotency/storetest",
	"internal/brokers", "internal/brokers/launcher", "internal/coalesce", "internal/fault", "internal/lifecycle", "health", "prombatch", "internal/keda", "otelbatch", "cmd/batch", "cmd/batch/internal/doctor", "cron", "examples/service", "dash", "move", "outbox",
	"internal/socket",
}

// fileGraph has the arrows between the files of a package, with the names that each stands for.
type fileGraph map[[2]string][]string

func TestFilesAreReadDownwards(t *testing.T) {
	list := []string{"list", "-deps", "-export", "-json=Dir,ImportPath,Export,GoFiles"}
	for _, folder := range readDownwards {
		list = append(list, "./"+folder)
	}
	packages, exports := make(map[string]listed), make(map[string]string)
	for _, p := range ask[listed](t, list...) { // once for all: each go command looks at the whole workspace
		packages[p.Dir], exports[p.ImportPath] = p, p.Export
	}
	for _, folder := range readDownwards {
		t.Run(folder, func(t *testing.T) {
			files, graph, err := fileArrows(packages[filepath.Join(moduleRoot(t), folder)], exports)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d files, %d arrows", len(files), len(graph))
			for _, arrow := range circular(files, graph) {
				t.Errorf("in a circle: %s -> %s: %s", arrow[0], arrow[1], strings.Join(graph[arrow], ", "))
			}
		})
	}
}

// listed is a package as go list reports it, with the file that says what it exports.
type listed struct {
	Dir, ImportPath, Export string
	GoFiles                 []string
}

// fileArrows type-checks a package and returns its files and the arrows between them.
func fileArrows(p listed, exports map[string]string) ([]string, fileGraph, error) {
	if len(p.GoFiles) == 0 {
		return nil, nil, errors.New("there is no package in the folder")
	}
	set := token.NewFileSet()
	var files []*ast.File
	for _, name := range p.GoFiles {
		file, err := parser.ParseFile(set, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, nil, err
		}
		files = append(files, file)
	}
	config := types.Config{Importer: importer.ForCompiler(set, "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(exports[path])
	})}
	info := &types.Info{Uses: make(map[*ast.Ident]types.Object)}
	checked, err := config.Check(p.ImportPath, set, files, info)
	if err != nil {
		return nil, nil, err
	}
	return p.GoFiles, arrowsOf(set, checked, info.Uses), nil
}

// arrowsOf draws an arrow for each use of what another file declares. A field belongs to its type, which is used
// anyway.
func arrowsOf(set *token.FileSet, checked *types.Package, uses map[*ast.Ident]types.Object) fileGraph {
	graph := make(fileGraph)
	file := func(at token.Pos) string { return filepath.Base(set.Position(at).Filename) }
	for name, object := range uses {
		if object.Pkg() != checked || !object.Pos().IsValid() {
			continue
		}
		if v, ok := object.(*types.Var); ok && v.IsField() {
			continue
		}
		arrow := [2]string{file(name.Pos()), file(object.Pos())}
		if arrow[0] != arrow[1] && !slices.Contains(graph[arrow], object.Name()) {
			graph[arrow] = append(graph[arrow], object.Name())
			slices.Sort(graph[arrow])
		}
	}
	return graph
}

// circular returns the arrows by which files use themselves, by way of others. It takes away what nobody uses, and
// what uses nothing, until nothing of the kind is left.
func circular(files []string, graph fileGraph) [][2]string {
	left := slices.Clone(files)
	for {
		from, to := make(map[string]bool), make(map[string]bool)
		for arrow := range graph {
			if slices.Contains(left, arrow[0]) && slices.Contains(left, arrow[1]) {
				from[arrow[0]], to[arrow[1]] = true, true
			}
		}
		inner := slices.DeleteFunc(slices.Clone(left), func(file string) bool { return !from[file] || !to[file] })
		if len(inner) == len(left) {
			break
		}
		left = inner
	}
	var arrows [][2]string
	for arrow := range graph {
		if slices.Contains(left, arrow[0]) && slices.Contains(left, arrow[1]) {
			arrows = append(arrows, arrow)
		}
	}
	slices.SortFunc(arrows, func(a, b [2]string) int { return strings.Compare(a[0]+" "+a[1], b[0]+" "+b[1]) })
	return arrows
}

func TestCircularFindsCircles(t *testing.T) {
	files := []string{"c.go", "a.go", "d.go", "b.go", "e.go"}
	graph := fileGraph{{"a.go", "b.go"}: nil, {"b.go", "c.go"}: nil, {"c.go", "d.go"}: nil, {"a.go", "d.go"}: nil, {"d.go", "e.go"}: nil}
	if got := circular(files, graph); len(got) != 0 {
		t.Errorf("in a circle are %q, want none", got)
	}
	graph[[2]string{"d.go", "b.go"}] = nil // closes a circle of b, c and d
	want := [][2]string{{"b.go", "c.go"}, {"c.go", "d.go"}, {"d.go", "b.go"}}
	if got := circular(files, graph); !slices.Equal(got, want) {
		t.Errorf("in a circle are %q, want %q", got, want)
	}
}
