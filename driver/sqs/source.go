package sqs

import "time"

// backlogAge is how long a job may wait, besides the time since the poll before, until it
// counts as one that polls have missed: an answer's way, and the time that SQS itself needs
// until it hands out what it has stored.
const backlogAge = 50 * time.Millisecond

// source is one of the SQS queues that a poller polls.
type source struct {
	// polls are under way; allowed is how many may be: one on an idle queue and on a
	// trickle, more while there is more than they bring.
	polls, allowed int
	// trickles tells that the last poll with jobs brought few, and left none behind that
	// was seen.
	trickles bool
	// brings is how many jobs the last poll brought of a queue that has more, if it was not
	// full; else zero.
	brings int
	// answered is when the last poll ended, and notBefore when the next one may begin.
	answered, notBefore time.Time
}

// haul is what one poll brought.
type haul struct {
	// begun is when the poll began. It asked for most jobs and brought n.
	begun   time.Time
	n, most int
	// waited is how long the oldest of the jobs was there before it was handed out.
	waited time.Duration
}

// brought notes what a poll brought. More polls find more if it was full, and also if one of
// its jobs was there when the poll before ended: a long poll often brings fewer jobs than it
// asks for and than there are. If neither is so, and the jobs are few, fewer polls would have
// brought them in fewer requests, and the next one may begin a while later, gather at most.
func (s *source) brought(h haul, gather time.Duration) {
	now := time.Now()
	before := s.answered
	if before.IsZero() {
		before = h.begun
	}
	s.answered = now
	if h.n == 0 {
		s.allowed, s.brings = max(s.allowed/2, 1), 0
		return
	}
	more := h.n == h.most || h.waited > now.Sub(before)+backlogAge
	s.brings = 0
	if more && h.n < h.most {
		s.brings = h.n
	}
	s.trickles = !more && 2*h.n < h.most
	switch {
	case more:
		s.allowed = min(s.allowed+1, receivers)
	case s.trickles:
		s.allowed = max(s.allowed-1, 1)
	}
	// At this rate a job comes in each gap. No other one is worth waiting for if none comes
	// within gather; and no more than fill most of a request.
	if gap := now.Sub(before) / time.Duration(h.n); !more && gap < gather {
		s.notBefore = now.Add(min(gather, gap*maxEntries*3/4))
	}
}

// useful is how many polls may be under way for those who wait in b: one for each, or where
// polls bring few jobs as many as bring what is waited for.
func (s *source) useful(b *buffer) int {
	n := len(b.waiters)
	if s.brings > 0 {
		n = max(n, b.wants()/s.brings)
	}
	return min(s.allowed, n)
}
