package nats

import (
	"context"
	"testing"

	natsgo "github.com/nats-io/nats.go"

	"github.com/batch-go/batch/conformance"
	"github.com/batch-go/batch/driver"
)

func TestConformance(t *testing.T) {
	ts := startServer(t)
	conformance.Run(t, conformance.Harness{
		Open:   func(ctx context.Context) (driver.Driver, error) { return Open(ctx, ts.url()) },
		Broker: "one server in the test's process",
		URL:    ts.url(),
		Foreign: func(_ context.Context, queue string, body []byte) error {
			nc, err := natsgo.Connect(ts.url())
			if err != nil {
				return err
			}
			defer nc.Close()
			_, err = nc.Request("batch."+queue+".job", body, bound)
			return err
		},
		Restart: func(context.Context) error {
			ts.stop()
			ts.start()
			return nil
		},
	})
}
