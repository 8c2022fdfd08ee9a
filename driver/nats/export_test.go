package nats

import (
	"time"

	"github.com/batch-go/batch/driver"
)

// Twin is a delivery of the same entry to another holder, as of a server that
// forgot the first in a crash.
func Twin(d *driver.Delivery) *driver.Delivery {
	old := d.Receipt.(*receipt)
	until := time.Now().Add(ackWait)
	r := &receipt{n: old.n, seq: old.seq, reply: old.reply, deliveries: old.deliveries, lost: old.lost, hold: old.hold, delivered: old.delivered, epoch: old.epoch}
	r.until.Store(&until)
	twin := *d
	twin.Receipt = r
	return &twin
}

// LeaveTaken puts a delivery where takeOver leaves it for the next Receive, with the lease
// that the server gave it.
func LeaveTaken(c driver.Consumer, d *driver.Delivery) {
	own := c.(*consumer)
	own.mu.Lock()
	defer own.mu.Unlock()
	own.ready = append(own.ready, Twin(d))
}

// Until is when the lease of a delivery ends at the earliest.
func Until(d *driver.Delivery) time.Time { return *d.Receipt.(*receipt).until.Load() }
