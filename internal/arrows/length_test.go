package arrows

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
	"testing"
)

const (
	// maxFileLines is how long a file that is not a test may be. A longer one mostly has more than one subject.
	maxFileLines = 350
	// maxFunctionLines is how long a function of such a file may be. A longer one mostly does more than one thing.
	maxFunctionLines = 60
	// longMark begins the line of a comment that gives the reason for an exception: in the first comment of a
	// file, or in that of a function.
	longMark = "Long: "
)

func TestFilesAreShort(t *testing.T) {
	eachGoFile(t, func(path string, file *ast.File) {
		lines := lineCount(file)
		if excused := len(file.Comments) > 0 && hasReason(file.Comments[0]); lines > maxFileLines && !excused {
			t.Errorf("%s has %d lines, at most %d are allowed: split it by subject, or say why not in a line %q of its first comment",
				path, lines, maxFileLines, longMark+"...")
		}
	})
}

func TestFunctionsAreShort(t *testing.T) {
	eachGoFile(t, func(path string, file *ast.File) {
		for _, name := range longFunctions(file, maxFunctionLines) {
			t.Errorf("%s: %s has more than %d lines: split it, or say why not in a line %q of its comment",
				path, name, maxFunctionLines, longMark+"...")
		}
	})
}

// positions are those of the files that eachGoFile parses.
var positions = token.NewFileSet()

// lineCount returns the number of a file's lines.
func lineCount(file *ast.File) int {
	return positions.File(file.Pos()).LineCount()
}

// hasReason tells whether a comment gives a reason for what is long.
func hasReason(comment *ast.CommentGroup) bool {
	for line := range strings.Lines(comment.Text()) {
		if strings.HasPrefix(line, longMark) {
			return true
		}
	}
	return false
}

// longFunctions returns the names of a file's functions with more than most lines and without a reason.
func longFunctions(file *ast.File, most int) []string {
	var names []string
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || hasReason(f.Doc) {
			continue
		}
		if lines := positions.Position(f.End()).Line - positions.Position(f.Pos()).Line + 1; lines > most {
			names = append(names, f.Name.Name)
		}
	}
	return names
}

func TestLongFunctionsFindsViolations(t *testing.T) {
	body := strings.Repeat("\n", 5)
	code := "package p\n\n// short is.\nfunc short() {}\n\nfunc long() {" + body + "}\n\n// excused is long.\n//\n// Long: one table.\nfunc excused() {" + body + "}\n"
	file, err := parser.ParseFile(positions, "p.go", code, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	if got := longFunctions(file, 3); len(got) != 1 || got[0] != "long" {
		t.Errorf("longFunctions = %q, want only long", got)
	}
	if lines := lineCount(file); lines != strings.Count(code, "\n") {
		t.Errorf("lineCount = %d, want %d", lines, strings.Count(code, "\n"))
	}
}
