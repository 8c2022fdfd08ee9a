package amqp

import (
	"testing"

	"github.com/batch-go/batch/driver"
)

// TestConsumersTakeMoreConnections: a connection has room for a number of consumers, as the
// broker bounds its channels. More take another connection, those of one queue the same while it
// has room.
func TestConsumersTakeMoreConnections(t *testing.T) {
	d := open(t)
	d.consumers.limit(5) // room for two
	var consumers []driver.Consumer
	var queues []string
	for range 3 {
		q := queue(t, d)
		queues = append(queues, q)
		consumers = append(consumers, consume(t, d, q, 1), consume(t, d, q, 1))
	}
	used := make(map[*connector]bool)
	for i, c := range consumers {
		at := c.(*consumer).connector
		used[at] = true
		if i%2 == 1 && at != consumers[i-1].(*consumer).connector {
			t.Errorf("the two consumers of queue %d are on two connections", i/2)
		}
	}
	if len(used) != 3 {
		t.Errorf("%d connections for three queues", len(used))
	}
	third := consume(t, d, queues[0], 1)
	if at := third.(*consumer).connector; used[at] {
		t.Error("the third consumer of a queue has a connection that is full")
	}
	enqueue(t, d, queues[0], message("a"), message("b"))
	first, second := receive(t, third), receive(t, consumers[0])
	settle(t, third, driver.Settlement{Delivery: first, Outcome: driver.OutcomeDone})
	settle(t, consumers[0], driver.Settlement{Delivery: second, Outcome: driver.OutcomeDone})
	if err := third.Close(testContext(t)); err != nil {
		t.Error(err)
	}
	for i, q := range queues {
		enqueue(t, d, q, message("a"))
		settle(t, consumers[2*i], driver.Settlement{Delivery: receive(t, consumers[2*i]), Outcome: driver.OutcomeDone})
	}
	for _, c := range consumers {
		if err := c.Close(testContext(t)); err != nil {
			t.Error(err)
		}
	}
	if at := consume(t, d, queue(t, d), 1).(*consumer).connector; at != d.consuming {
		t.Error("a seat that was given back is not taken again")
	}
	if all := len(d.consumers.all); all != 4 {
		t.Errorf("%d connections", all)
	}
}

// TestMostConsumers: a connection always has room for one, and by default for 900 or so.
func TestMostConsumers(t *testing.T) {
	for channels, want := range map[int]int{0: 896, 2047: 896, 65535: 28672, 128: 56, 1: 1} {
		if got := mostConsumers(channels); got != want {
			t.Errorf("room for %d consumers on %d channels, instead of %d", got, channels, want)
		}
	}
}
