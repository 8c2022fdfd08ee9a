package arrows

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// sleeps lists the files of the library that may call time.Sleep, and why. Everything else waits for a
// timer together with a context, so that stopping does not wait for a nap to end.
var sleeps = map[string]string{}

// uselessNames are package names that say nothing of what is inside, so that everything ends up there.
var uselessNames = []string{"util", "utils", "common", "helper", "helpers", "misc", "shared"}

// machinePath finds paths that exist on somebody's machine alone.
var machinePath = regexp.MustCompile(`(^|[\s"'` + "`" + `(=:])(/(home|root|work|Users)/[\w.-]+|[A-Z]:\\\w+)`)

// TestExportedIdentifiersAreDocumented holds comments to the form that go doc shows well.
func TestExportedIdentifiersAreDocumented(t *testing.T) {
	eachGoFile(t, func(path string, file *ast.File) {
		if strings.HasPrefix(path, "examples/") || file.Name.Name == "main" {
			return
		}
		for _, name := range undocumented(file) {
			t.Errorf("%s: the comment of %s is missing or does not begin with its name", path, name)
		}
	})
}

// TestCommentsNameWhatTheyStandOver finds comments that drifted: one that begins with another name was written for
// something else, or was left behind by a rename.
func TestCommentsNameWhatTheyStandOver(t *testing.T) {
	eachGoFile(t, func(path string, file *ast.File) {
		for _, name := range misnamed(file) {
			t.Errorf("%s: the comment of %s does not begin with its name", path, name)
		}
	})
}

// misnamed returns the functions, methods and types of a file whose comment does not begin with their name, after an
// article perhaps, whether they are exported or not.
func misnamed(file *ast.File) []string {
	var names []string
	note := func(name string, comment *ast.CommentGroup) {
		if comment != nil && strings.TrimSpace(comment.Text()) != "" && !beginsWith(comment, name) {
			names = append(names, name)
		}
	}
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			note(d.Name.Name, d.Doc)
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				if s, ok := spec.(*ast.TypeSpec); ok {
					note(s.Name.Name, s.Doc)
					if !d.Lparen.IsValid() {
						note(s.Name.Name, d.Doc)
					}
				}
			}
		}
	}
	return names
}

func TestLibraryDoesNotSleep(t *testing.T) {
	used := make(map[string]bool)
	eachGoFile(t, func(path string, file *ast.File) {
		directory := filepath.ToSlash(filepath.Dir(path))
		if !isLibrary(directory) {
			return
		}
		if !callsSleep(file) {
			return
		}
		used[path] = true
		if sleeps[path] == "" {
			t.Errorf("%s calls time.Sleep: wait for a timer and a context instead", path)
		}
	})
	for path := range sleeps {
		if !used[path] {
			t.Errorf("%s is on the list of files that may sleep, and does not", path)
		}
	}
}

func TestPackageNamesSaySomething(t *testing.T) {
	eachGoFile(t, func(path string, file *ast.File) {
		if slices.Contains(uselessNames, file.Name.Name) {
			t.Errorf("%s: package %s: name it after what it provides", path, file.Name.Name)
		}
	})
}

func TestNoMachinePaths(t *testing.T) {
	eachFile(t, func(path string, content string) {
		for number, line := range strings.Split(content, "\n") {
			if found := machinePath.FindString(line); found != "" {
				t.Errorf("%s:%d: %q is a path on somebody's machine", path, number+1, strings.TrimSpace(found))
			}
		}
	})
}

// isLibrary tells whether the packages of a folder are in the programs of users.
func isLibrary(directory string) bool {
	switch directory {
	case ".", "driver", "idempotency", "cron", "dash", "move", "outbox", "health", "prombatch", "otelbatch", "internal/coalesce", "internal/depths", "internal/fault", "internal/lifecycle", "internal/socket", "internal/uuid", "internal/wire":
		return true
	}
	return strings.HasPrefix(directory, "driver/") || strings.HasPrefix(directory, "idempotency/") && directory != "idempotency/storetest"
}

// undocumented returns the exported identifiers of a file without a comment that begins with the name,
// after an article perhaps. A comment on the whole is enough for a group of constants or variables and
// for an interface of one method.
func undocumented(file *ast.File) []string {
	var names []string
	require := func(name, shown string, comment *ast.CommentGroup) {
		if ast.IsExported(name) && !beginsWith(comment, name) {
			names = append(names, shown)
		}
	}
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			receiver := receiverName(d)
			switch {
			case receiver == "":
				require(d.Name.Name, d.Name.Name, d.Doc)
			case ast.IsExported(receiver):
				require(d.Name.Name, receiver+"."+d.Name.Name, d.Doc)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					require(s.Name.Name, s.Name.Name, firstOf(s.Doc, d.Doc))
					if contract, ok := s.Type.(*ast.InterfaceType); ok && s.Name.IsExported() && len(contract.Methods.List) > 1 {
						for _, method := range contract.Methods.List {
							for _, name := range method.Names {
								require(name.Name, s.Name.Name+"."+name.Name, method.Doc)
							}
						}
					}
				case *ast.ValueSpec:
					if d.Lparen.IsValid() && d.Doc != nil && s.Doc == nil {
						continue
					}
					for _, name := range s.Names[:1] {
						require(name.Name, name.Name, firstOf(s.Doc, d.Doc))
					}
				}
			}
		}
	}
	return names
}

func beginsWith(comment *ast.CommentGroup, name string) bool {
	words := strings.Fields(comment.Text())
	if len(words) > 1 && (words[0] == "A" || words[0] == "An" || words[0] == "The") {
		words = words[1:]
	}
	return len(words) > 0 && strings.TrimSuffix(strings.TrimRight(words[0], ",.:;"), "'s") == name
}

func firstOf(comments ...*ast.CommentGroup) *ast.CommentGroup {
	for _, c := range comments {
		if c != nil {
			return c
		}
	}
	return nil
}

// receiverName returns the name of a method's type, and "" for a function.
func receiverName(d *ast.FuncDecl) string {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return ""
	}
	for expr := d.Recv.List[0].Type; ; {
		switch e := expr.(type) {
		case *ast.StarExpr:
			expr = e.X
		case *ast.IndexExpr:
			expr = e.X
		case *ast.IndexListExpr:
			expr = e.X
		case *ast.Ident:
			return e.Name
		default:
			return "_"
		}
	}
}

// callsSleep reports whether a file mentions time.Sleep, called or passed on.
func callsSleep(file *ast.File) bool {
	found := false
	ast.Inspect(file, func(n ast.Node) bool {
		if selector, ok := n.(*ast.SelectorExpr); ok && selector.Sel.Name == "Sleep" {
			if x, ok := selector.X.(*ast.Ident); ok && x.Name == "time" {
				found = true
			}
		}
		return !found
	})
	return found
}

// eachGoFile calls visit with every Go file of the repository that is neither a test nor generated.
func eachGoFile(t *testing.T, visit func(path string, file *ast.File)) {
	t.Helper()
	eachFile(t, func(path string, content string) {
		if !isCode(path) {
			return
		}
		file, err := parser.ParseFile(positions, path, content, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Error(err)
			return
		}
		if !ast.IsGenerated(file) { // what a tool writes has the tool's style
			visit(path, file)
		}
	})
}

func isCode(path string) bool {
	return strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go")
}

// eachFile calls visit with every text file of the repository: its path below the root, with slashes,
// and its content.
func eachFile(t *testing.T, visit func(path string, content string)) {
	t.Helper()
	root := moduleRoot(t)
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name := entry.Name(); name == ".git" || name == "node_modules" {
				return filepath.SkipDir
			}
			return nil
		}
		if !entry.Type().IsRegular() || entry.Name() == ".git" {
			return nil // a worktree's .git is a file that holds a path
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if slices.Contains(content, 0) {
			return nil
		}
		below, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		visit(filepath.ToSlash(below), string(content))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// moduleRoot returns the directory of the go.mod that is nearest above the tests'.
func moduleRoot(t *testing.T) string {
	t.Helper()
	directory, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(directory, "go.mod")); err == nil {
			return directory
		}
		parent := filepath.Dir(directory)
		if parent == directory {
			t.Fatal("no go.mod above the tests")
		}
		directory = parent
	}
}

// TestLinkerCanDropMethods refuses what makes the linker keep every method of every type in the programs of users:
// asking a reflect.Type for its methods by number, or by a name that is no constant. It made them a third larger.
func TestLinkerCanDropMethods(t *testing.T) {
	eachGoFile(t, func(path string, file *ast.File) {
		if !isLibrary(filepath.ToSlash(filepath.Dir(path))) {
			return
		}
		for _, at := range methodLookups(file) {
			t.Errorf("%s: looks a method up by reflection, and not by a constant name", positions.Position(at))
		}
	})
}

// methodLookups are the calls of Method or MethodByName in a file whose argument is not a string that is written there.
func methodLookups(file *ast.File) []token.Pos {
	var found []token.Pos
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) != 1 {
			return true
		}
		selector, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || selector.Sel.Name != "Method" && selector.Sel.Name != "MethodByName" {
			return true
		}
		if _, constant := call.Args[0].(*ast.BasicLit); selector.Sel.Name == "Method" || !constant {
			found = append(found, call.Pos())
		}
		return true
	})
	return found
}

func TestMethodLookupsFindsViolations(t *testing.T) {
	const code = "package p\nfunc f(t reflect.Type) { t.Method(0); t.MethodByName(name); t.MethodByName(`Run`); t.NumMethod() }\n"
	file, err := parser.ParseFile(token.NewFileSet(), "p.go", code, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	if got := methodLookups(file); len(got) != 2 {
		t.Errorf("%d lookups were found, want 2", len(got))
	}
}
