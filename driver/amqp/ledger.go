package amqp

import (
	"sync"

	"github.com/batch-go/batch/internal/fifo"
)

// ledger has the publications of one channel that the broker has not answered. The broker
// counts the messages of a channel, and answers one or all up to one:
// https://www.rabbitmq.com/docs/confirms
type ledger struct {
	mu sync.Mutex // guards following
	// open has the publications by their tags, of which first is the first one's. Those that
	// were answered before one with a lower tag are nil.
	open  fifo.Queue[*publication]
	first uint64
	// bytes is the size of them together.
	bytes int
	// returned counts the messages that came back. The broker returns a message before it
	// confirms it: https://www.rabbitmq.com/docs/confirms#when-publishes-are-confirmed.
	returned map[returnKey]int
	// stored tells that the broker has stored a message.
	stored bool
}

// newLedger makes the ledger of a new channel, whose first message has the tag 1.
func newLedger() *ledger { return &ledger{first: 1} }

// add notes that an item is about to be written, and gives it its tag.
func (l *ledger) add(item *publication) {
	l.mu.Lock()
	defer l.mu.Unlock()
	item.tag = l.first + uint64(l.open.Len())
	l.open.Push(item)
	l.bytes += item.size
	item.batch.left++
}

// answer takes an answer of the broker: for one message, or for all up to one.
func (l *ledger) answer(tag uint64, multiple, stored bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	end := l.first + uint64(l.open.Len())
	switch {
	case tag == 0 && multiple:
		tag = end - 1
	case tag < l.first || tag >= end:
		return // nothing of that tag is open
	}
	from, to := 0, int(tag-l.first)
	if !multiple {
		from = to
	}
	for i := from; i <= to; i++ {
		if item := l.open.At(i); *item != nil {
			l.settle(*item, stored)
			*item = nil
		}
	}
	for l.open.Len() > 0 && *l.open.At(0) == nil { // what is answered at the beginning
		l.open.Pop()
		l.first++
	}
}

// settle notes what became of an item, and tells its batch. l.mu must be held.
func (l *ledger) settle(item *publication, stored bool) {
	state := pubNacked
	if stored {
		state = pubAcked
	}
	if l.takeReturned(item.key()) {
		state = pubReturned
	}
	l.stored = l.stored || stored
	l.bytes -= item.size
	batch := item.batch // the caller may use the item again from here on
	item.state.Store(state)
	if batch.left--; batch.left == 0 || batch.eager {
		select {
		case batch.answered <- struct{}{}:
		default:
		}
	}
}

// takeReturned tells whether a message came back, and forgets it. l.mu must be held.
func (l *ledger) takeReturned(key returnKey) bool {
	if len(l.returned) == 0 {
		return false
	}
	n := l.returned[key]
	if n <= 1 {
		delete(l.returned, key)
	} else {
		l.returned[key] = n - 1
	}
	return n > 0
}

// comeBack notes a message that the broker has returned.
func (l *ledger) comeBack(key returnKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.returned == nil {
		l.returned = make(map[returnKey]int)
	}
	l.returned[key]++
}

// unanswered is how many bytes the broker has not answered.
func (l *ledger) unanswered() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bytes
}

// hasStored tells whether the broker has stored a message.
func (l *ledger) hasStored() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stored
}

// awaits tells whether something of a batch is not answered.
func (l *ledger) awaits(batch *pubBatch) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return batch.left > 0
}
