package move

import (
	"strings"
	"time"

	"github.com/batch-go/batch"
)

// Option configures a [Run].
type Option struct{ apply func(*config) error }

// config is what the options set.
type config struct {
	queue, to   string
	kinds       map[string]bool // nil for all
	states      map[batch.State]bool
	drop        map[Property]bool
	leave, park bool
	only        bool // the states were named
	follow      bool
	concurrency int
	quiet       time.Duration
	patience    time.Duration
	progress    func(Progress)
	fault       func(error)
}

// newConfig has the defaults and applies the options.
func newConfig(queue string, options []Option) (config, error) {
	c := config{
		queue: queue, to: queue, concurrency: 4, quiet: 5 * time.Second, patience: time.Minute,
		states: map[batch.State]bool{batch.StateWaiting: true, batch.StateScheduled: true, batch.StateDead: true},
		drop:   make(map[Property]bool), progress: func(Progress) {}, fault: func(error) {},
	}
	for _, o := range options {
		if o.apply == nil {
			return c, invalid("option", "the zero Option", "made by one of the option functions")
		}
		if err := o.apply(&c); err != nil {
			return c, err
		}
	}
	return c, c.settle()
}

// settle looks at options that bear on each other.
func (c *config) settle() error {
	switch {
	case !c.park:
	case c.leave:
		return invalid("Park", "with LeaveRefused", "one of the two")
	case c.only && c.states[batch.StateDead]:
		return invalid("Park", "with Only(StateDead)", "without dead letters: it makes some of what would be moved again and again")
	default:
		c.states[batch.StateDead] = false
	}
	return nil
}

// selective tells whether jobs may have to stay on the source, so that it is never empty.
func (c *config) selective() bool { return c.kinds != nil || c.leave }

// wants tells whether jobs of a kind are moved.
func (c *config) wants(kind string) bool { return c.kinds == nil || c.kinds[kind] }

// invalid is the error of a value that is out of bounds.
func invalid(field, value, bound string) error {
	return &batch.InvalidError{Field: field, Value: value, Bound: bound}
}

// To gives the queue another name on the target. Defaults to the same.
func To(queue string) Option {
	return Option{func(c *config) error {
		c.to = queue
		return nil
	}}
}

// Kinds moves jobs of these kinds only; there must be at least one. The others stay on the
// source, and are there for its workers but for the moments in which the mover looks for jobs
// of these kinds: it takes what waits, up to a thousand jobs at once, and gives the others
// back at their places. What is beyond that goes to the end of the queue. Then it leaves
// the queue alone for at least four times as long. Defaults to all kinds.
func Kinds(kinds ...string) Option {
	return Option{func(c *config) error {
		if len(kinds) == 0 {
			return invalid("Kinds", "none", "at least one kind")
		}
		if c.kinds == nil {
			c.kinds = make(map[string]bool)
		}
		for _, kind := range kinds {
			if kind == "" {
				return invalid("Kinds", `""`, "the name of a kind")
			}
			c.kinds[kind] = true
		}
		return nil
	}}
}

// Only moves jobs in these states only: several movers share the waiting jobs of a queue, and
// one of them has the scheduled jobs and the dead letters. A scheduled job that becomes due is
// a waiting one. Defaults to all three.
func Only(states ...batch.State) Option {
	return Option{func(c *config) error {
		c.states = make(map[batch.State]bool)
		for _, s := range states {
			if s < batch.StateWaiting || s > batch.StateDead {
				return invalid("state", s.String(), "one of StateWaiting, StateScheduled, StateDead")
			}
			c.states[s] = true
		}
		if len(states) == 0 {
			return invalid("Only", "none", "at least one state")
		}
		c.only = true
		return nil
	}}
}

// Drop gives up properties of jobs that the target cannot keep. Without it such a job stops
// the move with a [*RefusedError]. What the target can keep is kept. Defaults to none.
func Drop(properties ...Property) Option {
	return Option{func(c *config) error {
		for _, p := range properties {
			if !p.droppable() {
				return invalid("property", string(p), "one of "+strings.Join(Droppable(), ", "))
			}
			c.drop[p] = true
		}
		return nil
	}}
}

// LeaveRefused leaves jobs on the source that the target cannot keep, instead of stopping at the
// first: [Progress].Refused counts them, and [OnFault] gets a [*RefusedError] for each. They
// are treated as those of other kinds are by [Kinds].
func LeaveRefused() Option {
	return Option{func(c *config) error {
		c.leave = true
		return nil
	}}
}

// Park makes a dead letter of a job that the target cannot keep, on the source, instead of stopping at
// the first: so it is not in the way of those behind it, of its group neither, and is found with its reason,
// [batch.ReasonRefused], and the text of the [*RefusedError]. [Progress].Parked counts them, and
// [OnFault] gets the error of each. One that does not fit on the source with that text loses its headers. What is
// refused because of the state of the target, such as its settings, ends the move as without Park. A scheduled job is parked when it is due. Dead letters are not
// moved then: redrive those that were parked when the target can keep them.
func Park() Option {
	return Option{func(c *config) error {
		c.park = true
		return nil
	}}
}

// Follow goes on until ctx ends, and does not give up on a broker that cannot be reached.
// Without it a move ends when the source is empty.
func Follow() Option {
	return Option{func(c *config) error {
		c.follow = true
		return nil
	}}
}

// Concurrency is how many batches of jobs are under way at once: 1 to 64. With one, jobs without
// a group arrive in the order in which the source hands them out. Jobs of a group do so with
// any number. A move with [Kinds] or [LeaveRefused] has one. Defaults to 4.
func Concurrency(n int) Option {
	return Option{func(c *config) error {
		if n < 1 || n > 64 {
			return invalid("Concurrency", decimal(n), "1 to 64")
		}
		c.concurrency = n
		return nil
	}}
}

// Quiet is for how long the source must have been empty, with nothing running, before the move
// ends: 10 ms to an hour. Defaults to 5 s. On SQS, whose counts are late by some seconds, take a
// minute. RabbitMQ does not tell what runs: a job that fails there after the end is left on the source.
func Quiet(d time.Duration) Option {
	return duration("Quiet", d, 10*time.Millisecond, time.Hour, func(c *config) { c.quiet = d })
}

// Patience is for how long a broker may fail before the move ends with its error: zero to
// 24 hours. Errors that nothing but a person mends end it at once. Defaults to a minute.
// With [Follow] there is no bound.
func Patience(d time.Duration) Option {
	return duration("Patience", d, 0, 24*time.Hour, func(c *config) { c.patience = d })
}

// duration is an option that sets a duration within bounds.
func duration(name string, d, least, most time.Duration, set func(*config)) Option {
	return Option{func(c *config) error {
		if d < least || d > most {
			return invalid(name, d.String(), least.String()+" to "+most.String())
		}
		set(c)
		return nil
	}}
}

// OnProgress calls a function about once a second, with [Follow] every five seconds, and at the end,
// from one goroutine at a time. The move
// does not wait for it, except at the end.
func OnProgress(f func(Progress)) Option {
	return Option{func(c *config) error {
		if f == nil {
			return invalid("OnProgress", "nil", "a function")
		}
		c.progress = f
		return nil
	}}
}

// OnFault calls a function for each error after which the move goes on: a broker that could not
// be reached and is tried again, a job that may be doubled, a job that is left. It is called from several
// goroutines at once and must be fast.
func OnFault(f func(error)) Option {
	return Option{func(c *config) error {
		if f == nil {
			return invalid("OnFault", "nil", "a function")
		}
		c.fault = f
		return nil
	}}
}
