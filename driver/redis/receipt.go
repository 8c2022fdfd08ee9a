package redis

import (
	"github.com/batch-go/batch/internal/fault"
)

// receipt is what settles and extends a delivery.
type receipt struct {
	stream int
	id     string
}

// receiptAt returns the receipt of the i-th delivery of a call, or nil to pass
// over it.
type receiptAt func(i int) *receipt

// perStream is how many of a call's deliveries are in each stream, from the first.
type perStream [streamCount]int

// countByStream counts the receipts of n deliveries by stream, and in all.
func countByStream(n int, of receiptAt) (counts perStream, total int) {
	for i := range n {
		if r := of(i); r != nil {
			counts[r.stream-1]++
			total++
		}
	}
	return counts, total
}

// appendTo appends the counts and then the entry IDs stream by stream, as the
// scripts want them, and to order the position of each in the call.
func (p perStream) appendTo(args []any, order []int, n int, of receiptAt) ([]any, []int) {
	for _, count := range p {
		args = append(args, count)
	}
	for i, count := range p {
		if count == 0 {
			continue
		}
		for at := range n {
			if r := of(at); r != nil && r.stream == i+1 {
				args = append(args, &r.id)
				order = append(order, at)
			}
		}
	}
	return args, order
}

// addLost reads the reply of a script, which lists the deliveries that are not held
// by their places in order, from 1. It puts an error for each into errs, which are
// those of a call of n deliveries.
func (h *holder) addLost(errs []error, n int, op string, reply []byte, order []int) ([]error, error) {
	r := reader{buf: reply}
	for range r.array() {
		at := int(r.int()) - 1
		if at < 0 || at >= len(order) {
			return nil, fail(op, h.queue, errReply)
		}
		errs = fault.Set(errs, n, order[at], faults.LeaseLost(op, h.queue))
	}
	return errs, fail(op, h.queue, r.err)
}
