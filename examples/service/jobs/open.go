package jobs

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/batch-go/batch"

	// The brokers that BATCH_URL may name. A program of your own imports one.
	_ "github.com/batch-go/batch/driver/memory"
	_ "github.com/batch-go/batch/driver/nats"
	_ "github.com/batch-go/batch/driver/nats/embedded"
	_ "github.com/batch-go/batch/driver/redis"
)

// Open connects to a broker. One that is not there yet it waits for, until ctx ends: a process may be started before its
// broker, or in the middle of an outage. What waiting does not mend is an error at once: a wrong URL, a password, a broker
// that lacks a capability.
func Open(ctx context.Context, url string, log *slog.Logger) (Broker, error) {
	again := time.NewTicker(time.Second)
	defer again.Stop()
	for {
		d, err := batch.Open[Broker](ctx, url)
		if !errors.Is(err, batch.ErrUnavailable) {
			return d, err
		}
		log.WarnContext(ctx, "the broker cannot be reached", "err", err)
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil, err
		}
	}
}
