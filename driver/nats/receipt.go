package nats

import (
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nuid"

	"github.com/batch-go/batch/driver"
)

// receipt is what settling a delivery takes.
type receipt struct {
	n     *names
	seq   uint64
	reply string // where acknowledgements go
	hold  string // of the job's dedup key; see job
	// delivered is how often the server has handed out the entry, this time included, and
	// mark the sequence of the mark by which it was taken over, or 0.
	delivered int64
	mark      uint64
	// deliveries is how often the job was handed out, this time included, and
	// lost how often since the last settlement but a release a holder vanished with it.
	deliveries, lost int

	// until is when the lease ends at the earliest, by the wall clock and by the
	// monotonic one: while a machine sleeps only the first goes on.
	until     atomic.Pointer[time.Time]
	settled   atomic.Bool
	uncertain atomic.Bool // for good, once set
	busy      atomic.Bool // a Settle is under way
	// nonce makes the message IDs of this holder's settlements its own, and
	// removing says that a removal of the entry was sent; both belong to the
	// Settle under way.
	nonce    string
	removing bool
	epoch    epoch // that of the delivery

	// ends is when the lease ends at the earliest by the monotonic clock, since began, also
	// if it is not certain, and slack by how much later that may be: when the server handed
	// the entry out is not known to the moment. They are for holders, whose mu guards the
	// others: again is how often the server handed out the entry since, and spared how often
	// that happened to any holder of it.
	ends          atomic.Int64
	slack         time.Duration
	again, spared int
}

// began is when this process did, to have times by the monotonic clock in an atomic.
var began = time.Now()

// extend takes note that the lease ends no earlier than until.
func (r *receipt) extend(until time.Time) { r.ends.Store(int64(until.Sub(began))) }

// left is how much is left of the lease at least. It is negative if that is over.
func (r *receipt) left() time.Duration { return time.Duration(r.ends.Load()) - time.Since(began) }

// most is how much is left of the lease at most.
func (r *receipt) most() time.Duration { return r.left() + r.slack }

// epoch counts what may have made the server forget its deliveries. What was
// handed out in one epoch is not certain to be held in another.
type epoch struct {
	losses    uint64 // of the connection
	deletions uint64 // of the queue
}

// held tells whether the lease is certain to be held now.
func (r *receipt) held(now time.Time, current epoch) bool {
	if r.uncertain.Load() {
		return false
	}
	until := *r.until.Load()
	if now.Before(until) && now.Round(0).Before(until.Round(0)) && r.epoch == current {
		return true
	}
	r.uncertain.Store(true)
	return false
}

// messageID is the message ID of what takes the place of an entry with an outcome, so that
// it is stored once although it is tried again. That of another holder is another: two
// holders would share one new message otherwise, and the second would withdraw what
// the first settled the job with.
func (r *receipt) messageID(outcome string) string {
	if r.nonce == "" {
		r.nonce = nuid.Next()
	}
	return outcome + "-" + strconv.FormatUint(r.seq, 10) + "-" + r.nonce
}

// ackScope is what the subjects for acknowledgements begin with that are of the same queue.
func (r *receipt) ackScope() string {
	before, after, ok := strings.Cut(r.reply, r.n.stream)
	if !ok || !strings.HasPrefix(after, ".") {
		return "$JS.ACK."
	}
	return r.reply[:len(before)+len(r.n.stream)+1]
}

// receiptOf is the receipt of a delivery of this queue that is not settled.
func (n *names) receiptOf(d *driver.Delivery) (*receipt, error) {
	if d == nil {
		return nil, errForeign
	}
	r, ok := d.Receipt.(*receipt)
	if !ok || r.n.stream != n.stream {
		return nil, errForeign
	}
	if r.settled.Load() {
		return nil, errLapsed
	}
	return r, nil
}

// ackReply reads the parts of the subject for acknowledgements that matter:
// $JS.ACK.<stream>.<consumer>.<delivered>.<seq>..., or with domain and account
// behind ACK (ADR-15).
func ackReply(subject string) (delivered int64, seq uint64, ok bool) {
	skip := 4
	switch dots := strings.Count(subject, "."); {
	case dots == 8:
	case dots >= 10:
		skip = 6
	default:
		return 0, 0, false
	}
	rest := subject
	for range skip {
		_, rest, _ = strings.Cut(rest, ".")
	}
	first, rest, _ := strings.Cut(rest, ".")
	second, _, _ := strings.Cut(rest, ".")
	delivered, err1 := strconv.ParseInt(first, 10, 64)
	seq, err2 := strconv.ParseUint(second, 10, 63)
	if err1 != nil || err2 != nil || delivered < 1 || delivered > maxCount || seq < 1 {
		return 0, 0, false
	}
	return delivered, seq, true
}
