package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"
)

// refusals checks that what the driver's type cannot do does not compile: one
// subtest for each capability that it does not have, and one for a program that
// must compile, without which the others would show nothing.
func refusals(t *testing.T, subject reflect.Type) {
	var missing []capability
	for _, c := range allCapabilities {
		if !subject.Implements(c.methods) {
			missing = append(missing, c)
		}
	}
	if len(missing) == 0 {
		return
	}
	type result struct {
		output map[string]string
		err    error
	}
	built := make(chan result, 1)
	ctx, directory := t.Context(), t.TempDir()
	go func() {
		output, err := compiled.compile(ctx, directory, subject, missing)
		built <- result{output, err}
	}()
	wait := func() result { r := <-built; built <- r; return r }
	t.Run("compiles-portable", func(t *testing.T) {
		t.Parallel()
		r := wait()
		if r.err != nil {
			t.Fatal(r.err)
		}
		if text := r.output[control]; text != "" {
			t.Errorf("a program that uses only what every driver has must compile with %s:\n%s", subject, text)
		}
	})
	for _, c := range missing {
		t.Run("does-not-compile-"+c.name, func(t *testing.T) {
			t.Parallel()
			r := wait()
			if r.err != nil {
				t.Fatal("nothing could be compiled, see compiles-portable")
			}
			if err := refused(c, r.output[c.name]); err != nil {
				t.Errorf("%s does not have %s, so that using it must not compile: %v", subject, c.name, err)
			}
		})
	}
}

// refused says whether the compiler's output is not one refusal for every use of
// the capability, for the want of its methods.
func refused(c capability, output string) error {
	if output == "" {
		return errors.New("it does")
	}
	want := "does not satisfy batch." + c.name
	if c.name == txEnqueuer {
		want += "[T]" // which the compiler has not inferred, for the want of the methods
	}
	want += " (missing method "
	if n := strings.Count(output, want); n != len(c.uses) {
		return fmt.Errorf("want %d errors with %q, got:\n%s", len(c.uses), want, output)
	}
	if n := strings.Count(strings.TrimSpace(output), "\n"); n != len(c.uses) { // a line for the package
		return fmt.Errorf("there are other errors too:\n%s", output)
	}
	return nil
}

// control names the program that must compile.
const control = "portable"

// compilations keeps what the compiler said, by the type: what a type lacks does not change
// while the process runs, and a process may run the suite on several brokers.
type compilations struct {
	mu   sync.Mutex // held while it compiles; guards following
	said map[reflect.Type]map[string]string
}

// compiled is what was compiled in this process.
var compiled = compilations{said: make(map[reflect.Type]map[string]string)}

// compile is the function compile, for the first run with the type that it can be done for.
func (c *compilations) compile(ctx context.Context, directory string, subject reflect.Type, missing []capability) (map[string]string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if output, ok := c.said[subject]; ok {
		return output, nil
	}
	output, err := compile(ctx, directory, subject, missing)
	if err == nil && ctx.Err() == nil {
		c.said[subject] = output
	}
	return output, err
}

// compile compiles one program for each capability and the control, with the type, and
// returns what the compiler says to each: nothing if it compiles. They are
// compiled as packages of the module that the test is in, without being written
// there, and are not linked.
func compile(ctx context.Context, directory string, subject reflect.Type, missing []capability) (map[string]string, error) {
	path, typ, err := spell(subject)
	if err != nil {
		return nil, err
	}
	here, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	overlay := struct{ Replace map[string]string }{make(map[string]string)}
	var packages []string
	for _, c := range append([]capability{{name: control}}, missing...) {
		name := packageName(c.name)
		file := filepath.Join(directory, name+".go")
		if err := os.WriteFile(file, []byte(program(path, typ, c)), 0o600); err != nil {
			return nil, err
		}
		overlay.Replace[filepath.Join(here, name, "use.go")] = file
		packages = append(packages, "./"+name)
	}
	text, err := json.Marshal(overlay)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(directory, "overlay.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	args := append([]string{"build", "-overlay", file, "-gcflags=-e"}, flags()...)
	command := exec.CommandContext(ctx, "go", append(args, packages...)...)
	out, err := command.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return nil, fmt.Errorf("the go command is needed to see what compiles: %w", err)
	}
	return sections(string(out))
}

// sections splits the output of go build by package.
func sections(out string) (map[string]string, error) {
	output := make(map[string]string)
	current := ""
	for line := range strings.Lines(out) {
		if name, ok := strings.CutPrefix(line, "# "); ok {
			name = strings.TrimSpace(name)
			_, current, _ = strings.Cut(name[strings.LastIndex(name, "/")+1:], packagePrefix)
		}
		if current == "" {
			return nil, fmt.Errorf("go build failed before it compiled anything:\n%s", out)
		}
		output[current] += line
	}
	return output, nil
}

// packagePrefix begins the names of the packages.
const packagePrefix = "conformance_use_"

// packageName is the name of the package that uses a capability.
func packageName(capability string) string { return packagePrefix + capability }

// spell is the path of the type's package, and the type as another package writes
// it that imports this as subject.
func spell(t reflect.Type) (path, typ string, err error) {
	star := ""
	if t.Kind() == reflect.Pointer {
		star, t = "*", t.Elem()
	}
	name := t.Name()
	path = t.PkgPath()
	why := ""
	switch {
	case name == "" || path == "":
		why = "it has no name"
	case path == "main" || strings.HasSuffix(path, ".test"):
		why = "it is in a package main, which cannot be imported"
	case strings.HasSuffix(path, "_test"):
		why = "it is in a package of tests, which cannot be imported"
	case name[0] < 'A' || name[0] > 'Z':
		why = "it is not exported"
	case strings.Contains(name, "["):
		why = "it is generic"
	}
	if why != "" {
		return "", "", fmt.Errorf("that %s lacks capabilities cannot be checked, because no other package can name it: %s; move the driver to a package of its own, with an exported type", t, why)
	}
	return path, star + "subject." + name, nil
}

// program is the source that uses a capability on the type; without one it uses
// what every driver has.
func program(path, typ string, c capability) string {
	var b strings.Builder
	fmt.Fprintf(&b, "package %s\n\n", strings.ToLower(c.name))
	fmt.Fprintf(&b, "import (\n\t\"context\"\n\t\"time\"\n\n\t\"github.com/batch-go/batch\"\n\tsubject %q\n)\n\n", path)
	fmt.Fprintf(&b, "var _ = time.Now\n\ntype args struct{}\n\nfunc (args) Kind() string { return \"args\" }\n\n")
	fmt.Fprintf(&b, "func Use(ctx context.Context, d %s) {\n\tq := batch.NewQueue(d, \"queue\")\n", typ)
	fmt.Fprintf(&b, "\tq.Enqueue(ctx, args{}, batch.ID(q, \"id\"), batch.MaxAttempts(q, 3))\n")
	for _, use := range c.uses {
		fmt.Fprintf(&b, "\t%s\n", use)
	}
	b.WriteString("\tbatch.NewWorker(d, batch.WorkerConfig{})\n}\n")
	return b.String()
}

// flags are those that the test was built with and that its dependencies depend
// on, so that these are taken from the build cache.
func flags() []string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	var list []string
	for _, s := range info.Settings {
		switch s.Key {
		case "-race", "-msan", "-asan", "-tags", "-trimpath":
			list = append(list, s.Key+"="+s.Value)
		}
	}
	return list
}
