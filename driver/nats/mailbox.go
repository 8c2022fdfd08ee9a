package nats

import (
	"strconv"
	"sync"

	natsgo "github.com/nats-io/nats.go"
)

// mailbox is where the answer to one request at a time comes to: the client library gives it
// to the one who waits. It is used again.
type mailbox struct {
	inbox string // ends with a dot
	sub   *natsgo.Subscription
	// answers gets those to all requests. serial is the number of the one under way, and
	// subject that of its answer.
	answers chan *natsgo.Msg
	serial  uint64
	subject []byte
	header  header // of a message
	message []byte // all of it
}

// next begins the next request. What a second stream has answered to one before is nobody's.
func (b *mailbox) next() *mailbox {
	for len(b.answers) > 0 {
		<-b.answers
	}
	b.serial++
	b.subject = strconv.AppendUint(append(b.subject[:0], b.inbox...), b.serial, 36)
	return b
}

// end ends one whose answer may come yet, or that is not needed any more.
func (b *mailbox) end() { _ = b.sub.Unsubscribe() } // it fails if the connection is closed

// mailboxes are those of a connection that are not in use, of whose subscriptions the server
// knows. The methods may be called concurrently.
type mailboxes struct {
	mu    sync.Mutex // guards following
	idle  []*mailbox
	ended bool // there are no more
}

const (
	// mostIdle is how many mailboxes a connection keeps.
	mostIdle = 64
	// mostAnswers is how many answers a mailbox has room for: more than streams take a subject.
	mostAnswers = 8
)

// take takes one, or nil if there is none.
func (all *mailboxes) take() *mailbox {
	all.mu.Lock()
	last := len(all.idle) - 1
	if last < 0 {
		all.mu.Unlock()
		return nil
	}
	b := all.idle[last]
	all.idle = all.idle[:last]
	all.mu.Unlock()
	return b.next()
}

// more makes a new one, or returns nil if there are no more.
func (all *mailboxes) more(nc *natsgo.Conn) (*mailbox, error) {
	all.mu.Lock()
	ended := all.ended
	all.mu.Unlock()
	if ended {
		return nil, nil
	}
	b := &mailbox{inbox: nc.NewInbox() + ".", answers: make(chan *natsgo.Msg, mostAnswers)}
	var err error
	if b.sub, err = nc.ChanSubscribe(b.inbox+"*", b.answers); err != nil {
		return nil, err
	}
	return b, nil
}

// put keeps one that is known to the server and not in use, unless there are no more.
func (all *mailboxes) put(b *mailbox) {
	all.mu.Lock()
	kept := !all.ended && len(all.idle) < mostIdle
	if kept {
		all.idle = append(all.idle, b)
	}
	all.mu.Unlock()
	if !kept {
		b.end()
	}
}

// end ends those that are kept, and makes no more: the driver is closed, or the server takes no
// more subscriptions.
func (all *mailboxes) end() {
	all.mu.Lock()
	idle := all.idle
	all.idle, all.ended = nil, true
	all.mu.Unlock()
	for _, b := range idle {
		b.end()
	}
}
