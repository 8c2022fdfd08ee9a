package batch

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

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
	// Prioritizer is a broker that always hands out jobs of a higher level
	// first. See [Priority].
	Prioritizer interface {
		Driver
		driver.Prioritizer
	}

	// Delayer is a broker that can hold a job back until a given time. See
	// [Delay] and [At].
	Delayer interface {
		Driver
		driver.Delayer
	}

	// Deduplicator is a broker that does not store a second job with the same
	// key. See [Unique].
	Deduplicator interface {
		Driver
		driver.Deduplicator
	}

	// Grouper is a broker that hands out the jobs of a group one at a time, in
	// order. See [Group].
	Grouper interface {
		Driver
		driver.Grouper
	}

	// AtomicEnqueuer is a broker that can store all of many jobs or none of
	// them. See [EnqueueAtomic].
	AtomicEnqueuer interface {
		Driver
		driver.AtomicEnqueuer
	}

	// Inspector is a broker that shows the jobs of a queue without consuming
	// them. See [ListJobs], [FindJob] and [DeleteJob].
	Inspector interface {
		Driver
		driver.Inspector
	}

	// Pauser is a broker that can stop handing out the jobs of a queue. See
	// [Pause].
	Pauser interface {
		Driver
		driver.Pauser
	}

	// Importer is a broker that stores jobs as they were elsewhere, with their
	// history. Every driver of this module has it. See [Import].
	Importer interface {
		Driver
		driver.Importer
	}

	// QueueLister is a broker that can tell which queues there are. See
	// [ListQueues].
	QueueLister interface {
		Driver
		driver.QueueLister
	}

	// Purger is a broker that can remove all waiting jobs of a queue. See [Purge].
	Purger interface {
		Driver
		driver.Purger
	}
)

// TxEnqueuer is a broker in the application's own database, which stores and ends
// jobs in the application's transactions, of type T. See [EnqueueTx] and [CompleteTx].
type TxEnqueuer[T any] interface {
	Driver
	driver.TxEnqueuer[T]
}

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
	{"Importer", reflect.TypeFor[driver.Importer]()},
	{"QueueLister", reflect.TypeFor[driver.QueueLister]()},
	{"Purger", reflect.TypeFor[driver.Purger]()},
	{"TxEnqueuer", reflect.TypeFor[driver.Transactional]()}, // of any type of transaction
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

// assert returns d as a C, which is one of driver's optional interfaces or a
// capability set.
func assert[C any](d Driver) (C, bool) {
	c, ok := d.(C)
	return c, ok
}

// need returns what d has of one of driver's optional interfaces, C, or a
// [*CapabilityError].
func need[C any](d Driver) (C, error) {
	c, ok := assert[C](d)
	if !ok {
		return c, missing(d, reflect.TypeFor[C]())
	}
	return c, nil
}

// has tells whether d has one of driver's optional interfaces, C.
func has[C any](d Driver) bool {
	_, ok := assert[C](d)
	return ok
}

// CapabilityError says that a broker lacks what the program relies on. It wraps
// [ErrCapability].
type CapabilityError struct {
	// Driver and Broker name what was opened.
	Driver, Broker string
	// Missing lists the names of the capability sets that it lacks.
	Missing []string
	// Have lists, for each of Missing, the registered drivers that have it.
	Have map[string][]string
}

// Error names the broker, what is missing and the drivers that have it.
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
			if other == e.Driver { // it has a type for each kind of queue
				other += " (opened by another URL)"
			}
			list = append(list, other)
		}
		if len(list) > 0 {
			have = "supported by: " + strings.Join(list, ", ")
		}
		fmt.Fprintf(&b, "%s (%s)", name, have)
	}
	return b.String()
}

// Unwrap returns ErrCapability.
func (e *CapabilityError) Unwrap() error { return ErrCapability }

// missing makes the error for a driver without the capability set want.
func missing(d Driver, want reflect.Type) error {
	has := Capabilities(d)
	lacks := slices.DeleteFunc(capabilitiesOf(want), func(name string) bool { return slices.Contains(has, name) })
	if len(lacks) == 0 {
		// The program asked for methods that are no capability of this package.
		lacks = []string{want.String()}
	}
	return lacking(d, lacks...)
}

// lacking makes the error for a driver without these capabilities.
func lacking(d Driver, names ...string) *CapabilityError {
	info := d.Info()
	e := &CapabilityError{Driver: info.Driver, Broker: strings.TrimSpace(info.Broker + " " + info.Version), Missing: names, Have: map[string][]string{}}
	for _, name := range names {
		if with := driversWith(name); len(with) > 0 {
			e.Have[name] = with
		}
	}
	return e
}

// checkSupport refuses a message that needs capabilities which the driver lacks, or
// exceeds the bounds of one that it has. delay is what is shown of the message's delay.
func checkSupport(d Driver, m *driver.Message, delay string) error {
	var lacks []string
	need := func(name string, needed, has bool) {
		if needed && !has {
			lacks = append(lacks, name)
		}
	}
	delayer, delays := assert[Delayer](d)
	dedup, dedups := assert[Deduplicator](d)
	need("Prioritizer", m.Level != Normal, has[Prioritizer](d))
	need("Delayer", m.Delay > 0, delays)
	need("Deduplicator", m.DedupKey != "", dedups)
	need("Grouper", m.Group != "", has[Grouper](d))
	if len(lacks) > 0 {
		return lacking(d, lacks...)
	}
	if m.Delay > 0 {
		if err := checkDelay("Delay", delay, m.Delay, delayer.MaxDelay()); err != nil {
			return err
		}
	}
	if m.DedupWithin != 0 {
		return checkDedupWithin(m.DedupWithin, dedup.DedupWindow())
	}
	return nil
}

// driversWith lists the registered drivers that have a type with the capability.
func driversWith(capability string) []string {
	var names []string
	for _, r := range driver.Registered() {
		if slices.ContainsFunc(r.Types, func(d Driver) bool { return slices.Contains(Capabilities(d), capability) }) {
			names = append(names, r.Name)
		}
	}
	return names
}
