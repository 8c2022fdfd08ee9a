package brokers

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func TestVersionsAreTheTable(t *testing.T) {
	rows, err := parseRows(imagesText)
	if err != nil {
		t.Fatal(err)
	}
	var got []Version
	for _, r := range rows {
		got = append(got, r.version)
	}
	want := []Version{
		Redis7, Redis8, Valkey8, RabbitMQ3, RabbitMQ40, RabbitMQ4, NATS29, NATS212, NATS2, FauxSQS,
		PostgreSQL15, PostgreSQL17, PgBouncer118, PgBouncer1, MariaDB11,
	}
	if !slices.Equal(got, want) {
		t.Errorf("images.txt has the rows %q, the constants are %q", got, want)
	}
}

func TestParseRows(t *testing.T) {
	tests := []struct{ name, text, wantErr string }{
		{"a row", `a | f | i:1 | s | p q | run --save ""`, ""},
		{"comments and empty lines", "# a\n\n  # b\n", ""},
		{"a missing column", "a | f | i | s | p", "images.txt:1: 5 columns, want 6"},
		{"an empty column", "\na | f | | s | p | c", "images.txt:2: column 3 is empty"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			rows, err := parseRows(test.text)
			if got := errorText(err); got != test.wantErr {
				t.Fatalf("error %q, want %q", got, test.wantErr)
			}
			if len(rows) == 1 && !slices.Equal(rows[0].command, []string{"run", "--save", ""}) {
				t.Errorf("command %q", rows[0].command)
			}
		})
	}
}

// The script and this package name images on their own. Were the names to differ, the script would
// build one image and the tests look for another.
func TestScriptNamesTheSameImages(t *testing.T) {
	rows, err := parseRows(imagesText)
	if err != nil {
		t.Fatal(err)
	}
	script, err := findUp(imagesScript)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		out, err := exec.CommandContext(t.Context(), "bash", script, "--stand-in", string(r.version)).Output()
		if err != nil {
			t.Fatal(err)
		}
		if got, want := strings.TrimSpace(string(out)), standIn(rows, r); got != want {
			t.Errorf("row %s: the script says %q, the package %q", r.version, got, want)
		}
	}
}

// The table names the official image of the version that the stand-in installs.
func TestSQSImagesAreOfOneVersion(t *testing.T) {
	r, err := rowOf(FauxSQS)
	if err != nil {
		t.Fatal(err)
	}
	version, err := lockedVersion("fauxqs")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(r.official, ":"+version) {
		t.Errorf("the official image is %s, the lock file has version %s", r.official, version)
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
