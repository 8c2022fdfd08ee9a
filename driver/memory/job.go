package memory

import (
	"time"

	"github.com/batch-go/batch/driver"
)

// jobOverhead is what a job counts towards Options.MaxBytes besides its body
// and headers. It is what the job structure, its strings, its slot in a list and
// its lease take together, as measured, rounded up: too small, and the process
// takes more memory than MaxBytes says; too large, and it stores too few jobs.
const jobOverhead = 768

// headerOverhead is what each header counts besides its name and value: its
// share of the map.
const headerOverhead = 64

// levels is the number of priorities.
const levels = 5

// job is a stored job. While it is in a sorted list neither at nor seq changes.
type job struct {
	// msg is what was enqueued, with Delay and DedupWithin zero. Only strip changes it, with
	// the queue's mu held.
	msg driver.Message
	// size is what the job counts towards Options.MaxBytes. Only strip changes it.
	size int64

	// The queue's mu guards following.

	// at is when a scheduled job is due or a dead one died; else zero.
	at instant
	// seq is a sequence number: it orders jobs of the same at, and names them,
	// as no two jobs of a queue have the same.
	seq uint64
	// prev and next are the job's neighbours in a list of an index: that of its
	// group, or, once it is dead, that of the dead letters with its ID.
	prev, next *job
	// since is when a waiting job began to wait, and older and newer are its
	// neighbours among those, see waitingJobs.
	since        instant
	older, newer *job
	// keyNumber is that of the remembered key that the job took, or 0.
	keyNumber uint64

	failures     int
	bounces      int
	deliveries   int
	redeliveries int
	lastError    string
	reason       string
	bouncedSince int64 // in Unix milliseconds, or 0; a time.Time takes three times the room
}

// newJob copies a message, whose struct is the caller's again after the call.
// headers is its HeaderSize.
func newJob(m *driver.Message, headers int) *job {
	j := &job{msg: *m, size: int64(jobOverhead + len(m.Body) + headers + headerOverhead*len(m.Headers))}
	j.msg.Delay, j.msg.DedupWithin = 0, 0
	return j
}

// record is the history that a settlement gives the job. It has no lost holders.
func (j *job) record(s *driver.Settlement) {
	j.failures, j.lastError = s.Failures, s.Error
	j.setBounces(s.Bounces, s.BouncedSince)
	j.redeliveries = 0
}

// strip removes the headers, and returns how many bytes that frees.
func (j *job) strip() int64 {
	freed := int64(j.msg.HeaderSize() + headerOverhead*len(j.msg.Headers))
	j.msg.Headers = nil
	j.size -= freed
	return freed
}

// recordEntry is the history that the job had elsewhere.
func (j *job) recordEntry(e *driver.Entry) {
	j.failures, j.lastError, j.deliveries = e.Failures, e.LastError, e.Deliveries
	j.setBounces(e.Bounces, e.BouncedSince)
}

// setBounces records how often workers put the job back, and since when.
func (j *job) setBounces(n int, since time.Time) {
	j.bounces, j.bouncedSince = n, 0
	if !since.IsZero() {
		j.bouncedSince = since.UnixMilli()
	}
}

// bounced is since when workers have put the job back, or zero.
func (j *job) bounced() time.Time {
	if j.bouncedSince == 0 {
		return time.Time{}
	}
	return time.UnixMilli(j.bouncedSince).UTC()
}

// forget makes the job as it was when it was enqueued.
func (j *job) forget() {
	j.failures, j.lastError, j.deliveries, j.redeliveries = 0, "", 0, 0
	j.bounces, j.bouncedSince, j.reason = 0, 0, ""
}

// rank is the index of the job's level: 0 is handed out first.
func (j *job) rank() int { return int(driver.Critical - j.msg.Level) }

// before orders the jobs of a sorted list.
func (j *job) before(at instant, seq uint64) bool {
	if j.at != at {
		return j.at < at
	}
	return j.seq < seq
}

// entry shows the job to an inspector.
func (j *job) entry(c clock, state driver.State) driver.Entry {
	e := driver.Entry{
		Message: j.msg, State: state,
		Failures: j.failures, LastError: j.lastError, Deliveries: j.deliveries,
		Bounces: j.bounces, BouncedSince: j.bounced(),
	}
	switch state {
	case driver.StateScheduled:
		e.DueAt = c.wall(j.at)
	case driver.StateDead:
		e.Reason, e.DeadAt = j.reason, c.wall(j.at)
	}
	return e
}

// deadLetter shows a dead job.
func (j *job) deadLetter(c clock) driver.DeadLetter {
	return driver.DeadLetter{
		Message: j.msg, Failures: j.failures, LastError: j.lastError,
		Bounces: j.bounces, BouncedSince: j.bounced(),
		Deliveries: j.deliveries, Reason: j.reason, DeadAt: c.wall(j.at),
	}
}
