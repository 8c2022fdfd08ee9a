package soak

import (
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
	commands
}

// commands are to be run where the broker is. Those that it has no need of are nil.
type commands struct {
	// sync writes down what no client can ask for, before a crash.
	sync []string
	// fill sets the bound on its memory below what it has, and clear sets it back.
	fill, clear []string
}

// redisCommands are those of a server that this command line speaks to.
func redisCommands(cli string) commands {
	return commands{fill: []string{cli, "config", "set", "maxmemory", "1"}, clear: []string{cli, "config", "set", "maxmemory", "0"}}
}

// rabbitCommands are those of RabbitMQ. It writes down a second after a quorum queue was
// declared that there is one.
var rabbitCommands = commands{
	sync:  []string{"rabbitmqctl", "eval", "[dets:sync(T) || T <- dets:all()]."},
	fill:  []string{"rabbitmqctl", "set_vm_memory_high_watermark", "absolute", "1"},
	clear: []string{"rabbitmqctl", "set_vm_memory_high_watermark", "0.6"},
}

// targets are all kinds, in the order of the table.
func targets() []target {
	return []target{
		{"redis-8", 2 * time.Second, func(t testing.TB) (*brokers.Instance, string) {
			s := brokers.NewRedis(t, brokers.Redis8)
			return s, s.URL()
		}, redisCommands("redis-cli")},
		{"valkey-8", 2 * time.Second, func(t testing.TB) (*brokers.Instance, string) {
			s := brokers.NewRedis(t, brokers.Valkey8)
			return s, s.URL()
		}, redisCommands("valkey-cli")},
		{"rabbitmq-4.0", 0, func(t testing.TB) (*brokers.Instance, string) {
			s := brokers.NewRabbitMQ(t, brokers.RabbitMQ40)
			return s, s.URL()
		}, rabbitCommands},
		{"rabbitmq-4", 0, func(t testing.TB) (*brokers.Instance, string) {
			s := brokers.NewRabbitMQ(t, brokers.RabbitMQ4)
			return s, s.URL()
		}, rabbitCommands},
		{"nats-2", 2 * time.Second, func(t testing.TB) (*brokers.Instance, string) {
			s := brokers.NewNATS(t, brokers.NATS2)
			return s, s.URL()
		}, commands{}},
		{"sqs", 2 * time.Second, func(t testing.TB) (*brokers.Instance, string) {
			s := brokers.SQS(t) // in memory: it is not to be killed, see there
			query := url.Values{"endpoint": {s.URL()}, "wait": {"1s"}}
			return s, "sqs://" + s.Username + ":" + s.Password + "@" + brokers.SQSRegion + "/?" + query.Encode()
		}, commands{}},
		{"embedded", 2 * time.Second, func(t testing.TB) (*brokers.Instance, string) {
			return nil, "jetstream://" + filepath.ToSlash(t.TempDir())
		}, commands{}},
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
