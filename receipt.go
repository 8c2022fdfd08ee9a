package batch

import "github.com/batch-go/batch/driver"

// Receipt is the broker's promise to keep a job.
type Receipt struct {
	// ID names the job.
	ID string
	// Duplicate is true if a job with the same [Unique] key was enqueued before,
	// so that this one was not stored; DuplicateOf is that job's ID if the broker
	// tells.
	Duplicate   bool
	DuplicateOf string
}

// newReceipt is the receipt for a message of which the broker said r.
func newReceipt(m *driver.Message, r driver.Result) Receipt {
	return Receipt{ID: m.ID, Duplicate: r.Duplicate, DuplicateOf: r.DuplicateOf}
}

// Result is what became of one job of [Queue.EnqueueMany].
type Result struct {
	Receipt
	// Err is as that of [Queue.Enqueue].
	Err error
}
