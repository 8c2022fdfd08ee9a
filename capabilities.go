package batch

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/batch-go/batch/driver"
)

// Driver is what every broker can do. It is the constraint of a [Queue], and
// the capability set of a program that relies on nothing else.
type Driver = driver.Driver

// The capability sets. Each is a plain interface: a program that needs two
// declares one that embeds both, and names that wherever it would name a
// driver:
//
//	type Broker interface {
//		batch.Prioritizer
//		batch.Delayer
//	}
type (
	// Prioritizer brokers hand out jobs of a higher level first, strictly.
	// See [Priority].
	Prioritizer interface {
		Driver
		driver.Prioritizer
	}

	// Delayer brokers hold a job back until a time. See [Delay] and [At].
	Delayer interface {
		Driver
		driver.Delayer
	}

	// Deduplicator brokers refuse a second job with the same key. See [Unique].
	Deduplicator interface {
		Driver
		driver.Deduplicator
	}

	// Grouper brokers run the jobs of a group one at a time, in order. See
	// [Group].
	Grouper interface {
		Driver
		driver.Grouper
	}

	// AtomicEnqueuer brokers store many jobs or none. See [EnqueueAtomic].
	AtomicEnqueuer interface {
		Driver
		driver.AtomicEnqueuer
	}

	// Inspector brokers show the jobs of a queue without consuming them. See
	// [List], [Find] and [Delete].
	Inspector interface {
		Driver
		driver.Inspector
	}

	// Pauser brokers stop handing out the jobs of a queue. See [Pause].
	Pauser interface {
		Driver
		driver.Pauser
	}
)

// Priority is a job's level. Without it a job is Normal.
func Priority[D Prioritizer](q *Queue[D], level Level) Option[D] {
	return Option[D]{func(s *settings) error {
		if level < Trivial || level > Critical {
			return invalid("Priority", fmt.Sprint(int(level)), "one of Trivial, Low, Normal, High, Critical")
		}
		s.message.Level = level
		return nil
	}}
}

// Delay holds the job back for d from when the broker stores it: zero to the
// driver's MaxDelay. It cannot be combined with [Group].
func Delay[D Delayer](q *Queue[D], d time.Duration) Option[D] {
	return Option[D]{func(s *settings) error { return s.setDelay("Delay", d, q.driver.MaxDelay()) }}
}

// At holds the job back until t, by this process's clock; a time that has
// passed means no delay. It cannot be combined with [Group].
func At[D Delayer](q *Queue[D], t time.Time) Option[D] {
	return Option[D]{func(s *settings) error { return s.setDelay("At", max(time.Until(t), 0), q.driver.MaxDelay()) }}
}

// Unique makes the job a duplicate if a job with the same key was enqueued on
// the queue within the driver's DedupWindow: it is not stored then, and its
// [Receipt] says so. The key is 1 to 128 bytes of printable ASCII without
// spaces.
func Unique[D Deduplicator](q *Queue[D], key string) Option[D] {
	return Option[D]{func(s *settings) error {
		if err := checkToken("Unique key", key); err != nil {
			return err
		}
		s.message.DedupKey = key
		return nil
	}}
}

// Group puts the job into a group: it is handed out only when every job of the
// group that was enqueued before is done or dead. The name is 1 to 128 bytes of
// printable ASCII without spaces. It cannot be combined with [Delay] or [At].
func Group[D Grouper](q *Queue[D], name string) Option[D] {
	return Option[D]{func(s *settings) error {
		if err := checkToken("Group", name); err != nil {
			return err
		}
		s.message.Group = name
		return nil
	}}
}

// EnqueueAtomic stores all jobs or none. It returns a receipt for each job, in
// their order, or an error: an [*EnqueueError] with FateNotStored says that
// none is stored, one with FateUnknown that either all or none are. It is an
// error that wraps [ErrDuplicate] if one of the jobs is a duplicate by
// [Unique]. The number of jobs is bounded by the driver's AtomicLimit, the sum
// of their sizes by its limits.
func EnqueueAtomic[D AtomicEnqueuer](ctx context.Context, q *Queue[D], requests []Request[D]) ([]Receipt, error) {
	if limit := q.driver.AtomicLimit(); len(requests) > limit {
		return nil, invalid("number of jobs", fmt.Sprint(len(requests)), fmt.Sprintf("at most %d in one atomic enqueue on %s", limit, q.producer.info.Driver))
	}
	messages := make([]*driver.Message, len(requests))
	for i, r := range requests {
		m, err := prepare(ctx, q, r.Args, r.Options)
		if err != nil {
			return nil, fmt.Errorf("job %d of %d: %w", i+1, len(requests), err)
		}
		messages[i] = m
	}
	return q.producer.enqueueAtomic(ctx, messages, q.driver.EnqueueAtomic)
}

// State is where a job stands.
type State = driver.State

// The states that [List] shows.
const (
	Waiting      = driver.Waiting
	Scheduled    = driver.Scheduled
	DeadLettered = driver.DeadLettered
)

// Entry is a job as [List] and [Find] show it.
type Entry = driver.Entry

// List returns at most max (1 to 1000) of a queue's jobs in a state, starting
// at cursor, which is empty for the first page and else the next of the page
// before; an empty next means that there are no more.
func List[D Inspector](ctx context.Context, q *Queue[D], state State, cursor string, max int) (page []Entry, next string, err error) {
	if state < Waiting || state > DeadLettered {
		return nil, "", invalid("state", fmt.Sprint(int(state)), "one of Waiting, Scheduled, DeadLettered")
	}
	if err := checkPage(max); err != nil {
		return nil, "", err
	}
	if err := q.producer.declare(ctx); err != nil {
		return nil, "", err
	}
	return q.driver.List(ctx, q.name, state, cursor, max)
}

// Find returns the job with this ID if it is waiting, scheduled or dead, else
// an error that wraps [ErrNotFound]. It may read the whole queue.
func Find[D Inspector](ctx context.Context, q *Queue[D], id string) (Entry, error) {
	if err := q.producer.declare(ctx); err != nil {
		return Entry{}, err
	}
	return q.driver.Find(ctx, q.name, id)
}

// Delete removes the job with this ID if it is waiting, scheduled or dead, else
// it is an error that wraps [ErrNotFound]. It may read the whole queue.
func Delete[D Inspector](ctx context.Context, q *Queue[D], id string) error {
	if err := q.producer.declare(ctx); err != nil {
		return err
	}
	return q.driver.Delete(ctx, q.name, id)
}

// Pause stops the broker from handing out the queue's jobs to any worker, until
// [Resume]. Jobs that workers hold already, prefetched ones included, still
// run. Enqueueing goes on.
func Pause[D Pauser](ctx context.Context, q *Queue[D]) error {
	if err := q.producer.declare(ctx); err != nil {
		return err
	}
	return q.driver.Pause(ctx, q.name)
}

// Resume ends a [Pause].
func Resume[D Pauser](ctx context.Context, q *Queue[D]) error {
	if err := q.producer.declare(ctx); err != nil {
		return err
	}
	return q.driver.Resume(ctx, q.name)
}

// Paused tells whether the queue is paused.
func Paused[D Pauser](ctx context.Context, q *Queue[D]) (bool, error) {
	if err := q.producer.declare(ctx); err != nil {
		return false, err
	}
	return q.driver.Paused(ctx, q.name)
}

// capability is one row of the table of what a driver may be capable of.
type capability struct {
	name string
	set  reflect.Type
}

// capabilities is the one list of all of them.
var capabilities = []capability{
	{"Prioritizer", reflect.TypeFor[driver.Prioritizer]()},
	{"Delayer", reflect.TypeFor[driver.Delayer]()},
	{"Deduplicator", reflect.TypeFor[driver.Deduplicator]()},
	{"Grouper", reflect.TypeFor[driver.Grouper]()},
	{"AtomicEnqueuer", reflect.TypeFor[driver.AtomicEnqueuer]()},
	{"Inspector", reflect.TypeFor[driver.Inspector]()},
	{"Pauser", reflect.TypeFor[driver.Pauser]()},
}

// Capabilities names the capability sets that d has, in the order of the
// documentation.
func Capabilities(d Driver) []string {
	var names []string
	t := reflect.TypeOf(d)
	for _, c := range capabilities {
		if t.Implements(c.set) {
			names = append(names, c.name)
		}
	}
	return names
}

// CapabilityError says that a broker opened by URL lacks what the program
// relies on. It wraps [ErrCapability].
type CapabilityError struct {
	// Driver and Broker name what was opened.
	Driver, Broker string
	// Missing names the capability sets that it lacks.
	Missing []string
	// Have lists, for each of Missing, the registered drivers that have it.
	Have map[string][]string
}

// Error names the broker, what is missing and who has it.
func (e *CapabilityError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "batch: driver %s (%s) lacks ", e.Driver, e.Broker)
	for i, name := range e.Missing {
		if i > 0 {
			b.WriteString(", and ")
		}
		have := "no registered driver has it"
		var list []string
		for _, other := range e.Have[name] {
			if other == e.Driver { // it has a type for each shape of its queues
				other += " (opened by another URL)"
			}
			list = append(list, other)
		}
		if len(list) > 0 {
			have = "had by: " + strings.Join(list, ", ")
		}
		fmt.Fprintf(&b, "%s (%s)", name, have)
	}
	return b.String()
}

// Unwrap returns ErrCapability.
func (e *CapabilityError) Unwrap() error { return ErrCapability }

// missing builds the error for a driver that does not have the set want.
func missing(d Driver, want reflect.Type) error {
	info := d.Info()
	e := &CapabilityError{Driver: info.Driver, Broker: strings.TrimSpace(info.Broker + " " + info.Version), Have: map[string][]string{}}
	have := reflect.TypeOf(d)
	for _, c := range capabilities {
		if !want.Implements(c.set) || have.Implements(c.set) {
			continue
		}
		e.Missing = append(e.Missing, c.name)
		for _, r := range driver.Registered() {
			for _, t := range r.Types {
				if reflect.TypeOf(t).Implements(c.set) {
					e.Have[c.name] = append(e.Have[c.name], r.Name)
					break
				}
			}
		}
	}
	if len(e.Missing) == 0 {
		// The program asked for methods that are no capability of this package.
		e.Missing = []string{want.String()}
	}
	return e
}
