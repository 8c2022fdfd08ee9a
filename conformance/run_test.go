package conformance_test

import (
	"context"
	"testing"
	"time"

	"github.com/batch-go/batch/conformance"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

// broker makes a memory broker with a window that a case can wait for.
func broker(t testing.TB) *memory.Broker {
	b, err := memory.NewBroker(memory.Options{DedupWindow: 3 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestMemory(t *testing.T) {
	b := broker(t)
	conformance.Run(t, conformance.Harness{
		Open:    func(context.Context) (driver.Driver, error) { return b.Open() },
		URL:     "memory://",
		Restart: func(context.Context) error { b.Crash(); return nil },
	})
}

func TestPortable(t *testing.T) {
	b := broker(t)
	conformance.Run(t, conformance.Harness{
		Open: func(context.Context) (driver.Driver, error) { return b.OpenPortable() },
	})
}
