// Command captable renders what runs of the conformance suite have shown of each driver, and on which
// brokers: docs/capabilities.md, and the table in the README.
//
//	captable -in DIR -write    write both from the records in DIR
//	captable -in DIR -check    fail if they are not what the records say
//
// Records are what package conformance leaves in the folder that BATCH_CONFORMANCE_REPORT names. Where
// some drivers were not run, as without Docker, -check says so and checks nothing; with CI=true in the
// environment that is a failure.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/batch-go/batch/conformance"
)

func main() {
	in := flag.String("in", "", "the folder with the records")
	root := flag.String("root", ".", "the folder of the repository")
	write := flag.Bool("write", false, "write the documents")
	check := flag.Bool("check", false, "compare the documents")
	flag.Parse()
	if *in == "" || *write == *check || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	err := run(*root, *in, *write)
	var missing *missingError
	if errors.As(err, &missing) && *check && os.Getenv("CI") != "true" {
		fmt.Fprintln(os.Stderr, "captable: NOT CHECKED:", err)
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "captable:", err)
		os.Exit(1)
	}
}

// run writes or compares the documents.
func run(root, in string, write bool) error {
	records, err := load(in)
	if err != nil {
		return err
	}
	t, err := arrange(records)
	if err != nil {
		return err
	}
	readme := filepath.Join(root, "README.md")
	text, err := os.ReadFile(readme)
	if err != nil {
		return err
	}
	around, err := splice(string(text), t.overview("docs/capabilities.md"))
	if err != nil {
		return fmt.Errorf("%s: %w", readme, err)
	}
	return errors.Join(
		settle(readme, around, write),
		settle(filepath.Join(root, "docs", "capabilities.md"), t.document(), write),
	)
}

// settle makes a file hold the text, or says where it does not.
func settle(path, want string, write bool) error {
	if write {
		return os.WriteFile(path, []byte(want), 0o644)
	}
	have, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if string(have) == want {
		return nil
	}
	is, should := strings.Split(string(have), "\n"), strings.Split(want, "\n")
	n := 0
	for n < len(is)-1 && n < len(should)-1 && is[n] == should[n] {
		n++
	}
	return fmt.Errorf("%s:%d is not what the conformance runs say; make capabilities writes it anew\n  is:     %s\n  should: %s",
		path, n+1, is[n], should[n])
}

// load reads the records of a folder.
func load(folder string) ([]*conformance.Record, error) {
	paths, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil {
		return nil, err
	}
	var records []*conformance.Record
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		r := new(conformance.Record)
		if err := json.Unmarshal(text, r); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if r.Broker == "PostgreSQL" { // whose second number is that of a patch
			r.Version, _, _ = strings.Cut(r.Version, ".")
		}
		records = append(records, r)
	}
	return records, nil
}

// The table of the README stands between these lines.
const (
	opening = "<!-- The table is written by make capabilities. -->"
	closing = "<!-- The end of the table. -->"
)

// splice puts the table between the lines.
func splice(text, table string) (string, error) {
	before, rest, ok := strings.Cut(text, opening+"\n")
	_, after, ok2 := strings.Cut(rest, closing+"\n")
	if !ok || !ok2 {
		return "", fmt.Errorf("the lines %q and %q are not there", opening, closing)
	}
	return before + opening + "\n\n" + table + "\n" + closing + "\n" + after, nil
}
