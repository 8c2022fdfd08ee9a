package batch

import (
	"context"

	"github.com/batch-go/batch/driver"
)

// QueueAdmin is a queue as a tool sees it: a command line, a dashboard, a program that
// moves queues. It has no type parameter. What not every broker can do is a method
// like all others, and returns a [*CapabilityError] if the broker cannot; the methods
// that begin with Can tell before. Only ctx bounds a call, and the queue's enqueue timeout of
// 30 s each request of an import. Only Declare makes the queue: if that does not
// exist, the errors of the others wrap [ErrNotFound], except that of Delete, which is
// nil.
//
// An application that has its queues in its types uses [Queue], on which such a call
// does not compile. A QueueAdmin is safe for concurrent use, and need not be closed.
type QueueAdmin struct {
	driver Driver
	name   string
}

// Admin makes the handle on a queue for a tool. It does not talk to the broker. The
// error wraps [ErrInvalid], and is about the name, which is 1 to 64 bytes of
// [A-Za-z0-9_-], or a nil driver.
func Admin(d Driver, queue string) (*QueueAdmin, error) {
	if err := checkDriver(d); err != nil {
		return nil, err
	}
	if err := checkQueueName(queue); err != nil {
		return nil, err
	}
	return &QueueAdmin{driver: d, name: queue}, nil
}

// Name is the queue's name.
func (a *QueueAdmin) Name() string { return a.name }

// Driver is the driver that the handle was made with.
func (a *QueueAdmin) Driver() Driver { return a.driver }

// Exists is [Queue.Exists].
func (a *QueueAdmin) Exists(ctx context.Context) (bool, error) { return exists(ctx, a.driver, a.name) }

// Declare makes the queue exist, as [Queue.Declare] does. No other method does.
func (a *QueueAdmin) Declare(ctx context.Context) error { return a.driver.Declare(ctx, a.name) }

// Depth is [Queue.Depth].
func (a *QueueAdmin) Depth(ctx context.Context) (Depth, error) {
	depth, err := a.driver.Depth(ctx, a.name)
	return believeDepth(depth), err
}

// Delete removes the queue with all its jobs, as [Queue.Delete] does.
func (a *QueueAdmin) Delete(ctx context.Context) error { return a.driver.DeleteQueue(ctx, a.name) }

// DeadLetters is [Queue.DeadLetters].
func (a *QueueAdmin) DeadLetters() DeadLetters { return DeadLetters{a.driver, a.name} }

// CanInspect tells whether the broker has what [Inspector] stands for: ListJobs,
// FindJob and DeleteJob.
func (a *QueueAdmin) CanInspect() bool { return has[driver.Inspector](a.driver) }

// ListJobs is [ListJobs].
func (a *QueueAdmin) ListJobs(ctx context.Context, state State, cursor string, max int) (page []Entry, next string, err error) {
	d, err := need[driver.Inspector](a.driver)
	if err != nil {
		return nil, "", err
	}
	return listJobs(ctx, d, a.name, state, cursor, max)
}

// FindJob is [FindJob].
func (a *QueueAdmin) FindJob(ctx context.Context, id string) (Entry, error) {
	d, err := need[driver.Inspector](a.driver)
	if err != nil {
		return Entry{}, err
	}
	return d.Find(ctx, a.name, id)
}

// DeleteJob is [DeleteJob].
func (a *QueueAdmin) DeleteJob(ctx context.Context, id string) error {
	d, err := need[driver.Inspector](a.driver)
	if err != nil {
		return err
	}
	return d.Delete(ctx, a.name, id)
}

// CanPause tells whether the broker has what [Pauser] stands for: Pause, Resume and
// Paused.
func (a *QueueAdmin) CanPause() bool { return has[driver.Pauser](a.driver) }

// Pause is [Pause].
func (a *QueueAdmin) Pause(ctx context.Context) error {
	d, err := need[driver.Pauser](a.driver)
	if err != nil {
		return err
	}
	return d.Pause(ctx, a.name)
}

// Resume is [Resume].
func (a *QueueAdmin) Resume(ctx context.Context) error {
	d, err := need[driver.Pauser](a.driver)
	if err != nil {
		return err
	}
	return d.Resume(ctx, a.name)
}

// Paused is [Paused].
func (a *QueueAdmin) Paused(ctx context.Context) (bool, error) {
	d, err := need[driver.Pauser](a.driver)
	if err != nil {
		return false, err
	}
	return d.Paused(ctx, a.name)
}

// CanImport tells whether the broker has what [Importer] stands for: Import and
// RedriveWithBody.
func (a *QueueAdmin) CanImport() bool { return has[driver.Importer](a.driver) }

// Import is [Import] into a queue that exists. If it does not, nothing is sent.
func (a *QueueAdmin) Import(ctx context.Context, entries []Entry) ([]Result, error) {
	q, err := a.importing(ctx)
	if err != nil {
		return nil, err
	}
	return Import(ctx, q, entries)
}

// RedriveWithBody is [RedriveWithBody].
func (a *QueueAdmin) RedriveWithBody(ctx context.Context, dead DeadLetter, body []byte) error {
	q, err := a.importing(ctx)
	if err != nil {
		return err
	}
	return RedriveWithBody(ctx, q, dead, body)
}

// importing is the queue for an import, if it exists: an import declares it.
func (a *QueueAdmin) importing(ctx context.Context) (*Queue[Importer], error) {
	d, err := need[Importer](a.driver)
	if err != nil {
		return nil, err
	}
	if _, err := d.Depth(ctx, a.name); err != nil {
		return nil, err
	}
	return TryNewQueue(d, a.name)
}

// CanPurge tells whether the broker has what [Purger] stands for: Purge.
func (a *QueueAdmin) CanPurge() bool { return has[driver.Purger](a.driver) }

// Purge is [Purge].
func (a *QueueAdmin) Purge(ctx context.Context) (int, error) {
	d, err := need[driver.Purger](a.driver)
	if err != nil {
		return 0, err
	}
	return d.Purge(ctx, a.name)
}

// AdminQueues is [ListQueues] for a tool: if the broker is no [QueueLister], the error
// is a [*CapabilityError].
func AdminQueues(ctx context.Context, d Driver) ([]string, error) {
	if err := checkDriver(d); err != nil {
		return nil, err
	}
	l, err := need[driver.QueueLister](d)
	if err != nil {
		return nil, err
	}
	return l.ListQueues(ctx)
}
