package mutants

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Programs builds programs that have all mutants between them, from the module in the folder root. It returns the
// program of each mutant by its name. What it writes goes into folder. Mutants that change overlapping places cannot be
// in one program; those that change the very same place can, if all but one keep what was there.
func Programs(root, folder string, all []Mutant) (map[string]string, error) {
	programs := make(map[string]string)
	for number := 0; len(all) > 0; number++ {
		some, rest, err := compatible(root, all)
		if err != nil {
			return nil, err
		}
		own := filepath.Join(folder, strconv.Itoa(number))
		if err := os.MkdirAll(own, 0o755); err != nil {
			return nil, err
		}
		program, err := buildOne(root, own, some)
		if err != nil {
			return nil, err
		}
		for _, m := range some {
			programs[m.Name] = program
		}
		all = rest
	}
	return programs, nil
}

// compatible takes out as many mutants as fit into one program.
func compatible(root string, all []Mutant) (some, rest []Mutant, err error) {
	taken := make(map[string][]place)
	for _, m := range all {
		var places []place
		fits := true
		for _, c := range m.Changes {
			text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(c.File)))
			if err != nil {
				return nil, nil, err
			}
			p, err := find(string(text), m.Name, c)
			if err != nil {
				return nil, nil, err
			}
			places = append(places, p)
			for _, other := range taken[c.File] {
				fits = fits && p.beside(other)
			}
		}
		if !fits {
			rest = append(rest, m)
			continue
		}
		some = append(some, m)
		for i, c := range m.Changes {
			taken[c.File] = append(taken[c.File], places[i])
		}
	}
	return some, rest, nil
}

// beside tells whether two changes fit into one program.
func (p place) beside(other place) bool {
	if p.begin == other.begin && p.end == other.end {
		return p.code == other.code || strings.Contains(p.code, "OLD") || strings.Contains(other.code, "OLD")
	}
	return p.end <= other.begin || other.end <= p.begin
}

// buildOne builds a program with mutants that fit together.
func buildOne(root, folder string, all []Mutant) (program string, err error) {
	replaced, err := overlay(root, folder, all)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(map[string]map[string]string{"Replace": replaced})
	if err != nil {
		return "", err
	}
	list := filepath.Join(folder, "overlay.json")
	if err := os.WriteFile(list, text, 0o644); err != nil {
		return "", err
	}
	program = filepath.Join(folder, "subject")
	command := exec.Command("go", "build", "-overlay", list, "-o", program, "./internal/mutants/subject")
	command.Dir = root
	if out, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the mutants: %w\n%s", err, out)
	}
	return program, nil
}

// overlay writes the changed files and returns what they replace.
func overlay(root, folder string, all []Mutant) (map[string]string, error) {
	texts := make(map[string]string)
	changes := make(map[string][]place)
	for _, m := range all {
		for _, c := range m.Changes {
			path := filepath.Join(root, filepath.FromSlash(c.File))
			if _, ok := texts[path]; !ok {
				text, err := os.ReadFile(path)
				if err != nil {
					return nil, err
				}
				texts[path] = string(text)
			}
			p, err := find(texts[path], m.Name, c)
			if err != nil {
				return nil, err
			}
			changes[path] = append(changes[path], p)
		}
	}
	replaced := make(map[string]string)
	packages := make(map[string]string) // their names by their folders
	for path, text := range texts {
		changed, err := apply(text, changes[path])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		changed = importing(text, changed, changes[path])
		if err := write(folder, path, changed, replaced); err != nil {
			return nil, err
		}
		name, _, _ := strings.Cut(text[strings.Index(text, "\npackage ")+len("\npackage "):], "\n")
		if strings.HasPrefix(text, "package ") {
			name, _, _ = strings.Cut(text[len("package "):], "\n")
		}
		packages[filepath.Dir(path)] = name
	}
	for dir, name := range packages {
		code := fmt.Sprintf("package %s\n\nimport \"os\"\n\nvar mutantAlive = os.Getenv(%q)\n\nfunc mutant(name string) bool { return mutantAlive == name }\n", name, Variable)
		if rel, err := filepath.Rel(root, dir); err == nil && helpers[filepath.ToSlash(rel)] != "" {
			if err := write(folder, filepath.Join(dir, "mutant_helpers.go"), helpers[filepath.ToSlash(rel)], replaced); err != nil {
				return nil, err
			}
		}
		if err := write(folder, filepath.Join(dir, "mutant_overlay.go"), code, replaced); err != nil {
			return nil, err
		}
	}
	return replaced, nil
}

// importing adds the imports that the changes of a text need and it does not have.
func importing(text, changed string, places []place) string {
	for _, name := range []string{"context", "errors", "fmt", "strings", "time"} {
		needed := slices.ContainsFunc(places, func(p place) bool { return strings.Contains(p.code, name+".") })
		if needed && !strings.Contains(text, strconv.Quote(name)) {
			begin := strings.Index(changed, "\nimport ")
			changed = changed[:begin] + "\nimport " + strconv.Quote(name) + "\n" + changed[begin:]
		}
	}
	return changed
}

// place is a change of a text.
type place struct {
	mutant     string
	begin, end int
	code       string
}

// find finds where the text has what a change replaces.
func find(text, mutant string, c Change) (place, error) {
	if n := strings.Count(text, c.Old); n != 1 {
		return place{}, fmt.Errorf("mutant %q: %s has %d times %q, want once: adapt the mutant to the source", mutant, c.File, n, c.Old)
	}
	begin := strings.Index(text, c.Old)
	return place{mutant, begin, begin + len(c.Old), c.New}, nil
}

// apply makes all changes of a text. Those of one place are put into each other, and others must not overlap.
func apply(text string, places []place) (string, error) {
	slices.SortStableFunc(places, func(a, b place) int {
		if a.begin != b.begin {
			return a.begin - b.begin
		}
		// One that keeps nothing is the innermost.
		return min(strings.Index(a.code, "OLD"), 0) - min(strings.Index(b.code, "OLD"), 0)
	})
	var b strings.Builder
	done := 0
	for i := 0; i < len(places); {
		p := places[i]
		if p.begin < done {
			return "", fmt.Errorf("mutant %q changes text that another does in part", p.mutant)
		}
		code := text[p.begin:p.end]
		for ; i < len(places) && places[i].begin == p.begin && places[i].end == p.end; i++ {
			if places[i].code == p.code && places[i].mutant != p.mutant {
				continue // what several mutants share
			}
			code = strings.NewReplacer("MUTANT", "mutant("+strconv.Quote(places[i].mutant)+")", "OLD", code).Replace(places[i].code)
		}
		b.WriteString(text[done:p.begin])
		b.WriteString(code)
		done = p.end
	}
	b.WriteString(text[done:])
	return b.String(), nil
}

// write writes a file that replaces another.
func write(folder, path, text string, replaced map[string]string) error {
	file := filepath.Join(folder, strconv.Itoa(len(replaced))+".go")
	replaced[path] = file
	return os.WriteFile(file, []byte(text), 0o644)
}

// check is nil if all mutants have names of their own, killers and changes.
func check(all []Mutant) error {
	seen := make(map[string]bool)
	for _, m := range all {
		if seen[m.Name] || len(m.Killers) == 0 || len(m.Changes) == 0 {
			return fmt.Errorf("mutant %q is there twice, or has no killer or no change", m.Name)
		}
		seen[m.Name] = true
	}
	return nil
}
