package amqp

import (
	"errors"
	"runtime"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/brokers"
)

// opener opens another handle of one kind on one broker, which the test closes.
type opener struct {
	url   string
	shape shape
	open  func(t testing.TB) *base // what both types are
}

// eachShape runs a test on every kind of queue that each version of the broker has.
func eachShape(t *testing.T, run func(t *testing.T, o opener)) {
	for _, version := range brokers.RabbitMQVersions() {
		if version == brokers.RabbitMQ3 {
			continue // refused: TestOpenRefusesOldBrokers
		}
		for _, s := range []shape{shapePlain, shapeQuorum, shapeClassic} {
			if s == shapeQuorum && version == brokers.RabbitMQ40 {
				continue // refused, too
			}
			t.Run(string(version)+"-"+string(s), func(t *testing.T) {
				t.Parallel()
				run(t, openerOf(brokers.RabbitMQ(t, version).URL(), s))
			})
		}
	}
}

// openerOf opens handles for one kind of queue.
func openerOf(url string, s shape) opener {
	return opener{url: url, shape: s, open: func(t testing.TB) *base {
		t.Helper()
		var opened *base
		if s == shapePlain {
			d, err := Open(testContext(t), url)
			if err != nil {
				t.Fatal(err)
			}
			opened = d.base
		} else {
			d, err := OpenPriority(testContext(t), url+"?priority="+string(s))
			if err != nil {
				t.Fatal(err)
			}
			opened = d.base
		}
		t.Cleanup(func() { closeDriver(t, opened) })
		return opened
	}}
}

// raw is a channel of a program that does not know batch. It lives as long as the
// test.
func raw(t testing.TB, url string) *amqp091.Channel {
	t.Helper()
	conn, err := amqp091.DialConfig(url, amqp091.Config{Heartbeat: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	return ch
}

// absent checks that the broker has no part of a queue.
func absent(t testing.TB, url, queue string) {
	t.Helper()
	n := newNames(queue)
	for _, name := range append([]string{n.main, n.dead, n.hop, n.lock}, delayNames(n)...) {
		if _, err := lookUp(raw(t, url), name); !isGone(err) {
			t.Errorf("the broker has a queue %s (%v)", name, err)
		}
	}
}

// takeRaw waits for a message of one of the broker's queues, and gives it back.
func takeRaw(t testing.TB, url, name string) amqp091.Delivery {
	t.Helper()
	ch := raw(t, url)
	deliveries, err := ch.Consume(name, "", false, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case d := <-deliveries:
		if err := ch.Close(); err != nil {
			t.Fatal(err)
		}
		return d
	case <-time.After(bound):
		t.Fatalf("no message came from %s", name)
	}
	panic("unreachable")
}

// unconsumed waits until one of the broker's queues has no consumer. It counts one that is
// gone for a moment longer: that of takeRaw, say.
func unconsumed(t testing.TB, url, name string) {
	t.Helper()
	for ch, end := raw(t, url), time.Now().Add(bound); ; runtime.Gosched() {
		queue, err := lookUp(ch, name)
		if err == nil && queue.Consumers == 0 {
			return
		}
		if err != nil || time.Now().After(end) {
			t.Fatalf("%s has %d consumers (%v)", name, queue.Consumers, err)
		}
	}
}

// vanish breaks the connection on which a handle holds its deliveries.
func vanish(t testing.TB, d *base) {
	t.Helper()
	conn, err := d.consuming.live()
	if err != nil || conn == nil {
		t.Fatal(conn, err)
	}
	conn.cut()
	<-conn.ended
}

// notFound checks the error of an operation on a queue that does not exist.
func notFound(t testing.TB, what string, err error) {
	t.Helper()
	var e *driver.Error
	if !errors.Is(err, driver.ErrNotFound) || driver.FateOf(err) != driver.FateNotStored {
		t.Errorf("%s of a missing queue: %v (%s)", what, err, driver.FateOf(err))
	} else if !errors.As(err, &e) || e.Hint != "the queue does not exist" {
		t.Errorf("%s of a missing queue does not say so: %v", what, err)
	}
}
