package postgres

import "github.com/batch-go/batch/driver"

// receipt is what settling a delivery takes.
type receipt struct {
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
