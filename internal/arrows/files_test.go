package arrows

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// backArrows are the packages whose files are meant to be read downwards, with the number of arrows between files
// that may run back up. An arrow runs from a file to each other file that declares something it uses: a function, a
// method, a type, a constant or a variable. It runs back if it points up in the order of the files that leaves the
// fewest such arrows. A number goes down when one was mended, and up only with a reason beside it.
var backArrows = map[string]int{
	".":                    0,
	"driver":               0,
	"driver/memory":        0,
	"driver/redis":         0,
	"driver/amqp":          0,
	"driver/nats":          0,
	"driver/nats/embedded": 0,
	"driver/sqs":           0,
	"conformance":          0,
	"idempotency":          0,
	"internal/brokers":     0,
	"internal/coalesce":    0,
	"internal/fault":       0,
	"internal/lifecycle":   0,

	"internal/brokers/launcher": 0,
}

// fileGraph has the arrows between the files of a package, with the names that each stands for.
type fileGraph map[[2]string][]string

func TestFilesAreReadDownwards(t *testing.T) {
	for folder, most := range backArrows {
		t.Run(folder, func(t *testing.T) {
			files, graph, err := fileArrows(filepath.Join(moduleRoot(t), folder), filepath.Join(moduleRoot(t), "go.work"))
			if err != nil {
				t.Fatal(err)
			}
			order, back := readingOrder(files, graph)
			t.Logf("%d files, %d arrows, %d back", len(files), len(graph), len(back))
			if len(back) == most {
				return
			}
			t.Errorf("%d arrows between the files run back, and the table says %d; the order is %s", len(back), most, strings.Join(order, " "))
			for _, arrow := range back {
				t.Logf("%s -> %s: %s", arrow[0], arrow[1], strings.Join(graph[arrow], ", "))
			}
		})
	}
}

// fileArrows type-checks the package of a folder and returns its files and the arrows between them.
func fileArrows(folder, workspace string) ([]string, fileGraph, error) {
	type listed struct {
		Dir, ImportPath, Export string
		GoFiles                 []string
	}
	exports := make(map[string]string)
	var p listed // the package itself comes last
	command := exec.Command("go", "list", "-deps", "-export", "-json=Dir,ImportPath,Export,GoFiles", ".")
	command.Dir = folder
	command.Env = append(os.Environ(), "GOWORK="+workspace, "GOFLAGS=-mod=readonly")
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		return nil, nil, fmt.Errorf("go list: %w\n%s", err, stderr.String())
	}
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var next listed
		if err := decoder.Decode(&next); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, nil, err
		}
		p = next
		exports[p.ImportPath] = p.Export
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

// readingOrder orders files so that few arrows run back, and returns these. If there is an order without any, it is
// found. Else it moves one file at a time to its best place until nothing gains, from a number of starts; that is no
// proof that no better order exists, and finds it for packages of this size.
func readingOrder(files []string, graph fileGraph) (order []string, back [][2]string) {
	if order := downwards(files, graph); len(order) == len(files) {
		return order, nil
	}
	arrow := func(from, to string) int {
		if _, ok := graph[[2]string{from, to}]; ok {
			return 1
		}
		return 0
	}
	random := rand.New(rand.NewPCG(1, 1))
	for range 40 {
		try := slices.Clone(files)
		random.Shuffle(len(try), func(i, j int) { try[i], try[j] = try[j], try[i] })
		for moved := true; moved; {
			moved = false
			for i := range try {
				if to := bestPlace(try, i, arrow); to != i {
					file := try[i]
					try = slices.Insert(slices.Delete(try, i, i+1), to, file)
					moved = true
				}
			}
		}
		if up := upwards(try, graph); order == nil || len(up) < len(back) {
			order, back = try, up
		}
	}
	return order, back
}

// downwards takes the files one by one to which no arrow points from those that are left, until there is none.
func downwards(files []string, graph fileGraph) (order []string) {
	left := slices.Clone(files)
	for {
		free := slices.IndexFunc(left, func(to string) bool {
			return !slices.ContainsFunc(left, func(from string) bool { _, ok := graph[[2]string{from, to}]; return ok })
		})
		if free < 0 {
			return order
		}
		order = append(order, left[free])
		left = slices.Delete(left, free, free+1)
	}
}

// bestPlace is where the i-th file of an order has the fewest arrows that run back.
func bestPlace(order []string, i int, arrow func(from, to string) int) int {
	file, best, gain := order[i], i, 0
	for change, j := 0, i-1; j >= 0; j-- {
		change += arrow(order[j], file) - arrow(file, order[j])
		if change < gain {
			best, gain = j, change
		}
	}
	for change, j := 0, i+1; j < len(order); j++ {
		change += arrow(file, order[j]) - arrow(order[j], file)
		if change < gain {
			best, gain = j, change
		}
	}
	return best
}

// upwards returns the arrows that run back in an order of files.
func upwards(order []string, graph fileGraph) [][2]string {
	var back [][2]string
	for arrow := range maps.Keys(graph) {
		if slices.Index(order, arrow[0]) > slices.Index(order, arrow[1]) {
			back = append(back, arrow)
		}
	}
	slices.SortFunc(back, func(a, b [2]string) int { return strings.Compare(a[0]+" "+a[1], b[0]+" "+b[1]) })
	return back
}

func TestReadingOrderFindsArrowsBack(t *testing.T) {
	files := []string{"c.go", "a.go", "d.go", "b.go"}
	graph := fileGraph{{"a.go", "b.go"}: nil, {"b.go", "c.go"}: nil, {"c.go", "d.go"}: nil, {"a.go", "d.go"}: nil}
	if order, back := readingOrder(files, graph); len(back) != 0 || !slices.Equal(order, []string{"a.go", "b.go", "c.go", "d.go"}) {
		t.Errorf("the order is %q with %q back, want none", order, back)
	}
	graph[[2]string{"d.go", "b.go"}] = nil // closes a circle of b, c and d
	if order, back := readingOrder(files, graph); len(back) != 1 {
		t.Errorf("the order is %q with %q back, want one", order, back)
	}
}
