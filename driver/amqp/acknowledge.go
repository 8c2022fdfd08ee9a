package amqp

import (
	"cmp"
	"slices"
)

// hand tells the broker which deliveries are settled, and which it gets back.
func (s *session) hand(acks, returns []*receipt) error {
	if len(acks)+len(returns) == 0 {
		return nil
	}
	byTag := func(a, b *receipt) int { return cmp.Compare(a.tag, b.tag) }
	slices.SortFunc(returns, byTag) // the broker keeps to the order in which they come back
	s.writing.Lock()
	defer s.writing.Unlock()
	return s.write(acks, returns)
}

// write sends the frames that settle deliveries: s.writing must be held. What was
// written counts as settled: the channel either takes it or ends, and with it all
// deliveries. Returns go back by basic.nack: as of 4.3 that does not count as a lost
// holder, as basic.reject does.
func (s *session) write(acks, returns []*receipt) error {
	s.mu.Lock()
	if s.over {
		s.mu.Unlock()
		return s.lost()
	}
	for _, settled := range [][]*receipt{returns, acks} {
		for _, r := range settled {
			r.state = receiptSettled
			s.held.remove(r)
		}
	}
	// Read here: when the session ends it holds nothing any more, and the channel may
	// still take an acknowledgement. What comes later has higher tags.
	upTo := s.held.upTo()
	s.mu.Unlock()
	s.conn.socket.cork()
	defer s.conn.socket.uncork()
	for _, r := range returns {
		if err := s.ch.Nack(r.tag, false, true); err != nil {
			return err
		}
	}
	return s.acknowledge(acks, upTo)
}

// acknowledge sends one acknowledgement for all tags below upTo, which is the first that
// is still held, and one for each after that. What was settled before is not
// outstanding, and not touched by it.
func (s *session) acknowledge(acks []*receipt, upTo uint64) error {
	last := uint64(0)
	for _, r := range acks {
		if r.tag < upTo {
			last = max(last, r.tag)
		}
	}
	if last > 0 {
		if err := s.ch.Ack(last, true); err != nil {
			return err
		}
	}
	for _, r := range acks {
		if r.tag > last {
			if err := s.ch.Ack(r.tag, false); err != nil {
				return err
			}
		}
	}
	return nil
}

// barrier returns when the broker has processed all that was sent on the channel
// before. Acknowledgements have no answer, and the cheapest request that has one
// is to set again what is set: it concerns later subscriptions only. When the
// consumer has stopped, nothing of it would get the notice that the queue was
// deleted, so it looks for the queue instead. One that was deleted and declared again
// passes for the old one, and a retry has then been stored in the new one.
func (s *session) barrier() error {
	err := s.ask(func() error {
		if s.life.Err() == nil {
			return s.ch.Qos(s.prefetch, 0, false)
		}
		_, err := lookUp(s.ch, s.names.main)
		return err
	})
	if err != nil {
		return err
	}
	// If the broker took the deliveries back, as when the queue was deleted, its
	// notice came before the answer, and watch has received it.
	select {
	case s.sync <- struct{}{}:
	case <-s.ended:
	}
	return nil
}
