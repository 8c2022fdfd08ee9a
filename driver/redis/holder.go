package redis

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/lifecycle"
)

// holder is a consumer as the server knows it: the name under which it holds
// jobs of a queue. All parts of a consumer share it.
type holder struct {
	conn  *connection
	queue string
	names *names
	name  string
	lease time.Duration

	// receiving counts the Receive calls and the goroutines that fetch for them, which
	// Stop ends; work counts the others, which Close ends.
	receiving, work lifecycle.Gate
	stopping        chan struct{} // closed when Stop or Close begins
	stopOnce        sync.Once
	closing         chan struct{} // closed when Close begins

	// report ends the waiting of Receive calls with an error. It is nil where none waits.
	report func(error)
}

// tell has Receive report what the goroutines behind it met, if nothing else would: a
// user may have the rights to receive, and lack one to look after due jobs and leases.
// Receive takes one such error for the end of a connection, and returns the next.
func (h *holder) tell(err error) {
	if h.report != nil && errors.Is(fail("receive", h.queue, err), driver.ErrUnauthorized) {
		h.report(err)
	}
}

// newHolder makes a holder with a name of its own.
func newHolder(conn *connection, queue string, names *names, lease time.Duration) *holder {
	return &holder{
		conn: conn, queue: queue, names: names, lease: lease,
		name:     holderName(lease),
		stopping: make(chan struct{}),
		closing:  make(chan struct{}),
	}
}

// holderName is a name that tells people where the consumer runs, and recovery
// how long its leases are.
func holderName(lease time.Duration) string {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "unknown"
	}
	host = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '_'
		}
		return r
	}, host)
	var unique [6]byte
	_, _ = rand.Read(unique[:]) // never fails, since Go 1.24
	return fmt.Sprintf("%s-%d-%s:%d", host, os.Getpid(), hex.EncodeToString(unique[:]), lease.Milliseconds())
}

// stop tells Receive calls and what fetches for them to end, and lets no more begin.
func (h *holder) stop() {
	h.receiving.Shut()
	h.stopOnce.Do(func() { close(h.stopping) })
}

// stopped tells whether Stop or Close began.
func (h *holder) stopped() bool { return h.receiving.IsShut() }

// end tells the consumer's other goroutines to end, and lets no more begin.
func (h *holder) end() {
	h.work.Shut()
	close(h.closing)
}

// ended tells whether Close began.
func (h *holder) ended() bool { return h.work.IsShut() }
