package amqp

import (
	"sync"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// mailbox has deliveries on their way from the tap, which must not wait, to who works on
// them. They are bounded by the prefetch.
type mailbox struct {
	// arrived is signalled when there are some.
	arrived chan struct{}

	mu  sync.Mutex // guards following
	all []*amqp091.Delivery
}

// newMailbox makes a mailbox.
func newMailbox() *mailbox { return &mailbox{arrived: make(chan struct{}, 1)} }

// put keeps a copy of a delivery.
func (m *mailbox) put(d *amqp091.Delivery) {
	kept := *d
	m.mu.Lock()
	m.all = append(m.all, &kept)
	m.mu.Unlock()
	select {
	case m.arrived <- struct{}{}:
	default:
	}
}

// empty is what came, in its order.
func (m *mailbox) empty() []*amqp091.Delivery {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.all
	m.all = nil
	return all
}
