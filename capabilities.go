package batch

import (
	"reflect"

	"github.com/batch-go/batch/driver"
)

// Driver is what every broker can do. It is the constraint of a [Queue], and
// the capability set of a program that needs nothing more.
type Driver = driver.Driver

// The capability sets. Each is a plain interface. A program that needs two
// declares an interface that embeds both, and names it wherever it would name
// a driver:
//
//	type Broker interface {
//		batch.Prioritizer
//		batch.Delayer
//	}
type (
	// Prioritizer brokers always hand out jobs of a higher level first.
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

	// Deduplicator brokers do not store a second job with the same key. See
	// [Unique].
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

	// AtomicEnqueuer brokers can store either all of many jobs or none. See
	// [EnqueueAtomic].
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

	// Pauser brokers can stop handing out the jobs of a queue. See [Pause].
	Pauser interface {
		Driver
		driver.Pauser
	}
)

// capability is one row of the table of capabilities.
type capability struct {
	name string
	set  reflect.Type
}

// capabilities is the only list of all of them.
var capabilities = []capability{
	{"Prioritizer", reflect.TypeFor[driver.Prioritizer]()},
	{"Delayer", reflect.TypeFor[driver.Delayer]()},
	{"Deduplicator", reflect.TypeFor[driver.Deduplicator]()},
	{"Grouper", reflect.TypeFor[driver.Grouper]()},
	{"AtomicEnqueuer", reflect.TypeFor[driver.AtomicEnqueuer]()},
	{"Inspector", reflect.TypeFor[driver.Inspector]()},
	{"Pauser", reflect.TypeFor[driver.Pauser]()},
}

// Capabilities lists the names of the capability sets that d has, in the order
// of the documentation.
func Capabilities(d Driver) []string {
	return capabilitiesOf(reflect.TypeOf(d))
}

// capabilitiesOf lists the capability sets whose methods t has; t may be an
// interface.
func capabilitiesOf(t reflect.Type) []string {
	var names []string
	for _, c := range capabilities {
		if t.Implements(c.set) {
			names = append(names, c.name)
		}
	}
	return names
}
