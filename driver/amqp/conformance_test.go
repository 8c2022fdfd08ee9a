package amqp

import (
	"context"
	"testing"

	"github.com/batch-go/batch/conformance"
	"github.com/batch-go/batch/driver"
)

func TestConformance(t *testing.T) {
	conformance.Run(t, conformance.Harness{
		URL:  testURL(t),
		Open: func(ctx context.Context) (driver.Driver, error) { return Open(ctx, testURL(t)) },
	})
}
