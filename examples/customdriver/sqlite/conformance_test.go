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
		Open:          func(ctx context.Context) (driver.Driver, error) { return batch.Open[*sqlite.Driver](ctx, url) },
		URL:           url,
		BehindBacklog: "jobs are handed out by the time at which they became due",
		Foreign:       func(ctx context.Context, queue string, body []byte) error { return foreign(ctx, path, queue, body) },
		// A file has one writer at a time, and each waits for the disk.
		Parallel: 8, Slack: 3 * time.Second,
	})
}

// foreign puts a row into the table as no version of the driver writes it.
func foreign(ctx context.Context, path, queue string, body []byte) error {
	db, err := sql.Open("sqlite", path+"?_pragma=busy_timeout(60000)")
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(ctx, "INSERT INTO jobs (queue, message) VALUES (?, ?)", queue, body)
	return err
}

// TestDriverIsShort holds the driver to the size that its documentation promises: all lines, blank ones and
// comments included.
func TestDriverIsShort(t *testing.T) {
	paths, err := filepath.Glob("*")
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
		lines += strings.Count(string(text), "\n")
	}
	if lines == 0 || lines >= 400 {
		t.Errorf("the driver has %d lines, and its documentation promises fewer than 400", lines)
	}
}
