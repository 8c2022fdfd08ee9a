package redis

import (
	"errors"

	"github.com/batch-go/batch/driver"
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

// perStream is how many of a call's deliveries are in each stream, by its slot.
type perStream [streamCount]int

// countByStream counts the receipts of n deliveries by stream, and in all.
func countByStream(n int, of receiptAt) (counts perStream, total int) {
	for i := range n {
		if r := of(i); r != nil {
			slot, _ := slotOf(r.stream)
			counts[slot]++
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
			r := of(at)
			if r == nil {
				continue
			}
			if slot, _ := slotOf(r.stream); slot == i {
				args = append(args, &r.id)
				order = append(order, at)
			}
		}
	}
	return args, order
}

// addRefused reads the reply of a script, which lists the deliveries that are not held by
// their places in order, from 1, and those that failed by a negative place with the text of
// the error behind it. It puts an error for each into errs, which are those of a call of n
// deliveries.
func (h *holder) addRefused(errs []error, n int, op string, reply []byte, order []int) ([]error, error) {
	r := reader{buf: reply}
	for left := r.array(); left > 0; left-- {
		at := int(r.int())
		why := faults.LeaseLost(op, h.queue)
		if at < 0 {
			at, left = -at, left-1
			why = stillHeld(fail(op, h.queue, serverError(r.string())))
		}
		if at < 1 || at > len(order) || r.err != nil {
			return errs, fail(op, h.queue, errReply)
		}
		errs = fault.Set(errs, n, order[at-1], why)
	}
	return errs, fail(op, h.queue, r.err)
}

// stillHeld is the error of a delivery of which the script said that it was undone.
func stillHeld(err error) error {
	var de *driver.Error
	if errors.As(err, &de) {
		de.Fate = driver.FateNotStored
	}
	return err
}
