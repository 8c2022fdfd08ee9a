package amqp

import (
	"sync/atomic"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// publication is one message on its way to a queue.
type publication struct {
	queue   string // the broker's name for it
	message amqp091.Publishing
	// ttl is that of the delay queue to which it goes, else zero.
	ttl time.Duration
	// err is what became of it, once publish has returned; nil is confirmed.
	err error

	// state decides the race between a caller that gives up and the writer.
	state atomic.Int32
	// refused is why it was not written, where that has a reason of its own.
	refused error
	// batch, tag and size are what the ledger knows it by: the tag of its confirm, and how
	// many bytes it takes on the connection.
	batch *pubBatch
	tag   uint64
	size  int
}

// The states of a publication.
const (
	pubQueued    int32 = iota
	pubWritten         // no answer so far
	pubWithdrawn       // by the caller, before it was written
	pubRefused         // not written, and the writer is through with it
	pubAcked
	pubNacked
	pubReturned
)

// isAnswered tells whether nothing more is to come about an item that the writer is
// through with.
func (item *publication) isAnswered() bool { return item.state.Load() != pubWritten }

// refuse notes that an item was not written, nor ever will be.
func (item *publication) refuse(why error) {
	item.refused = why
	item.state.Store(pubRefused)
}

// anew makes a publication ready to be published once more.
func (item *publication) anew() *publication {
	item.state.Store(pubQueued)
	item.err, item.refused, item.batch = nil, nil, nil
	return item
}

// key is what identifies the item among returned messages.
func (item *publication) key() returnKey { return returnKey{item.queue, item.message.MessageId} }

// returnKey identifies a returned message well enough: of two messages with one
// ID for one queue that does not exist, both are returned.
type returnKey struct{ queue, id string }

// failAll gives all items the same error.
func failAll(items []*publication, err error) {
	for _, item := range items {
		item.err = err
	}
}

// pubBatch is publications that are written together.
type pubBatch struct {
	items []*publication
	// written is signalled when the writer is through with it; nil if its caller writes it.
	written chan struct{}
	// answered is signalled when the last answer is there, and with eager at each. The
	// ledger guards left, which counts what was written and is not answered.
	answered chan struct{}
	left     int
	eager    bool
}

// newBatch makes a batch. With eager it tells of each answer.
func newBatch(items []*publication, eager bool) *pubBatch {
	return &pubBatch{items: items, answered: make(chan struct{}, 1), eager: eager}
}
