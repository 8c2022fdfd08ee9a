package conformance

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/batch-go/batch/driver/memory"
)

// What compiles must be seen to compile, or the refusals show nothing.
func TestCompile(t *testing.T) {
	all := append([]capability{{name: "Nonsense", uses: []string{"batch.Nonsense(q)"}}}, allCapabilities...)
	for i, c := range all {
		if c.name == txEnqueuer { // whose uses are with a transaction that is none
			all[i].uses = nil
			for _, use := range c.uses {
				all[i].uses = append(all[i].uses, strings.Replace(use, "ctx, 0,", "ctx, nil,", 1))
			}
		}
	}
	output, err := compile(t.Context(), t.TempDir(), reflect.TypeFor[*memory.Driver](), all)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range output {
		if name != "Nonsense" {
			t.Errorf("%s does not compile on a driver that has it:\n%s", name, text)
		}
	}
	if err := refused(all[0], output["Nonsense"]); err == nil {
		t.Error("a program that fails to compile for another reason counts as a refusal")
	}
}

// What was compiled for one run is not compiled again for another, and what was not is.
func TestCompiledOnce(t *testing.T) {
	subject := reflect.TypeFor[*memory.Driver]()
	c := compilations{said: make(map[reflect.Type]map[string]string)}
	ended, end := context.WithCancel(t.Context())
	end()
	if output, err := c.compile(ended, t.TempDir(), subject, nil); err == nil || len(c.said) > 0 {
		t.Errorf("a run that ended has compiled %v, %v", output, c.said)
	}
	c.said[subject] = map[string]string{"Pauser": "it does not"}
	if output, err := c.compile(ended, t.TempDir(), subject, nil); err != nil || output["Pauser"] != "it does not" {
		t.Errorf("the second run has %v, %v", output, err)
	}
}

func TestRefused(t *testing.T) {
	c := capability{name: "Pauser", uses: []string{"one", "two"}}
	line := "use.go:1:1: D (type *x.D) does not satisfy batch.Pauser (missing method Pause)\n"
	for name, test := range map[string]struct {
		output, want string
	}{
		"refused":     {"# x\n" + line + line, ""},
		"compiles":    {"", "it does"},
		"half of it":  {"# x\n" + line, "want 2 errors"},
		"other error": {"# x\n" + line + line + "use.go:2:1: undefined: y\n", "other errors"},
		"another set": {"# x\n" + strings.ReplaceAll(line, "Pauser", "Delayer"), "want 2 errors"},
	} {
		err := refused(c, test.output)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: the error is %v, want %q", name, err, test.want)
		}
	}
	// Where the type of transactions cannot be inferred the compiler names the parameter.
	c.name, line = txEnqueuer, strings.ReplaceAll(line, "Pauser", "TxEnqueuer[T]")
	if err := refused(c, "# x\n"+line+line); err != nil {
		t.Errorf("a refusal of a capability with a parameter: %v", err)
	}
}

func TestSections(t *testing.T) {
	got, err := sections("# m/conformance_use_Pauser\na\nb\n# m/conformance_use_Delayer\nc\n")
	if err != nil || len(got) != 2 || !strings.HasSuffix(got["Pauser"], "a\nb\n") || !strings.HasSuffix(got["Delayer"], "c\n") {
		t.Errorf("the sections are %q, %v", got, err)
	}
	if _, err := sections("go: cannot find main module\n"); err == nil {
		t.Error("a go command that failed was not seen")
	}
	if _, err := sections("# m/other\nbroken\n"); err == nil {
		t.Error("a dependency that does not compile was not seen")
	}
}

type unexported struct{}

// Generic is a type that a generated program cannot spell.
type Generic[T any] struct{}

func TestSpell(t *testing.T) {
	for typ, want := range map[reflect.Type]string{
		reflect.TypeFor[*memory.Driver]():     "*subject.Driver",
		reflect.TypeFor[memory.Driver]():      "subject.Driver",
		reflect.TypeFor[*unexported]():        "not exported",
		reflect.TypeFor[*Generic[int]]():      "generic",
		reflect.TypeFor[struct{ error }]():    "no name",
		reflect.TypeOf(errors.New("pointer")): "not exported",
	} {
		path, got, err := spell(typ)
		if err != nil {
			got = err.Error()
		} else if path != "github.com/batch-go/batch/driver/memory" {
			t.Errorf("the path of %s is %s", typ, path)
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s is spelled %q, want %q", typ, got, want)
		}
	}
}
