package memory

import (
	"time"

	"github.com/batch-go/batch/driver"
)

// instant is a time on a broker's own monotonic clock: since it was made.
type instant = time.Duration

// jobOverhead is what a job counts towards Options.MaxBytes besides its body
// and headers. It is what the job structure, its strings, its slot in a line and
// its lease take together, as measured, rounded up: too small, and the process
// takes more memory than MaxBytes says; too large, and it stores too few jobs.
const jobOverhead = 768

// headerOverhead is what each header counts besides its name and value: its
// share of the map.
const headerOverhead = 64

// levels is the number of priorities.
const levels = 5

// job is a stored job. While it is in a line neither at nor place changes.
type job struct {
	// msg is what was enqueued, with Delay zero. It never changes.
	msg driver.Message
	// size is what the job counts towards Options.MaxBytes. It never changes.
	size int64

	// The queue's mu guards following.

	// at is when a scheduled job is due or a dead one died; else zero.
	at instant
	// place orders jobs of the same at, and names them: no two jobs of a queue
	// have the same.
	place uint64
	// lease is held while the job is running; else nil.
	lease *lease
	// prev and next are the neighbours in the job's chain: its group, or, once
	// it is dead, the dead letters of the same ID.
	prev, next *job

	failures     int
	deliveries   int
	redeliveries int
	lastError    string
	reason       string
}

// newJob copies a message, whose struct is the caller's again after the call.
// headers is its HeaderSize.
func newJob(m *driver.Message, headers int) *job {
	j := &job{msg: *m, size: int64(jobOverhead + len(m.Body) + headers + headerOverhead*len(m.Headers))}
	j.msg.Delay = 0
	return j
}

// rank is the index of the job's level: 0 is handed out first.
func (j *job) rank() int { return int(driver.Critical - j.msg.Level) }

// before orders the jobs of a line.
func (j *job) before(at instant, place uint64) bool {
	if j.at != at {
		return j.at < at
	}
	return j.place < place
}

// entry shows the job to an inspector.
func (j *job) entry(b *Broker, state driver.State) driver.Entry {
	e := driver.Entry{
		Message: j.msg, State: state,
		Failures: j.failures, LastError: j.lastError, Deliveries: j.deliveries,
	}
	switch state {
	case driver.Scheduled:
		e.DueAt = b.wall(j.at)
	case driver.DeadLettered:
		e.Reason = j.reason
	}
	return e
}

// deadLetter shows a dead job.
func (j *job) deadLetter(b *Broker) driver.DeadLetter {
	return driver.DeadLetter{
		Message: j.msg, Failures: j.failures, LastError: j.lastError,
		Deliveries: j.deliveries, Reason: j.reason, DeadAt: b.wall(j.at),
	}
}
