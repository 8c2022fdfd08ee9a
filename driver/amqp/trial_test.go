package amqp

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/brokers"
)

// Calls that give up in an alarm leave no channels behind.
func TestTrialsInAnAlarm(t *testing.T) {
	t.Parallel()
	server := brokers.NewRabbitMQ(t, brokers.RabbitMQ4)
	d := openerOf(server.URL(), shapePlain).open(t)
	q := queue(t, d)
	end := alarm(t, server, d, q)
	large := message("large", func(m *driver.Message) { m.Body = make([]byte, 2*everywhere) })
	for range 20 {
		ctx, cancel := context.WithTimeout(testContext(t), 20*time.Millisecond)
		if r := d.Enqueue(ctx, q, []*driver.Message{large}); r == nil || !errors.Is(r[0].Err, context.DeadlineExceeded) {
			t.Errorf("enqueue in an alarm: %v", r)
		}
		cancel()
	}
	end()
	enqueue(t, d, q, large)
	most := 0
	for range 20 { // a channel that is being closed is counted for a moment
		out, err := server.Exec(testContext(t), "rabbitmqctl", "-q", "list_connections", "channels")
		if err != nil {
			t.Fatal(err)
		}
		most = 0
		for _, f := range strings.Fields(string(out)) {
			if n, e := strconv.Atoi(f); e == nil {
				most = max(most, n)
			}
		}
		if most <= 1 {
			break
		}
	}
	if most > 1 {
		t.Errorf("%d channels are open for publishing", most)
	}
}
