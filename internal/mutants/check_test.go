package mutants

import (
	"os"
	"path/filepath"
	"testing"
)

// TestMutantsFitTheSource names every mutant whose place in the source has changed.
func TestMutantsFitTheSource(t *testing.T) {
	for _, m := range All() {
		for _, c := range m.Changes {
			text, err := os.ReadFile(filepath.Join("../..", filepath.FromSlash(c.File)))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := find(string(text), m.Name, c); err != nil {
				t.Error(err)
			}
		}
	}
}
