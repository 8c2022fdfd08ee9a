package batch

import "github.com/batch-go/batch/driver"

// Receipt is the broker's promise to keep a job.
type Receipt struct {
	// ID names the job.
	ID string
	// Duplicate is true if this job was not stored because one with the same
	// [Unique] key was enqueued before. DuplicateOf is the ID of that job, if the
	// broker tells.
	Duplicate   bool
	DuplicateOf string
}

// newReceipt makes the receipt for a message from the broker's answer.
func newReceipt(m *driver.Message, r driver.Result) Receipt {
	return Receipt{ID: m.ID, Duplicate: r.Duplicate, DuplicateOf: r.DuplicateOf}
}

// Result is what became of one job of [Queue.EnqueueMany].
type Result struct {
	Receipt
	// Err is the same as that of [Queue.Enqueue].
	Err error
}
