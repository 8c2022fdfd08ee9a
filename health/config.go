package health

import (
	"fmt"
	"time"

	"github.com/batch-go/batch"
)

// Config configures a [Check]. A field that is zero has its default; one that is out of bounds is refused.
type Config struct {
	// Patience is how long the broker may be silent before the worker counts as not ready: a second to an hour.
	// Defaults to 30 s, which a restart of a broker mostly stays within.
	Patience time.Duration
	// ProbeTimeout is how long a probe waits for an answer of the broker, if nothing was heard from it for Patience and
	// nobody has asked: 1 ms to a minute. Defaults to 800 ms, as Kubernetes gives a probe one second.
	ProbeTimeout time.Duration
	// MaxStuck is how many handlers may be stuck at the same time before the worker counts as dead: 1 to 10 000, or
	// NoMaxStuck for any number. Defaults to 10. A handler is stuck if it runs on for WorkerConfig.StuckAfter after its
	// context has ended. Its slot is given to another job, but its goroutine stays, with what it holds, and only a
	// restart frees that.
	MaxStuck int
}

// NoMaxStuck as Config.MaxStuck means that stuck handlers do not make a worker dead.
const NoMaxStuck = -1

// complete sets defaults and checks every bound.
func (c *Config) complete() error {
	if err := completeDuration("Patience", &c.Patience, 30*time.Second, time.Second, time.Hour); err != nil {
		return err
	}
	if err := completeDuration("ProbeTimeout", &c.ProbeTimeout, 800*time.Millisecond, time.Millisecond, time.Minute); err != nil {
		return err
	}
	const most = 10_000
	switch {
	case c.MaxStuck == 0:
		c.MaxStuck = 10
	case c.MaxStuck == NoMaxStuck:
	case c.MaxStuck < 1 || c.MaxStuck > most:
		return &batch.InvalidError{Field: "MaxStuck", Value: fmt.Sprint(c.MaxStuck), Bound: fmt.Sprintf("1 to %d, NoMaxStuck for any number, or unset", most)}
	}
	return nil
}

// completeDuration replaces zero by a default and checks a bound.
func completeDuration(field string, d *time.Duration, fallback, least, most time.Duration) error {
	if *d == 0 {
		*d = fallback
	}
	if *d < least || *d > most {
		return &batch.InvalidError{Field: field, Value: d.String(), Bound: fmt.Sprintf("%s to %s", least, most)}
	}
	return nil
}
