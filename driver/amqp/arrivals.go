package amqp

import (
	"sync"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// arrivals are deliveries on their way from the tap, which must not wait, to who works on
// them. They are bounded by the prefetch.
type arrivals struct {
	// some is signalled when there are some.
	some chan struct{}

	mu  sync.Mutex // guards following
	all []*amqp091.Delivery
}

// newArrivals makes arrivals.
func newArrivals() *arrivals { return &arrivals{some: make(chan struct{}, 1)} }

// put keeps a copy of a delivery.
func (a *arrivals) put(d *amqp091.Delivery) {
	kept := *d
	a.mu.Lock()
	a.all = append(a.all, &kept)
	a.mu.Unlock()
	select {
	case a.some <- struct{}{}:
	default:
	}
}

// takeAll takes what came, in its order.
func (a *arrivals) takeAll() []*amqp091.Delivery {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := a.all
	a.all = nil
	return all
}
