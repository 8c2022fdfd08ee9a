package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/batch-go/batch/conformance"
)

// records is one of each column, as from runs in which all cases ran that suit.
func records() []*conformance.Record {
	var list []*conformance.Record
	for _, c := range columns() {
		r := &conformance.Record{
			Package: drivers + c.path, Type: c.typ, Driver: c.path, Broker: "Broker", Version: "1.2", Test: "TestConformance",
			Limits: map[string]string{"MaxBody": "1048576", "MaxLease": "0s"},
		}
		if c.path == "redis" {
			r.Capabilities = []string{"Pauser"}
		}
		for _, k := range conformance.Cases() {
			if len(k.Needs) == 0 || c.path == "redis" && k.Needs[0] == "Pauser" && len(k.Needs) == 1 {
				r.Cases = append(r.Cases, conformance.RecordedCase{Name: k.Name, Needs: k.Needs})
			}
		}
		list = append(list, r)
	}
	return list
}

// repository is a folder with a README and the records.
func repository(t *testing.T, list []*conformance.Record) (root, in string) {
	t.Helper()
	root, in = t.TempDir(), t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Mkdir(filepath.Join(root, "docs"), 0o700))
	must(os.WriteFile(filepath.Join(root, "README.md"), []byte("before\n"+opening+"\nold\n"+closing+"\nafter\n"), 0o600))
	for i, r := range list {
		text, err := json.Marshal(r)
		must(err)
		must(os.WriteFile(filepath.Join(in, string(rune('a'+i))+".json"), text, 0o600))
	}
	return root, in
}

func TestWriteThenCheck(t *testing.T) {
	root, in := repository(t, records())
	if err := run(root, in, false); err == nil {
		t.Error("a README with an old table passes the check")
	}
	if err := run(root, in, true); err != nil {
		t.Fatal(err)
	}
	if err := run(root, in, false); err != nil {
		t.Errorf("what was written does not pass the check: %v", err)
	}
	readme, _ := os.ReadFile(filepath.Join(root, "README.md"))
	for _, want := range []string{"before\n", "\nafter\n", "| pause | | yes | | | | | | | | |\n", "| tested on | Broker 1.2 |"} {
		if !strings.Contains(string(readme), want) {
			t.Errorf("the README lacks %q:\n%s", want, readme)
		}
	}
	path := filepath.Join(root, "docs", "capabilities.md")
	text, _ := os.ReadFile(path)
	for _, want := range []string{"| pause | yes | | `pause", "`does-not-compile-Prioritizer`", "| transactions | no | | `does-not-compile-TxEnqueuer` |", "| `MaxBody` | 1 MiB |", "| `MaxLease` | the connection |"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the document lacks %q:\n%s", want, text)
		}
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), "1 MiB", "2 MiB", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run(root, in, false); err == nil || !strings.Contains(err.Error(), "2 MiB") {
		t.Errorf("an edited document: %v", err)
	}
}

func TestMissingRunsAreNamed(t *testing.T) {
	root, in := repository(t, records()[1:])
	var missing *missingError
	if err := run(root, in, true); !errors.As(err, &missing) || len(missing.titles) != 1 || missing.titles[0] != "memory" {
		t.Errorf("without a run on memory: %v", err)
	}
}

func TestUnknownAndForeignTypes(t *testing.T) {
	list := records()
	list = append(list, &conformance.Record{Package: "example.com/other", Type: "Driver"}, &conformance.Record{Package: drivers + "memory", Type: "Portable"})
	if _, err := arrange(list); err != nil {
		t.Errorf("drivers that are none of ours: %v", err)
	}
	if _, err := arrange(append(list, &conformance.Record{Package: drivers + "redis", Type: "New"})); err == nil {
		t.Error("a new type of ours is left out of the table")
	}
}

func TestHumane(t *testing.T) {
	for _, c := range [][3]string{
		{"MaxBody", "262144", "256 KiB"}, {"MaxBody", "67174400", "65600 KiB"}, {"MaxBody", "1000", "1000 bytes"},
		{"MaxDelay", "87840h0m0s", "3660 days"}, {"MaxLease", "12h0m0s", "12 h"}, {"MinLease", "10ms", "10ms"},
		{"EnqueueBatch", "10", "10"}, {"MaxGroups", "0", "no bound"}, {"TxType", "pgx.Tx", "`pgx.Tx`"},
	} {
		if got := humane(c[0], c[1]); got != c[2] {
			t.Errorf("%s of %s is written %q, want %q", c[0], c[1], got, c[2])
		}
	}
}
