package embedded_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/nats/embedded"
)

// TestOpenAndCloseKeepTheirDeadline: while another handle is being opened or closed,
// which knows no deadline, a second one returns when its ctx ends. Nothing is left
// behind by what was given up.
func TestOpenAndCloseKeepTheirDeadline(t *testing.T) {
	directory := t.TempDir()
	d, err := embedded.New(testContext(t), directory, embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	giveBack := embedded.TakeTurn()
	ended, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := embedded.New(ended, directory, embedded.Options{}); !errors.Is(err, driver.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a second open: %v", err)
	}
	if err := d.Close(ended); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("close: %v", err)
	}
	giveBack()
	again, err := embedded.New(testContext(t), directory, embedded.Options{SyncAlways: true}) // another server: the first has ended
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(testContext(t)); err != nil {
		t.Error(err)
	}
}
