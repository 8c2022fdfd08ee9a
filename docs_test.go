package batch_test

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

// documents are the files that these tests are about.
func documents(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	texts := make(map[string]string)
	for _, path := range append(paths, "README.md", "CHANGELOG.md") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		texts[filepath.ToSlash(path)] = string(text)
	}
	return texts
}

// fence is a fenced block of a document.
type fence struct {
	language, text string
	line           int
}

// split takes the fenced blocks out of a document.
func split(text string) (prose string, fences []fence) {
	var open *fence
	for i, line := range strings.Split(text, "\n") {
		mark, isMark := strings.CutPrefix(line, "```")
		switch {
		case isMark && open == nil:
			open = &fence{language: mark, line: i + 1}
		case isMark:
			fences = append(fences, *open)
			open = nil
		case open != nil:
			open.text += line + "\n"
		default:
			prose += line + "\n"
		}
	}
	return prose, fences
}

// unindent removes what indents lines, so that code compares equal wherever it
// stands.
func unindent(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, "\n")
}

// compiled is all Go code that this repository's tests compile.
func compiled(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, root := range []string{".", "batchtest", "examples", "driver", "health", "prombatch", "otelbatch", "cron", "dash", "move", "outbox", "idempotency"} {
		err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if e.IsDir() && path != root && root == "." {
				return fs.SkipDir
			}
			if e.IsDir() || !strings.HasSuffix(path, ".go") {
				return nil
			}
			code, err := os.ReadFile(path)
			all.WriteString("\n" + unindent(string(code)) + "\n")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all.String()
}

// TestDocumentedCodeIsCompiled finds the Go code of the documents, word for word,
// in code that the tests compile, and their error texts in what the tests expect.
func TestDocumentedCodeIsCompiled(t *testing.T) {
	code := compiled(t)
	blocks := 0
	for path, text := range documents(t) {
		_, fences := split(text)
		for _, f := range fences {
			switch f.language {
			case "go":
				blocks++
				if !strings.Contains(code, "\n"+unindent(f.text)+"\n") {
					t.Errorf("%s:%d: this code is not, word for word, in an example or a test:\n%s", path, f.line, f.text)
				}
			case "text":
				for line := range strings.Lines(f.text) {
					if !strings.Contains(code, strings.TrimSpace(line)) {
						t.Errorf("%s:%d: no test expects this line: %s", path, f.line, line)
					}
				}
			}
		}
	}
	if blocks < 5 {
		t.Errorf("only %d blocks of Go code were found", blocks)
	}
}

var link = regexp.MustCompile(`\[[^\]]*\]\(([^)\s]+)\)`)

// TestLinksResolve looks for the files and headings that documents link to.
func TestLinksResolve(t *testing.T) {
	texts := documents(t)
	headings := make(map[string][]string)
	for path, text := range texts {
		prose, _ := split(text)
		for line := range strings.Lines(prose) {
			if heading, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); ok && line[0] == '#' {
				headings[path] = append(headings[path], anchor(heading))
			}
		}
	}
	links := 0
	for path, text := range texts {
		prose, _ := split(text)
		for _, found := range link.FindAllStringSubmatch(prose, -1) {
			target := found[1]
			if strings.Contains(target, "://") {
				continue
			}
			links++
			file, heading, _ := strings.Cut(target, "#")
			to := path
			if file != "" {
				to = filepath.ToSlash(filepath.Join(filepath.Dir(path), file))
			}
			if _, err := os.Stat(to); err != nil {
				t.Errorf("%s links to %s, which is not there", path, target)
			} else if heading != "" && !slices.Contains(headings[to], heading) {
				t.Errorf("%s links to %s, but %s has the headings %q", path, target, to, headings[to])
			}
		}
	}
	if links < 20 {
		t.Errorf("only %d links were found", links)
	}
}

// anchor is the name by which a heading is linked to.
func anchor(heading string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(strings.TrimSpace(heading)) {
		switch {
		case r == ' ':
			b.WriteByte('-')
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-', r == '_':
			b.WriteRune(r)
		}
	}
	return b.String()
}

// TestEveryOptionIsDocumented finds every exported function that returns an
// option in the package documentation, and every capability set and outcome.
func TestEveryOptionIsDocumented(t *testing.T) {
	tour, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	paths, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Recv != nil || !f.Name.IsExported() || f.Type.Results == nil {
				continue
			}
			result := f.Type.Results.List[0].Type
			if generic, ok := result.(*ast.IndexExpr); ok {
				result = generic.X
			}
			if id, ok := result.(*ast.Ident); ok && strings.HasSuffix(id.Name, "Option") {
				names = append(names, f.Name.Name)
			}
		}
	}
	if len(names) < 15 {
		t.Errorf("only %d option functions were found: %q", len(names), names)
	}
	names = append(names,
		"Prioritizer", "Delayer", "Deduplicator", "Grouper", "AtomicEnqueuer", "Inspector", "Pauser",
		"RetryAfter", "Permanent", "Snooze", "Unreadable", "OutcomeOf", "CallHook")
	for _, name := range names {
		if !strings.Contains(string(tour), "["+name+"]") {
			t.Errorf("the package documentation does not mention [%s]", name)
		}
	}
}

// TestReasonsAreInTheTable holds the table of docs/states.md to the reasons and
// outcomes that there are.
func TestReasonsAreInTheTable(t *testing.T) {
	table := documents(t)["docs/states.md"]
	file, err := parser.ParseFile(token.NewFileSet(), "driver/message.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	reasons := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Reason") {
			return true
		}
		reasons++
		value := strings.Trim(spec.Values[0].(*ast.BasicLit).Value, `"`)
		row := regexp.MustCompile("(?m)^\\| `" + value + "` \\|.*`" + spec.Names[0].Name + "` \\|$")
		if !row.MatchString(table) {
			t.Errorf("docs/states.md has no row for %s, %q", spec.Names[0].Name, value)
		}
		return true
	})
	if reasons < 7 {
		t.Errorf("only %d reasons were found", reasons)
	}
}
