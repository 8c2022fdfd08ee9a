package amqp

import "sync/atomic"

// sizes is what is known of the largest message that the broker takes. AMQP does not
// tell: a message beyond max_message_size ends its channel, with all that is under way
// there. So one that is larger than all before it is tried on a channel of its own.
type sizes struct {
	// taken is the largest body that the broker has confirmed.
	taken atomic.Int64
	// most is the largest that it says it takes; 0 is unknown.
	most atomic.Int64
}

// everywhere is a body that every broker takes: nobody configures less.
const everywhere = 4 << 10

// isKnown tells whether the broker certainly takes a body.
func (s *sizes) isKnown(body int) bool {
	return body <= everywhere || int64(body) <= s.taken.Load()
}

// learn notes what a publisher has learned of a body, and tells whether it is known
// now whether the broker takes it.
func (s *sizes) learn(p *publisher, item *publication) bool {
	if item.err == nil || item.err == errNacked || item.err == errReturned {
		for old := s.taken.Load(); old < int64(len(item.message.Body)); old = s.taken.Load() {
			s.taken.CompareAndSwap(old, int64(len(item.message.Body)))
		}
		return true
	}
	return s.bound(p)
}

// bound notes the limit for which the broker has ended a channel, if it has, which may
// be less than it was.
func (s *sizes) bound(p *publisher) bool {
	select {
	case <-p.ended:
	default:
		return false
	}
	reply, _, most := p.tooLarge()
	if reply == nil {
		return false
	}
	s.most.Store(int64(most))
	s.taken.Store(min(s.taken.Load(), int64(most)))
	return true
}
