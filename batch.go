package batch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/batch-go/batch/driver"
)

// Queue is a handle on a named queue of a broker with the capability set D. It
// is safe for concurrent use, holds no goroutine when idle, and need not be
// closed: it lives as long as its driver.
//
// An enqueue, an import, a worker and [Queue.Declare] make the queue exist. Nothing
// else does: what reads a queue that does not exist, or administers it, returns an
// error that wraps [ErrNotFound]. Only [Queue.Delete] has nothing to do then.
//
// A call returns when the broker has answered, or promptly when its ctx ends. Nothing else
// bounds it, unless its comment says so: with [context.Background] it waits for as long as
// the broker does not answer. An enqueue has the time of [WithEnqueueTimeout] in all, and an
// import has it for each of its requests. If ctx ends, the broker may have done what was
// asked of it nevertheless.
//
// What needs a capability is a function that takes the queue, and no method, because a
// method cannot ask for more than D has: [EnqueueAtomic], [ListJobs], [FindJob],
// [DeleteJob], [Purge], [Pause], [Resume], [Paused], [Import] and [RedriveWithBody],
// and the options. So is [EnqueueAll], for the type of its args. [As] gives the queue
// another capability set at run time, and [Admin] one without any.
type Queue[D Driver] struct {
	driver   D
	name     string
	producer *producer
	defaults []func(*draft) error // options, by With
}

// NewQueue makes the handle on a queue. It does not talk to the broker; the first
// enqueue declares the queue. The name is 1 to 64 bytes of [A-Za-z0-9_-]. A name or
// option that is out of bounds is a programming error and panics; [TryNewQueue]
// returns it instead.
//
// D is inferred from the driver's type. To write code that does not depend on
// the broker, name the capability set that it needs:
//
//	emails := batch.NewQueue[Broker](d, "emails")
func NewQueue[D Driver](d D, name string, options ...QueueOption) *Queue[D] {
	q, err := TryNewQueue(d, name, options...)
	if err != nil {
		panic(err.Error())
	}
	return q
}

// TryNewQueue is [NewQueue] for names that are not constants: a name or option
// that is out of bounds is an error that wraps [ErrInvalid].
func TryNewQueue[D Driver](d D, name string, options ...QueueOption) (*Queue[D], error) {
	if err := checkDriver(d); err != nil {
		return nil, err
	}
	if err := checkQueueName(name); err != nil {
		return nil, err
	}
	config := producerConfig{codec: JSON{}, timeout: 30 * time.Second}
	for _, o := range options {
		if o.apply == nil {
			return nil, invalid("queue option", "the zero QueueOption", "made by one of the option functions")
		}
		if err := o.apply(&config); err != nil {
			return nil, err
		}
	}
	p, err := newProducer(d, name, config)
	if err != nil {
		return nil, err
	}
	return &Queue[D]{driver: d, name: name, producer: p}, nil
}

// Name is the queue's name.
func (q *Queue[D]) Name() string { return q.name }

// Driver is the driver that the queue was made with.
func (q *Queue[D]) Driver() D { return q.driver }

// Codec is the codec of this handle, which encodes the args of the jobs that are enqueued
// with it. With it a tool or a test can decode the bodies that [ListJobs] shows.
func (q *Queue[D]) Codec() Codec { return q.producer.codec }

// Declare makes the queue exist on the broker. Enqueueing does so too; call
// Declare to fail when the program starts. If the queue exists with other
// properties, the error wraps [ErrConflict]. It tries once, and only ctx bounds it.
func (q *Queue[D]) Declare(ctx context.Context) error { return q.producer.declaration.declare(ctx) }

// Exists tells whether the queue is on the broker. It makes nothing there. Only ctx bounds
// it.
func (q *Queue[D]) Exists(ctx context.Context) (bool, error) {
	return exists(ctx, q.producer.driver, q.name)
}

// exists asks for the queue's depth, whose cost does not grow with the queue.
func exists(ctx context.Context, d Driver, queue string) (bool, error) {
	_, err := d.Depth(ctx, queue)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Depth counts the queue's jobs by state. A count that the broker cannot tell
// is [UnknownCount]. If the queue does not exist, the error wraps [ErrNotFound]. Only ctx
// bounds it.
func (q *Queue[D]) Depth(ctx context.Context) (Depth, error) {
	depth, err := q.producer.driver.Depth(ctx, q.name)
	return believeDepth(depth), err
}

// Delete removes the queue from the broker with all its jobs, including running
// ones and dead letters. A queue that does not exist is not an error. The next
// enqueue declares it again, also one of another process, and so does a worker that
// runs on it. Only ctx bounds it.
func (q *Queue[D]) Delete(ctx context.Context) error {
	err := q.producer.driver.DeleteQueue(ctx, q.name)
	q.producer.declaration.forget()
	return err
}

// tell makes a call to the driver that a capability adds, and tells the hooks.
func (q *Queue[D]) tell(ctx context.Context, op Op, do func() error) error {
	return q.producer.hooks.tell(ctx, op, q.name, do)
}

// Depth counts jobs by state: Waiting, Scheduled, Running and Dead. Due is how many of
// the Scheduled ones only wait for a worker to take them, and Age how long the oldest
// of the Waiting ones has waited. A count that the broker cannot tell is
// [UnknownCount], and an age [UnknownAge]; both are negative, so check before you
// add. The fields are those of [driver.Depth].
type Depth = driver.Depth

// UnknownCount is a count that the broker cannot tell: -1.
const UnknownCount = driver.UnknownCount

// UnknownAge is an age that the broker cannot tell: -1 ns.
const UnknownAge = driver.UnknownAge

// QueueOption configures the handle on a queue, not the queue on the broker.
type QueueOption struct {
	apply func(*producerConfig) error
}

// WithCodec encodes the args of jobs with codec. Defaults to [JSON]. Workers need
// the same codec, in WorkerConfig.Codecs.
func WithCodec(codec Codec) QueueOption {
	return QueueOption{func(c *producerConfig) error {
		if codec == nil {
			return invalid("codec", "nil", "a Codec")
		}
		c.codec = codec
		return nil
	}}
}

// WithHooks makes hooks watch what is done with this handle. Given twice, it adds to
// the first.
func WithHooks(list ...Hook) QueueOption {
	return QueueOption{func(c *producerConfig) error { return c.hooks.append(list...) }}
}

// WithEnqueueMiddleware wraps the enqueues of this handle; the first is the
// outermost. Given twice, the second list comes after the first.
func WithEnqueueMiddleware(list ...EnqueueMiddleware) QueueOption {
	return QueueOption{func(c *producerConfig) error {
		for i, m := range list {
			if m == nil {
				return invalid(fmt.Sprintf("enqueue middleware %d", i+1), "nil", "a function")
			}
		}
		c.middleware = append(c.middleware, list...)
		return nil
	}}
}

// WithEnqueueTimeout bounds how long an enqueue waits for the broker, in addition
// to the caller's context: 1 ms to an hour. Within it, batch tries again while the
// broker cannot be reached and the job is certainly not stored. Defaults to 30 s.
func WithEnqueueTimeout(d time.Duration) QueueOption {
	return QueueOption{func(c *producerConfig) error {
		if d < time.Millisecond || d > time.Hour {
			return invalid("enqueue timeout", d.String(), "1ms to 1h")
		}
		c.timeout = d
		return nil
	}}
}
