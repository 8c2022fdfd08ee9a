package keda

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Trigger is a trigger of a ScaledObject.
type Trigger struct {
	Type string
	// Name is empty if the trigger has none.
	Name string
	// Metadata has the trigger's settings, all of them text as in KEDA.
	Metadata map[string]string
}

// document is the file below the root of the repository.
const document = "docs/deploy.md"

// Triggers are those of each block of YAML below a heading of docs/deploy.md, for another queue than emails. A block without
// triggers is left out. It fails if there is no block, or if one cannot be read.
func Triggers(heading, queue string) ([][]Trigger, error) {
	text, err := read()
	if err != nil {
		return nil, err
	}
	_, section, found := strings.Cut(text, "\n## "+heading+"\n")
	if !found {
		return nil, fmt.Errorf("keda: %s has no heading %q", document, heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var blocks [][]Trigger
	for i, part := range strings.Split(section, "\n```") {
		block, isYAML := strings.CutPrefix(part, "yaml\n")
		if i%2 == 0 || !isYAML {
			continue
		}
		triggers, err := parse(strings.ReplaceAll(block, "emails", queue))
		if err != nil {
			return nil, fmt.Errorf("keda: %s, %s: %w", document, heading, err)
		}
		if len(triggers) > 0 {
			blocks = append(blocks, triggers)
		}
	}
	if len(blocks) == 0 {
		return nil, fmt.Errorf("keda: %s has no triggers below %q", document, heading)
	}
	return blocks, nil
}

// read reads the document, from any folder of the repository.
func read() (string, error) {
	folder, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		text, err := os.ReadFile(filepath.Join(folder, filepath.FromSlash(document)))
		if err == nil {
			return string(text), nil
		}
		parent := filepath.Dir(folder)
		if parent == folder {
			return "", fmt.Errorf("keda: no folder above has %s", document)
		}
		folder = parent
	}
}

// parse reads the triggers of a block. It knows as much of YAML as the document has: two spaces for each level, one value in
// a line, in quotes or not, and comments.
func parse(block string) (triggers []Trigger, err error) {
	inside := false
	for number, line := range strings.Split(block, "\n") {
		if line == "triggers:" {
			inside = true
			continue
		}
		if !inside || strings.TrimSpace(line) == "" {
			continue
		}
		key, value, found := strings.Cut(strings.TrimSpace(line), ":")
		last := len(triggers) - 1
		switch {
		case !found:
			err = fmt.Errorf("line %d: %q has no value", number+1, line)
		case strings.HasPrefix(line, "  - type:"):
			triggers = append(triggers, Trigger{Type: scalar(value), Metadata: make(map[string]string)})
		case strings.HasPrefix(line, "    name:") && last >= 0:
			triggers[last].Name = scalar(value)
		case line == "    metadata:" && last >= 0:
		case strings.HasPrefix(line, "      ") && last >= 0:
			triggers[last].Metadata[key] = scalar(value)
		default:
			err = fmt.Errorf("line %d: %q is not of a trigger", number+1, line)
		}
		if err != nil {
			return nil, err
		}
	}
	return triggers, nil
}

// scalar is a value without its quotes, or without the comment behind it.
func scalar(text string) string {
	text = strings.TrimSpace(text)
	for _, quote := range []string{`"`, `'`} {
		if rest, is := strings.CutPrefix(text, quote); is {
			inside, _, _ := strings.Cut(rest, quote)
			return inside
		}
	}
	text, _, _ = strings.Cut(text, " #")
	return strings.TrimSpace(text)
}
