package amqp

import (
	"sort"
	"sync"
)

// ledger has the publications of one channel that the broker has not answered. The broker
// counts the messages of a channel, and answers one or all up to one:
// https://www.rabbitmq.com/docs/confirms
type ledger struct {
	mu sync.Mutex // guards following
	// open has the publications in the order of their tags, from head on. There are answered ones
	// among them, fewer than the others or few.
	open     []openPublication
	head     int
	answered int
	next     uint64 // tag
	// bytes is the size of them together.
	bytes int
	// returned counts the messages that came back. The broker returns a message before it
	// confirms it: https://www.rabbitmq.com/docs/confirms#when-publishes-are-confirmed.
	returned map[returnKey]int
	// stored tells that the broker has stored a message.
	stored bool
}

// openPublication is one of a ledger. Its item is nil once that is answered.
type openPublication struct {
	tag  uint64
	item *publication
}

// newLedger makes the ledger of a new channel, whose first message has the tag 1.
func newLedger() *ledger { return &ledger{next: 1} }

// add notes that an item is about to be written, and gives it its tag.
func (l *ledger) add(item *publication) {
	l.mu.Lock()
	defer l.mu.Unlock()
	item.tag = l.next
	l.next++
	l.open = append(l.open, openPublication{item.tag, item})
	l.bytes += item.size
	item.batch.left++
}

// answer takes an answer of the broker: for one message, or for all up to one.
func (l *ledger) answer(tag uint64, multiple, stored bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case tag == 0 && multiple:
		tag = l.next - 1
	case tag >= l.next:
		return // nothing has that tag
	}
	to := l.head + sort.Search(len(l.open)-l.head, func(i int) bool { return l.open[l.head+i].tag > tag })
	from := l.head
	if !multiple {
		if from = to - 1; from < l.head || l.open[from].tag != tag {
			return
		}
	}
	for i := from; i < to; i++ {
		if item := l.open[i].item; item != nil {
			l.open[i].item = nil
			l.answered++
			l.settle(item, stored)
		}
	}
	l.advance()
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

// fewOpen is how many publications a ledger has room for without looking for answered ones.
const fewOpen = 1 << 10

// advance forgets what is answered: at the beginning, and if it is most also elsewhere, as one that
// the broker does not answer for hours must not have all after it kept. l.mu must be held.
func (l *ledger) advance() {
	for l.head < len(l.open) && l.open[l.head].item == nil {
		l.head++
		l.answered--
	}
	switch {
	case l.head == len(l.open):
		l.open, l.head = l.open[:0], 0
		if cap(l.open) > 16*fewOpen {
			l.open = nil
		}
	case l.head > len(l.open)/2 || l.answered > max(fewOpen, len(l.open)/2):
		n := 0
		for _, o := range l.open[l.head:] {
			if o.item != nil {
				l.open[n] = o
				n++
			}
		}
		clear(l.open[n:])
		l.open, l.head, l.answered = l.open[:n], 0, 0
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
