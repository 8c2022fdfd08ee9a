package batch

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/batch-go/batch/driver"
)

// WorkerConfig configures a [Worker]. Only Queues is required: a field that is zero has its
// default. One that is out of bounds is refused by [NewWorker] and [TryNewWorker].
type WorkerConfig struct {
	// Queues are the queues to work on, each with its own concurrency.
	Queues []WorkerQueue

	// Codecs decode job bodies by their content type. Defaults to JSON; a list of your
	// own has JSON only if you put it in. A job with another content type is treated
	// like one of an unknown kind.
	Codecs []Codec
	// Middleware wraps every handler; the first is the outermost.
	Middleware []Middleware
	// Hooks watch the worker. They do not replace the log.
	Hooks []Hook
	// Log is where the worker writes what happens. At level error these are dead
	// letters, panics and stuck handlers; at warn failures that will be retried, jobs
	// that are run alone, lost leases, and when the broker is lost and back; at info
	// the states of the worker; at debug each job that started or is done. Bodies and
	// headers are not logged, as they may hold data that must not be in a log. The
	// lines of a job have the context that the hooks made for it. Nil means
	// slog.Default(). Set it to slog.New(slog.DiscardHandler) to switch the log off.
	Log *slog.Logger
	// RetryPolicy is for kinds without one. Defaults to DefaultRetryPolicy.
	RetryPolicy RetryPolicy
	// MaxAttempts is for jobs and kinds without one: 1 to 1000. Defaults to 25.
	MaxAttempts int
	// Timeout is for jobs and kinds without one: 1 ms to 30 days. Defaults to
	// 30 min.
	Timeout time.Duration
	// MaxRedeliveries is how often a job may be lost after it was handed out,
	// because its worker or the connection died, before it counts as poison and
	// is dead-lettered: 1 to 1000. Defaults to 20, as in RabbitMQ. A job that was lost
	// three times, or half of MaxRedeliveries if that is fewer, runs alone: its worker
	// gives back what else it holds, on all queues, waits for what runs, and starts
	// nothing else until the job is settled. So a job that kills its workers takes no
	// others with it.
	MaxRedeliveries int
	// BounceTimeout is how long a job is put back again and again that this worker
	// cannot run, for a reason that may pass: its kind has no handler here, its content
	// type no codec, or the codec says [Unreadable]. After that it is dead-lettered.
	// The time counts from the first worker that put it back since it last ran. It
	// should be longer than a deployment takes: 1 ms to 30 days. Defaults to 24 h.
	BounceTimeout time.Duration
	// StuckAfter is how long a handler may continue after its timeout before it
	// counts as stuck and loses its slot: 1 ms to an hour. Defaults to 30 s.
	StuckAfter time.Duration

	// StartTimeout is how long the worker tries to start while the broker cannot be
	// reached: 1 ms to 24 h. Defaults to 30 s.
	StartTimeout time.Duration
	// StopTimeout is how long a stop may take in all, if its context has no deadline:
	// 1 ms to 24 h. Defaults to 25 s, which is within the 30 s that Kubernetes gives a
	// process to end. Of these, jobs may finish for 15 s, and are then cancelled:
	// CancelTimeout is taken out of the total, and so is a fifth of it, 5 s at most,
	// for settling and closing.
	StopTimeout time.Duration
	// CancelTimeout is how long a handler that was cancelled because the worker stops
	// may take to return, before its job is given back without it: 1 ms to an hour, and
	// at most half of what a stop has left then. Defaults to 5 s. Handlers that write
	// down how far they have come may need more, and StopTimeout then too.
	CancelTimeout time.Duration
	// SettleTimeout is how long the worker tries to tell the broker what became
	// of a job. After that it gives up, and the broker hands the job out again:
	// 1 ms to an hour. Defaults to 60 s.
	SettleTimeout time.Duration
}

// WorkerQueue is a queue that a worker works on.
type WorkerQueue struct {
	// Name is the name of the queue.
	Name string
	// Concurrency is how many of its jobs run at the same time: 1 to 10 000.
	// Defaults to 10.
	Concurrency int
	// Prefetch is how many more jobs the worker holds, so that a free slot need
	// not wait for the broker: exactly this number, up to 10 000, or NoPrefetch for none.
	// Prefetched jobs of a higher priority start first.
	//
	// Zero means that the worker adapts. It prefetches as many jobs as start within a
	// second, up to Concurrency, and where handlers are short as many as last for 20 ms or
	// four round trips of the broker, up to MaxPrefetch: with a Concurrency of 10 none where
	// handlers take longer than 20 s, and none before the first has returned. A job that it
	// prefetched and that has not started after two seconds, or a quarter of the lease if
	// that is shorter, is given back, so that another worker may run it. Beyond Concurrency
	// jobs, the bodies of what it prefetches take up to 64 MiB, which the queues of a worker
	// share equally. [Worker.Prefetch] tells the present number. On RabbitMQ, which sends
	// jobs by a fixed number, it is Concurrency, or MaxPrefetch if that is less.
	Prefetch int
	// MaxPrefetch bounds what the worker prefetches where Prefetch is zero: 1 to 10 000.
	// Defaults to 1000. With a Prefetch, or NoPrefetch, it must be zero.
	MaxPrefetch int
	// Lease is how long the broker waits for a sign of life before it hands a job
	// to another worker. The worker extends it for as long as it holds the job,
	// whatever the job's timeout, so it only determines how long the jobs of a
	// dead worker wait. It must be within the driver's bounds, and defaults to
	// 30 s. Leave it zero on brokers whose lease is the connection (RabbitMQ).
	Lease time.Duration
}

// NoPrefetch as the Prefetch of a [WorkerQueue] means that no jobs are prefetched.
const NoPrefetch = -1

// complete sets defaults and checks every bound.
func (c *WorkerConfig) complete(info *driver.Info) error {
	if c.Codecs == nil {
		c.Codecs = []Codec{JSON{}}
	}
	if c.RetryPolicy == nil {
		c.RetryPolicy = DefaultRetryPolicy
	}
	for _, f := range []struct {
		name           string
		value          *int
		fallback, most int
	}{
		{"MaxAttempts", &c.MaxAttempts, 25, 1000},
		{"MaxRedeliveries", &c.MaxRedeliveries, 20, 1000},
	} {
		if err := completeInt(f.name, f.value, f.fallback, 1, f.most); err != nil {
			return err
		}
	}
	for _, f := range []struct {
		name           string
		value          *time.Duration
		fallback, most time.Duration
	}{
		{"Timeout", &c.Timeout, 30 * time.Minute, 30 * 24 * time.Hour},
		{"BounceTimeout", &c.BounceTimeout, 24 * time.Hour, 30 * 24 * time.Hour},
		{"StuckAfter", &c.StuckAfter, 30 * time.Second, time.Hour},
		{"StartTimeout", &c.StartTimeout, 30 * time.Second, 24 * time.Hour},
		{"StopTimeout", &c.StopTimeout, 25 * time.Second, 24 * time.Hour},
		{"CancelTimeout", &c.CancelTimeout, 5 * time.Second, time.Hour},
		{"SettleTimeout", &c.SettleTimeout, time.Minute, time.Hour},
	} {
		if err := completeDuration(f.name, f.value, f.fallback, time.Millisecond, f.most); err != nil {
			return err
		}
	}
	if len(c.Queues) == 0 {
		return invalid("Queues", "", "a list of at least one queue")
	}
	c.Queues = append([]WorkerQueue(nil), c.Queues...)
	seen := make(map[string]bool)
	for i := range c.Queues {
		q := &c.Queues[i]
		if err := q.complete(info); err != nil {
			return err
		}
		if seen[q.Name] {
			return invalid("Queues", "names "+quote(q.Name)+" twice", "a list that names each queue once")
		}
		seen[q.Name] = true
	}
	return nil
}

// codecs returns the codecs by content type.
func (c *WorkerConfig) codecs() (map[string]Codec, error) {
	all := make(map[string]Codec)
	for _, codec := range c.Codecs {
		if codec == nil {
			return nil, invalid("codec", "nil", "a Codec")
		}
		name, err := contentTypeOf(codec)
		if err != nil {
			return nil, err
		}
		if _, ok := all[name]; ok {
			return nil, invalid("codecs", "two for "+quote(name), "one for each content type")
		}
		all[name] = codec
	}
	return all, nil
}

// complete sets the queue's defaults and checks every bound.
func (q *WorkerQueue) complete(info *driver.Info) error {
	if err := checkQueueName(q.Name); err != nil {
		return err
	}
	const most = 10_000
	if err := completeInt("Concurrency of queue "+quote(q.Name), &q.Concurrency, 10, 1, most); err != nil {
		return err
	}
	if err := q.completePrefetch(info.Limits.Pushes, most); err != nil {
		return err
	}
	if info.Limits.MaxLease == 0 {
		if q.Lease != 0 {
			return invalid("Lease of queue "+quote(q.Name), q.Lease.String(), "unset on "+info.Driver+", whose lease is the connection")
		}
		return nil
	}
	fallback := min(max(30*time.Second, info.Limits.MinLease), info.Limits.MaxLease)
	return completeDuration("Lease of queue "+quote(q.Name), &q.Lease, fallback, info.Limits.MinLease, info.Limits.MaxLease)
}

// completePrefetch sets the defaults of Prefetch and MaxPrefetch and checks their bounds. They
// are the same if the number is fixed, and Prefetch is less if the worker adapts.
func (q *WorkerQueue) completePrefetch(fixed bool, most int) error {
	name := "Prefetch of queue " + quote(q.Name)
	if q.Prefetch != 0 && q.MaxPrefetch != 0 {
		return invalid("Max"+name, fmt.Sprint(q.MaxPrefetch), "unset where Prefetch is set, which is exact")
	}
	if q.Prefetch == NoPrefetch {
		q.Prefetch = 0
		return nil
	}
	if q.Prefetch == 0 {
		if err := completeInt("Max"+name, &q.MaxPrefetch, 1000, 1, most); err != nil || !fixed {
			return err
		}
		q.Prefetch = min(q.Concurrency, q.MaxPrefetch)
	}
	if q.Prefetch < 1 || q.Prefetch > most {
		return invalid(name, fmt.Sprint(q.Prefetch), fmt.Sprintf("1 to %d, NoPrefetch for none, or unset", most))
	}
	q.MaxPrefetch = q.Prefetch
	return nil
}

// completeInt replaces zero by a default and checks a bound.
func completeInt(name string, value *int, fallback, least, most int) error {
	if *value == 0 {
		*value = fallback
	}
	if *value < least || *value > most {
		return invalid(name, fmt.Sprint(*value), fmt.Sprintf("%d to %d", least, most))
	}
	return nil
}

// completeDuration replaces zero by a default and checks a bound.
func completeDuration(name string, value *time.Duration, fallback, least, most time.Duration) error {
	if *value == 0 {
		*value = fallback
	}
	if *value < least || *value > most {
		return invalid(name, value.String(), span(least)+" to "+span(most))
	}
	return nil
}
