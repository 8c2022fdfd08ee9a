package amqp

import (
	"context"
	"fmt"
	"testing"

	"github.com/batch-go/batch/driver"
)

// A message that comes back when its publisher has given up stays no longer than until
// it is confirmed, and passes for no other.
func TestReturnedWhenNobodyWaits(t *testing.T) {
	key := returnKey{"queue", "id"}
	var r unrouted
	answered := make(chan struct{})
	r.leave(key, answered)
	r.sweep()
	if len(r.left) != 1 {
		t.Fatal("a publication that is not answered was forgotten")
	}
	r.add(key)
	close(answered)
	r.sweep()
	if r.take(key) || len(r.counts) != 0 || len(r.left) != 0 {
		t.Errorf("left: %+v", r)
	}
	r.leave(key, answered)
	r.add(key) // for the first
	r.add(key) // for one whose publisher waits
	r.sweep()
	if !r.take(key) || r.take(key) {
		t.Error("of two that came back, one of which nobody waits for, not one is left")
	}
}

// What was published in vain by callers that gave up can be enqueued when the queue is
// there.
func TestEnqueueAfterGivingUp(t *testing.T) {
	d := open(t)
	q := queue(t, d)
	if err := d.DeleteQueue(testContext(t), q); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(testContext(t))
	cancel()
	var all []*driver.Message
	for i := range 100 { // of some of them it is too late to withdraw them
		m := message(fmt.Sprint(i))
		d.publish(ended, []*publication{{queue: d.names(q).main, message: encode(m, history{})}})
		all = append(all, m)
	}
	if err := d.Declare(testContext(t), q); err != nil {
		t.Fatal(err)
	}
	for i, r := range d.Enqueue(testContext(t), q, all) {
		if r.Err != nil {
			t.Errorf("message %d: %v", i, r.Err)
		}
	}
}
