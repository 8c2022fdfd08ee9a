package arrows

import (
	"go/parser"
	"go/token"
	"slices"
	"testing"
)

// TestUndocumentedFindsViolations shows made-up code to the rule, since the repository's own breaks
// none.
func TestUndocumentedFindsViolations(t *testing.T) {
	const code = `package p

// Good does.
func Good() {}

// bad comment of another name.
func Bad() {}

func Bare() {}

func unexported() {}

// A Thing is one.
type Thing[T any] struct{}

// Do does.
func (t *Thing[T]) Do() {}

func (t *Thing[T]) Undone() {}

type hidden struct{}

func (hidden) Fine() {}

// Contract is one.
type Contract interface {
	// Kept says so.
	Kept()
	Broken()
}

// Hook has one method, and this is about it.
type Hook interface{ OnEvent() }

// The levels, least first.
const (
	Low = iota
	High
	// Wrong is not this name.
	Top
)

var Lonely int

// Errors that callers meet.
var (
	ErrGone error
)
`
	file, err := parser.ParseFile(token.NewFileSet(), "p.go", code, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"Bad", "Bare", "Thing.Undone", "Contract.Broken", "Top", "Lonely"}
	if got := undocumented(file); !slices.Equal(got, want) {
		t.Errorf("undocumented = %q, want %q", got, want)
	}
}

func TestCallsSleepFindsViolations(t *testing.T) {
	tests := map[string]bool{
		"time.Sleep(1)":                true,
		"wait := time.Sleep; _ = wait": true,
		"<-time.After(1)":              false,
		"clock.Sleep(1)":               false,
	}
	for body, want := range tests {
		file, err := parser.ParseFile(token.NewFileSet(), "p.go", "package p\nfunc f() { "+body+" }\n", 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := callsSleep(file); got != want {
			t.Errorf("callsSleep(%q) = %v, want %v", body, got, want)
		}
	}
}

func TestMachinePathFindsViolations(t *testing.T) {
	slash := "/" // keeps this file free of what it is about
	tests := map[string]bool{
		"see " + slash + "home/ann/batch":       true,
		`dir := "` + slash + `root/.cache"`:     true,
		"(" + slash + "Users/ann)":              true,
		"jobs are put to " + slash + "work":     false,
		"https://example.org/" + "home/page":    false,
		"docs/" + "work/item.md":                false,
		"a worker's home" + slash + "directory": false,
	}
	for line, want := range tests {
		if got := machinePath.MatchString(line); got != want {
			t.Errorf("machinePath matches %q: %v, want %v", line, got, want)
		}
	}
}
