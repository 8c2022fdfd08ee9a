package conformance_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/batch-go/batch/conformance"
	overlaid "github.com/batch-go/batch/internal/mutants"
)

var update = flag.Bool("update", false, "write docs/conformance.md anew")

// documentFile is what TestDocument holds to the tables.
const documentFile = "../docs/conformance.md"

// introduction is how the document begins.
const introduction = `# The conformance suite

Package conformance tests a driver on a real broker. This page lists its rules, the sentence of package driver behind
each, and the broken drivers and cores that are in the repository to show that a case finds what breaks its rule. It is
generated: after a change of a case or a mutant, write it anew with

    go test ./conformance -run '^TestDocument$' -update

`

// document is the whole of it.
func document() string {
	var b strings.Builder
	b.WriteString(introduction)
	writeSentences(&b)
	writeCases(&b)
	writeMutants(&b)
	return b.String()
}

// quoted are names in the document's type for code.
func quoted(names ...string) string {
	const mark = "\x60"
	return mark + strings.Join(names, mark+", "+mark) + mark
}

// writeSentences writes which cases hold a driver to which sentence.
func writeSentences(b *strings.Builder) {
	b.WriteString("## What package driver promises\n\n| of | the sentence with | cases |\n|---|---|---|\n")
	for _, method := range sentences {
		for _, one := range method.all {
			fmt.Fprintf(b, "| %s | %s | %s |\n", method.of, one.text, quoted(strings.Fields(one.cases)...))
		}
	}
	b.WriteString("\n")
}

// writeCases writes the rules.
func writeCases(b *strings.Builder) {
	all := conformance.Cases()
	fmt.Fprintf(b, "## The rules\n\nThere are %d cases. One with a need runs on drivers that have that capability, or with a harness that has that field.\n\n| case | needs | rule |\n|---|---|---|\n", len(all))
	for _, c := range all {
		fmt.Fprintf(b, "| %s | %s | %s |\n", quoted(c.Name), strings.Join(c.Needs, ", "), c.Rule)
	}
	b.WriteString("\n")
}

// writeMutants writes what is broken, and which cases find it.
func writeMutants(b *strings.Builder) {
	wrapped, changed := mutants(), overlaid.All()
	delete(wrapped, "none")
	fmt.Fprintf(b, "## The mutants\n\nThere are %d broken drivers and cores. Each is found by the first case behind it, whose rule it breaks, and by the others.\n", len(wrapped)+len(changed))
	b.WriteString("\n### The memory driver behind a fault\n\nThese are in the tests of package conformance, in TestMutants. Some are none: they do what a driver may, and must pass.\n\n| what is broken | found by |\n|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(wrapped)) {
		found := "nothing: it is right"
		if m := wrapped[name]; len(m.found) > 0 {
			found = quoted(m.found...)
		}
		fmt.Fprintf(b, "| %s | %s |\n", name, found)
	}
	b.WriteString("\n### Changes of the source\n\nThese are in internal/mutants. Its test builds them by the overlay of the go command, and runs one case of each; with BATCH_MUTANTS_ALL=1 in the environment it runs all.\n\n| in | what is broken | found by |\n|---|---|---|\n")
	for _, m := range changed {
		fmt.Fprintf(b, "| %s | %s | %s |\n", m.Changes[0].File, m.Name, quoted(m.Killers...))
	}
}

// TestDocument fails when the document is not what the tables say.
func TestDocument(t *testing.T) {
	want := document()
	if *update {
		if err := os.WriteFile(documentFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(documentFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != want {
		t.Errorf("%s is not what the tables say: go test ./conformance -run '^TestDocument$' -update", documentFile)
	}
}
