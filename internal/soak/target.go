package soak

import (
	"context"
	"fmt"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/batch-go/batch/internal/brokers"
)

// target is a kind of broker to be tested.
type target struct {
	name string
	// lease is that of workers, zero where the lease is the connection.
	lease time.Duration
	// start starts one. The instance is nil where there is no server.
	start func(testing.TB) (server *brokers.Instance, url string)
}

// targets are all kinds, in the order of the table.
func targets() []target {
	return []target{
		{"redis-8", 2 * time.Second, func(t testing.TB) (*brokers.Instance, string) {
			s := brokers.NewRedis(t, brokers.Redis8)
			return s, s.URL()
		}},
		{"valkey-8", 2 * time.Second, func(t testing.TB) (*brokers.Instance, string) {
			s := brokers.NewRedis(t, brokers.Valkey8)
			return s, s.URL()
		}},
		{"rabbitmq-4.0", 0, func(t testing.TB) (*brokers.Instance, string) {
			s := brokers.NewRabbitMQ(t, brokers.RabbitMQ40)
			return s, s.URL()
		}},
		{"rabbitmq-4", 0, func(t testing.TB) (*brokers.Instance, string) {
			s := brokers.NewRabbitMQ(t, brokers.RabbitMQ4)
			return s, s.URL()
		}},
		{"nats-2", 2 * time.Second, func(t testing.TB) (*brokers.Instance, string) {
			s := brokers.NewNATS(t, brokers.NATS2)
			return s, s.URL()
		}},
		{"sqs", 2 * time.Second, func(t testing.TB) (*brokers.Instance, string) {
			s := brokers.SQS(t) // in memory: it is not to be killed, see there
			query := url.Values{"endpoint": {s.URL()}, "wait": {"1s"}}
			return s, "sqs://" + s.Username + ":" + s.Password + "@" + brokers.SQSRegion + "/?" + query.Encode()
		}},
		{"embedded", 2 * time.Second, func(t testing.TB) (*brokers.Instance, string) {
			return nil, "jetstream://" + filepath.ToSlash(t.TempDir())
		}},
	}
}

// find is the target of that name.
func find(name string) (target, error) {
	var names []string
	for _, k := range targets() {
		if k.name == name {
			return k, nil
		}
		names = append(names, k.name)
	}
	return target{}, fmt.Errorf("soak: there is no broker %q, only %q", name, names)
}

// cli is the command that speaks to a server of the Redis family.
func (r *run) cli() string {
	if r.target.name == "valkey-8" {
		return "valkey-cli"
	}
	return "redis-cli"
}

// crash kills a broker and starts it again. RabbitMQ writes down a second after a
// quorum queue was declared that there is one, and no client can ask for it, so it is
// told to before.
func crash(ctx context.Context, k target, server *brokers.Instance) error {
	if k.lease == 0 {
		if _, err := server.Exec(ctx, "rabbitmqctl", "eval", "[dets:sync(T) || T <- dets:all()]."); err != nil {
			return err
		}
	}
	return server.Crash(ctx)
}
