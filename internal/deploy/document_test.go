package deploy

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/batch-go/batch/examples/service/config"
)

// document is what a reader starts with.
const document = "../../docs/deploy.md"

// TestVariablesAreDocumented compares the table of the document with what the program reads.
func TestVariablesAreDocumented(t *testing.T) {
	table := "| variable | default | what |\n|---|---|---|\n"
	for _, v := range config.Variables() {
		fallback := ""
		if v.Default != "" {
			fallback = "`" + v.Default + "`"
		}
		table += fmt.Sprintf("| `%s` | %s | %s |\n", v.Name, fallback, v.About)
	}
	if !strings.Contains(read(t, document), "\n"+table+"\n") {
		t.Errorf("%s does not have this table as it is:\n%s", document, table)
	}
}

// TestExcerptsAreOfTheManifests looks for the YAML of the document in the file that its first line names.
func TestExcerptsAreOfTheManifests(t *testing.T) {
	found := 0
	for block := range strings.SplitSeq(read(t, document), "\n```yaml\n# ") {
		name, rest, _ := strings.Cut(block, "\n")
		excerpt, _, _ := strings.Cut(rest, "\n```")
		if !strings.HasSuffix(name, ".yaml") {
			continue
		}
		found++
		if !strings.Contains(flat(read(t, filepath.Join(folder, "kubernetes", name))), flat(excerpt)) {
			t.Errorf("%s does not have:\n%s", name, excerpt)
		}
	}
	if found < 2 {
		t.Errorf("%d excerpts were found", found)
	}
}

// flat is YAML without what indents its lines.
func flat(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		lines = append(lines, strings.TrimSpace(line))
	}
	return strings.Join(lines, "\n")
}
