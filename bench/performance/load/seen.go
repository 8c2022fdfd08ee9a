package load

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/batch-go/batch/bench/performance/peer"
)

// seen counts jobs by their numbers.
type seen struct {
	numbers   atomic.Int64
	confirmed atomic.Int64
	arrived   atomic.Int64 // numbers that were handled

	mu sync.Mutex
	// guards following
	handled []uint8       // by number, how often it was handled
	again   int           // handled more than once
	last    time.Time     // when the latest was handled
	want    int64         // how many are waited for; 0 when nobody waits
	enough  chan struct{} // closed then
}

// newSeen has seen nothing.
func newSeen() *seen { return &seen{enough: make(chan struct{})} }

// next returns a number.
func (s *seen) next() int64 { return s.numbers.Add(1) - 1 }

// sent counts jobs that the broker has confirmed.
func (s *seen) sent(n int) { s.confirmed.Add(int64(n)) }

// handle is a handler that does nothing.
func (s *seen) handle(j peer.Job) error {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for int64(len(s.handled)) <= j.N {
		s.handled = append(s.handled, make([]uint8, 1024)...)
	}
	if s.handled[j.N] > 0 {
		s.again++
		return nil
	}
	s.handled[j.N] = 1
	s.last = now
	if s.arrived.Add(1) == s.want {
		close(s.enough)
	}
	return nil
}

// await waits until as many were handled as were confirmed, and returns whether they were.
func (s *seen) await(limit time.Duration) bool {
	s.mu.Lock()
	s.want = s.confirmed.Load()
	if s.arrived.Load() >= s.want {
		s.mu.Unlock()
		return true
	}
	enough := make(chan struct{})
	s.enough = enough
	s.mu.Unlock()
	select {
	case <-enough:
		return true
	case <-time.After(limit):
		return false
	}
}

// lastAt returns when the latest job was handled.
func (s *seen) lastAt() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// counts returns how many jobs were confirmed, handled, and handled again.
func (s *seen) counts() (sent, arrived, again int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int(s.confirmed.Load()), int(s.arrived.Load()), s.again
}
