package batchtest_test

import (
	"os/exec"
	"strings"
	"testing"
)

// What cannot look into its queues does not compile.
func TestWithoutInspectorDoesNotCompile(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", t.TempDir(), "./testdata/refused").CombinedOutput()
	if err == nil {
		t.Fatal("it compiled")
	}
	const words = "D (type *memory.Portable) does not satisfy batch.Inspector (missing method Delete)"
	if n := strings.Count(string(out), words); n != 5 {
		t.Errorf("the compiler says %q %d times, want 5:\n%s", words, n, out)
	}
	if n := strings.Count(string(out), "refused.go:"); n != 6 || !strings.Contains(string(out), "as batchtest.JobOption value in argument to batchtest.NewJob") {
		t.Errorf("the compiler has %d complaints, want 6 with the one about NewJob:\n%s", n, out)
	}
}
