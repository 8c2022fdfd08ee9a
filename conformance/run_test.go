package conformance_test

import (
	"context"
	"testing"

	"go.uber.org/goleak"

	"github.com/batch-go/batch/conformance"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemory(t *testing.T) {
	b, err := memory.NewBroker(memory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	conformance.Run(t, conformance.Harness{
		Open: func(context.Context) (driver.Driver, error) { return b.Open() },
		URL:  "memory://",
	})
}
