package batch

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/batch-go/batch/driver"
)

// task is one delivery while this worker is responsible for it: from Receive until
// its settlement is confirmed or its lease is lost.
type task struct {
	delivery *driver.Delivery
	handler  *handler // nil if the kind is unknown
	job      JobInfo
	// received is when it was.
	received time.Time
	// maxAttempts is the job's bound, which a hook cannot change here.
	maxAttempts int

	// state decides what ends the task: the slot that runs it, or what detaches
	// its handler.
	state atomic.Int32
	// lost is set when the lease is; nothing is settled then.
	lost atomic.Bool
	// The following fields are written before state becomes taskRunning, and
	// other goroutines read them only after that.

	// ctx is the handler's.
	ctx jobContext
	// started is when the handler was called, and overdueAt is when it counts as
	// stuck.
	started, overdueAt time.Time

	// watched is the context that the hooks made for the job, without its end. It is
	// nil until then, and if they left it as it was.
	watched atomic.Pointer[context.Context]

	// owed is what the hooks have yet to be told about the end of a task that was
	// detached while they were told about its start: it is &starting meanwhile.
	owed atomic.Pointer[JobEnd]

	// inTx is set when the handler ends the job in a transaction: with its commit the broker
	// does not know the delivery any more. uncommitted is what becomes of the job if that is
	// not committed and the handler returned nil; it is set with the end of such a task.
	inTx        atomic.Bool
	uncommitted *reverted

	// settlement is what the broker is told, written when the task ends.
	settlement driver.Settlement
	// uncertain is set after a try to settle whose fate is unknown. If the next
	// try is told that the lease is lost, then the first was carried out.
	uncertain bool
	// settleBy is until when the broker is told, zero before the first try, and tries is how
	// often it refused without a remedy.
	settleBy time.Time
	tries    int

	// The neighbours in the keeper's list, guarded by its mutex.
	previous, next *task
	// extended is when the task was received or its lease last extended, guarded
	// likewise.
	extended time.Time
}

// reverted is a verdict for a job that is not done although its handler returned nil.
type reverted struct {
	verdict Verdict
	err     error
}

// The states of a task. Every move is a compare-and-swap, so that each task is
// ended exactly once.
const (
	// taskBuffered: received, waiting for a slot.
	taskBuffered int32 = iota
	// taskRunning: in a slot.
	taskRunning
	// taskReturned: its handler has returned or is not called, and the task ends.
	taskReturned
	// taskDetached: its handler did not return and is not waited for, and the task
	// ends.
	taskDetached
	// taskDropped: its lease was lost before it ran.
	taskDropped
)

// starting stands for the end of a task while hooks are told about its start.
var starting JobEnd

// owes reports whether the hooks are told about the end of the task when they have been
// told about its start. Otherwise it is for the caller to do, at once.
func (t *task) owes(e JobEnd) bool {
	if t.owed.Load() != &starting {
		return false
	}
	later := e // only this one is kept
	return t.owed.CompareAndSwap(&starting, &later)
}

// ended reports whether the task's fate was decided.
func (t *task) ended() bool {
	s := t.state.Load()
	return s == taskReturned || s == taskDetached
}

// forHooks is the context that hooks are called with, if working is that of the worker.
func (t *task) forHooks(working context.Context) context.Context {
	if ctx := t.watched.Load(); ctx != nil {
		return *ctx
	}
	return working
}

// history are the facts that the delivery has.
func (t *task) history(s stage, err error) facts {
	d := t.delivery
	return facts{stage: s, failures: d.Failures, bounces: d.Bounces, bouncedSince: d.BouncedSince, err: err}
}
