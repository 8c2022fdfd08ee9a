package batch

import "github.com/batch-go/batch/driver"

// Receipt is the broker's promise to keep a job.
type Receipt struct {
	// ID names the job that is stored. If this one is a duplicate, that is the job
	// with the same key, or empty if the broker does not tell.
	ID string
	// Duplicate is true if this job was not stored because one with the same
	// [Unique] key was enqueued before.
	Duplicate bool
	// NotApplied names the options that the broker does not support, and that were
	// left out because they end in IfSupported: "Priority" for [PriorityIfSupported].
	// Nil if all were applied.
	NotApplied []string
}

// newReceipt makes the receipt for a message from the broker's answer.
func newReceipt(m *driver.Message, notApplied []string, r driver.Result) Receipt {
	id := m.ID
	if r.Duplicate {
		id = r.DuplicateOf
	}
	return Receipt{ID: id, Duplicate: r.Duplicate, NotApplied: notApplied}
}

// Result is what became of one job of [Queue.EnqueueMany].
type Result struct {
	Receipt
	// Err is the same as that of [Queue.Enqueue].
	Err error
}
