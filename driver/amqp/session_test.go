package amqp

import (
	"fmt"
	"sync"
	"testing"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/driver"
)

// TestNothingBehindTheEndOfAChannel: when the broker cancels a consumer, whose channel is ended for
// that, no settlement under way is sent on the channel behind its end. RabbitMQ would end the
// connection, on which all queues of the process are consumed. It also does if a subscription
// meets the deletion of its queue, so nothing is received here meanwhile.
func TestNothingBehindTheEndOfAChannel(t *testing.T) {
	d, other := open(t), open(t)
	kept := queue(t, d)
	enqueue(t, d, kept, message("kept"))
	keeper := consume(t, d, kept, 1)
	receive(t, keeper)
	conn := keeper.(*consumer).session.conn
	closed := conn.client.NotifyClose(make(chan *amqp091.Error, 1))
	const jobs = 40
	for range 12 {
		q := queue(t, d)
		var all []*driver.Message
		for i := range jobs {
			all = append(all, message(fmt.Sprint(i)))
		}
		enqueue(t, d, q, all...)
		c := consume(t, d, q, jobs)
		begin := make(chan struct{})
		var calls sync.WaitGroup
		for range jobs {
			delivery := receive(t, c)
			calls.Go(func() {
				<-begin
				// It is done or lost.
				c.Settle(testContext(t), []driver.Settlement{{Delivery: delivery, Outcome: driver.OutcomeDone}})
			})
		}
		close(begin)
		if err := other.DeleteQueue(testContext(t), q); err != nil {
			t.Fatal(err)
		}
		calls.Wait()
		if err := c.Close(testContext(t)); err != nil {
			t.Fatal(err)
		}
		if !conn.alive() {
			t.Fatalf("the connection has ended: %v", <-closed)
		}
	}
}
