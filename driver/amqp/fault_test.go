package amqp

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/brokers"
)

// When the connections break, calls that follow connect anew; what was held is
// lost and says so.
func TestCut(t *testing.T) {
	d := open(t)
	q := queue(t, d)
	enqueue(t, d, q, message("a"))
	c := consume(t, d, q, 1)
	got := receive(t, c)
	for _, way := range []*connector{d.publishing, d.consuming} {
		conn, err := way.live()
		if err != nil || conn == nil {
			t.Fatal(conn, err)
		}
		conn.cut()
		<-conn.ended
	}
	if err := c.Settle(testContext(t), []driver.Settlement{{Delivery: got, Outcome: driver.OutcomeDone}})[0]; !errors.Is(err, driver.ErrLeaseLost) && !errors.Is(err, driver.ErrUnavailable) {
		t.Errorf("settle after a cut: %v", err)
	}
	enqueue(t, d, q, message("b"))
	var ids []string
	for len(ids) < 2 {
		deliveries, err := c.Receive(testContext(t), 1)
		if err != nil {
			if !errors.Is(err, driver.ErrUnavailable) {
				t.Fatal(err)
			}
			continue
		}
		ids = append(ids, deliveries[0].ID)
		settle(t, c, driver.Settlement{Delivery: deliveries[0], Outcome: driver.OutcomeDone})
	}
	slices.Sort(ids)
	if ids[0] != "a" || ids[1] != "b" {
		t.Errorf("received %v", ids)
	}
	if err := c.Settle(testContext(t), []driver.Settlement{{Delivery: got, Outcome: driver.OutcomeDone}})[0]; !errors.Is(err, driver.ErrLeaseLost) {
		t.Errorf("settle a receipt of the old connection: %v", err)
	}
}

// While the broker is short of memory it blocks publishers. Calls wait until
// their deadline, and acknowledgements go on.
func TestBlocked(t *testing.T) {
	t.Parallel() // it has a broker of its own
	server := brokers.NewRabbitMQ(t, brokers.RabbitMQ4)
	d, err := Open(testContext(t), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer closeDriver(t, d)
	if err := d.Declare(testContext(t), "q"); err != nil {
		t.Fatal(err)
	}
	enqueue(t, d, "q", message("a"))
	c := consume(t, d, "q", 1)
	got := receive(t, c)
	if _, err := server.Exec(testContext(t), "rabbitmqctl", "set_vm_memory_high_watermark", "0.0000001"); err != nil {
		t.Fatal(err)
	}
	// The broker blocks a connection when it publishes: the first call may have
	// been sent, and those after it are not.
	conn, _ := d.publishing.live()
	fate := driver.FateUnknown
	for range 50 {
		ctx, cancel := context.WithTimeout(testContext(t), 300*time.Millisecond)
		results := d.Enqueue(ctx, "q", []*driver.Message{message("b")})
		cancel()
		if results == nil {
			continue // the alarm is not on yet
		}
		if !errors.Is(results[0].Err, context.DeadlineExceeded) {
			t.Fatalf("enqueue while the broker blocks: %v", results[0].Err)
		}
		if fate = driver.FateOf(results[0].Err); fate == driver.FateNotStored {
			break
		}
	}
	if flowing, _ := conn.flow(); fate != driver.FateNotStored {
		t.Errorf("the fate of an enqueue while the broker blocks is %q (flow %v)", fate, flowing)
	}
	settle(t, c, driver.Settlement{Delivery: got, Outcome: driver.OutcomeDone})
	if _, err := server.Exec(testContext(t), "rabbitmqctl", "set_vm_memory_high_watermark", "0.6"); err != nil {
		t.Fatal(err)
	}
	enqueue(t, d, "q", message("c"))
}
