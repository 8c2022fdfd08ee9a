package main

import (
	"bytes"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/batch-go/batch/driver/memory"
)

func TestJobsRunByPriority(t *testing.T) {
	d := memory.New()
	defer d.Close(t.Context())
	var out bytes.Buffer
	if err := run(t.Context(), d, &out); err != nil {
		t.Fatal(err)
	}
	const delayed = "alarm, half a second late"
	var order []string
	for line := range strings.Lines(out.String()) {
		if _, text, ok := strings.Cut(strings.TrimSpace(line), ": "); ok && strings.HasPrefix(line, "ran ") {
			order = append(order, text)
		}
	}
	if !slices.Contains(order, delayed) {
		t.Errorf("the delayed message did not run:\n%s", &out)
	}
	// Where the delayed one comes depends on how fast the machine is.
	order = slices.DeleteFunc(order, func(text string) bool { return text == delayed })
	want := []string{"alarm", "password reset", "receipt", "newsletter", "clean up"}
	if !slices.Equal(order, want) {
		t.Errorf("order = %q, want %q", order, want)
	}
}

// TestPriorityIsRefusedByTheCompiler is the library's promise: what a broker
// cannot do does not compile.
func TestPriorityIsRefusedByTheCompiler(t *testing.T) {
	if out, err := exec.Command("go", "vet", "./refused").CombinedOutput(); err != nil {
		t.Fatalf("the package does not compile without the tag: %v\n%s", err, out)
	}
	out, err := exec.Command("go", "build", "-tags", "refused", "./refused").CombinedOutput()
	if err == nil {
		t.Fatal("a priority on a broker without priorities compiled")
	}
	const words = "D (type *memory.Portable) does not satisfy batch.Prioritizer (missing method PriorityLevels)"
	if !strings.Contains(string(out), words) {
		t.Errorf("the compiler does not say %q:\n%s", words, out)
	}
}
