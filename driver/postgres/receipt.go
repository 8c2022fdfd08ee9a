package postgres

import (
	"errors"

	"github.com/batch-go/batch/driver"
)

// receipt is what settling a delivery takes.
type receipt struct {
	home       *home // of the driver that made it
	queue      string
	seq, token int64
	damaged    bool // its row is no job
}

// receiptOf is the receipt of a delivery that a driver of this package made.
func receiptOf(delivery *driver.Delivery) (*receipt, bool) {
	if delivery == nil {
		return nil, false
	}
	r, ok := delivery.Receipt.(*receipt)
	return r, ok
}

// home tells databases that have queues apart, and schemas of one: a copy of a database has the same identity, and
// another name or another server. Their queues may have the same names, and their jobs the same numbers.
type home struct {
	identity [16]byte
	database string
}

// errForeign says that a delivery is of another database or schema.
var errForeign = errors.New("the delivery is of another database or schema than the driver")

// hintForeign is what to do about it.
const hintForeign = "use a driver that was opened on the database and schema of the job"

// foreign is the error of a receipt whose job this driver does not have, or nil. It is certain before anything is sent.
func (h *home) foreign(op string, r *receipt) error {
	if *r.home == *h {
		return nil
	}
	return faults.Refuse(op, r.queue, driver.ErrConfig, errForeign, hintForeign)
}
