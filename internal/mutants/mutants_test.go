package mutants

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMutants builds all mutants, and runs the cases that must find them: each of a mutant's killers must fail while it
// is alive, and pass while none is.
func TestMutants(t *testing.T) {
	all := All()
	if _, err := Names(all); err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	programs, err := Programs(root, folder(t), all)
	if err != nil {
		t.Fatal(err)
	}
	// The subtests mostly wait.
	slots := make(chan struct{}, 12)
	run := func(t *testing.T, program, alive string, args ...string) <-chan result {
		ended := make(chan result, 1)
		go func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			command := exec.Command(program, args...)
			command.Env = append(os.Environ(), Variable+"="+alive)
			out, err := command.CombinedOutput()
			ended <- result{string(out), err}
		}()
		return ended
	}
	killers := make(map[string]bool)
	for _, m := range all {
		for _, killer := range m.Killers {
			killers[killer] = true
			t.Run(strings.ReplaceAll(m.Name, " ", "-")+"/"+killer, func(t *testing.T) {
				args := []string{killer}
				if m.Harness == "small" {
					args = append([]string{"-small"}, args...)
				}
				ended := run(t, programs[m.Name], m.Name, args...)
				t.Parallel()
				r := <-ended
				var exit *exec.ExitError
				if r.err == nil {
					t.Error("the case does not find it")
				} else if !errors.As(r.err, &exit) || exit.ExitCode() != 1 || !strings.HasPrefix(r.out, killer+": ") {
					t.Errorf("the case cannot be run: %v\n%s", r.err, r.out)
				} else {
					t.Logf("found: %s", r.out)
				}
			})
		}
	}
	for _, flag := range []string{"-small=false", "-small"} {
		t.Run("none"+flag, func(t *testing.T) {
			args := []string{flag, "-slack", "3s"}
			for killer := range killers {
				args = append(args, killer)
			}
			ended := run(t, programs[all[0].Name], "", args...)
			t.Parallel()
			if r := <-ended; r.err != nil {
				t.Errorf("cases find what is not broken: %v\n%s", r.err, r.out)
			}
		})
	}
}

// result is the end of a program.
type result struct {
	out string
	err error
}

// folder is where the programs are built.
func folder(t *testing.T) string {
	if folder := os.Getenv("MUTANTS_FOLDER"); folder != "" {
		return folder
	}
	return t.TempDir()
}
