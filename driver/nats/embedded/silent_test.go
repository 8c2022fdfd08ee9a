package embedded_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/batch-go/batch/driver/nats/embedded"
)

// TestClientLibraryIsSilent: neither the server nor what the client library reports
// beside its answers is printed.
func TestClientLibraryIsSilent(t *testing.T) {
	printed, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	stderr := os.Stderr
	os.Stderr = printed
	defer func() { os.Stderr = stderr }()
	d, err := embedded.New(testContext(t), t.TempDir(), embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	nc := embedded.Connection(d)
	nc.ErrorHandler()(nc, nil, errors.New("a slow consumer"))
	if err := d.Close(testContext(t)); err != nil {
		t.Error(err)
	}
	if err := printed.Close(); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(printed.Name()); err != nil || len(text) > 0 {
		t.Errorf("printed %q, %v", text, err)
	}
}
