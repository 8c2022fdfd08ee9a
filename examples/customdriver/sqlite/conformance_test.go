package sqlite_test

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/conformance"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/examples/customdriver/sqlite"
)

func TestConformance(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobs.db")
	url := "sqlite://" + path
	conformance.Run(t, conformance.Harness{
		Open: func(ctx context.Context) (driver.Driver, error) { return batch.Open[*sqlite.Driver](ctx, url) },
		URL:  url,
		// A file has one writer at a time: cases that run together wait for each
		// other, and that is no lateness of the driver's.
		Parallel: 4, Lease: 4 * time.Second, Slack: 5 * time.Second, Timeout: 3 * time.Minute,
		Foreign: func(ctx context.Context, queue string, body []byte) error { return foreign(ctx, path, queue, body) },
	})
}

// foreign puts a row into the table as no version of the driver writes it.
func foreign(ctx context.Context, path, queue string, body []byte) error {
	db, err := sql.Open("sqlite", path+"?_pragma=busy_timeout(60000)")
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(ctx, "INSERT INTO jobs (queue, state, message) VALUES (?, 'waiting', ?)", queue, body)
	return err
}

// TestDriverIsShort holds the driver to its size: what is neither blank nor a comment, imports included.
func TestDriverIsShort(t *testing.T) {
	paths, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
				lines++
			}
		}
	}
	if lines == 0 || lines > 400 {
		t.Errorf("the driver has %d lines of code, and its documentation says 400", lines)
	}
}
