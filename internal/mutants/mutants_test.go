package mutants

import (
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// everything is set in the environment to run each mutant against all cases that are to find it. Otherwise one of them
// is chosen, by the seed.
const everything = "BATCH_MUTANTS_ALL"

// tries is how often a case may look for a mutant: what a crash meets is up to the machine, which is busy here with
// forty programs. A mutant that a case finds is broken, whichever try it was.
const tries = 3

// TestMutants builds all mutants, and runs cases that must find them: one of each mutant's killers, which must fail
// while it is alive. All killers must pass while none is.
func TestMutants(t *testing.T) {
	all := All()
	if err := check(all); err != nil {
		t.Fatal(err)
	}
	programs := build(t, all)
	random := rand.New(rand.NewPCG(seed(t), 0))
	killers := make(map[string]bool)
	for _, m := range all {
		for _, killer := range m.Killers {
			killers[killer] = true
		}
		chosen := m.Killers
		if os.Getenv(everything) == "" {
			chosen = []string{m.Killers[random.IntN(len(m.Killers))]}
		}
		for _, killer := range chosen {
			t.Run(strings.ReplaceAll(m.Name, " ", "-")+"/"+killer, func(t *testing.T) {
				ended := start(programs[m.Name], m, killer)
				t.Parallel()
				r := <-ended
				for try := 1; r.err == nil && try < tries; try++ {
					t.Logf("the case did not find it in try %d", try)
					r = <-start(programs[m.Name], m, killer)
				}
				var exit *exec.ExitError
				switch {
				case r.err == nil:
					t.Error("the case does not find it")
				case !errors.As(r.err, &exit) || exit.ExitCode() != 1 || !strings.HasPrefix(r.out, killer+": "):
					t.Errorf("the case cannot be run: %v\n%s", r.err, r.out)
				default:
					t.Logf("found: %s", r.out)
				}
			})
		}
	}
	for name, m := range map[string]Mutant{"as-it-is": {}, "small-limits": {Harness: smallHarness}} {
		t.Run("none/"+name, func(t *testing.T) {
			args := []string{"-slack", "3s"}
			for killer := range killers {
				args = append(args, killer)
			}
			ended := start(programs[all[0].Name], m, args...)
			t.Parallel()
			if r := <-ended; r.err != nil {
				t.Errorf("cases find what is not broken: %v\n%s", r.err, r.out)
			}
		})
	}
}

// build builds the programs.
func build(t *testing.T, all []Mutant) map[string]string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	programs, err := Programs(root, t.TempDir(), all)
	if err != nil {
		t.Fatal(err)
	}
	return programs
}

// seed is that of the environment, or a new one, which it logs.
func seed(t *testing.T) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(os.Getenv("BATCH_SEED"), 10, 64)
	if err != nil {
		n = rand.Uint64()
	}
	t.Logf("to repeat the choice of cases: BATCH_SEED=%d", n)
	return n
}

// result is the end of a program.
type result struct {
	out string
	err error
}

// slots bound how many programs run at the same time. They mostly wait.
var slots = make(chan struct{}, 40)

// start runs a program with a mutant alive, and returns where its end will be.
func start(program string, m Mutant, args ...string) <-chan result {
	ended := make(chan result, 1)
	if m.Harness == smallHarness {
		args = append([]string{"-small"}, args...)
	}
	go func() {
		slots <- struct{}{}
		defer func() { <-slots }()
		command := exec.Command(program, args...)
		command.Env = append(os.Environ(), Variable+"="+m.Name)
		out, err := command.CombinedOutput()
		ended <- result{string(out), err}
	}()
	return ended
}
