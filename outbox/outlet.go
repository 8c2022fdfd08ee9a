package outbox

import (
	"math/rand/v2"
	"time"

	"github.com/batch-go/batch"
)

const (
	// The time between two tries of what failed.
	shortestWait = 100 * time.Millisecond
	longestWait  = 5 * time.Second
)

// backoff is the time before the next try of what fails. The zero value has not failed.
type backoff struct{ wait time.Duration }

// next is the time before the next try: longer the more have failed, and not the same for all.
func (b *backoff) next() time.Duration {
	b.wait = min(max(2*b.wait, shortestWait), longestWait)
	return b.wait/2 + rand.N(b.wait/2+1)
}

// outlet is a queue of the target.
type outlet struct {
	queue *batch.Queue[batch.Importer]
	wrong error // why it can be no queue

	backoff backoff
	until   time.Time // until when it rests after a failure
}

// rests tells whether nothing is to be sent to the queue now.
func (o *outlet) rests() bool { return time.Now().Before(o.until) }

// note notes whether a request failed.
func (o *outlet) note(failed error) {
	if failed == nil {
		o.backoff, o.until = backoff{}, time.Time{}
		return
	}
	o.until = time.Now().Add(o.backoff.next())
}
