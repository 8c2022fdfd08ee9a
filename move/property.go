package move

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

// Property is something of a job that a target may be unable to keep.
type Property string

// The properties that [Drop] gives up.
const (
	// Priority: the job becomes one of level Normal.
	Priority Property = "priority"
	// Group: the job runs beside others of its group, and in any order.
	Group Property = "group"
	// DedupKey: the job no longer shows the key that it was enqueued with.
	DedupKey Property = "dedup-key"
	// Headers: the job has none.
	Headers Property = "headers"
	// Delay: the job is held back for the longest time that the target can, and not for longer.
	Delay Property = "delay"
)

// The properties that a job cannot do without. No option gives them up.
const (
	// ID is the job's ID.
	ID Property = "id"
	// Kind is the job's kind.
	Kind Property = "kind"
	// Body is the job's body, also where the job as a whole is too large.
	Body Property = "body"
	// Other is all else; [RefusedError].Err says what.
	Other Property = "other"
)

// droppable lists what Drop takes.
var droppable = []Property{Priority, Group, DedupKey, Headers, Delay}

// Droppable lists the names that [Drop] takes, for a command line.
func Droppable() []string {
	names := make([]string, len(droppable))
	for i, p := range droppable {
		names[i] = string(p)
	}
	return names
}

// droppable tells whether Drop takes the property.
func (p Property) droppable() bool { return slices.Contains(droppable, p) }

// option is how a program says that the property may be dropped.
func (p Property) option() string {
	names := map[Property]string{Priority: "Priority", Group: "Group", DedupKey: "DedupKey", Headers: "Headers", Delay: "Delay"}
	return "move.Drop(move." + names[p] + ")"
}

// RefusedError says that the target cannot keep a job as it is. The job is on the source, and
// nothing of it is on the target.
type RefusedError struct {
	// JobID, JobKind and State say which job it is.
	JobID, JobKind string
	State          batch.State
	// Target names the driver that cannot keep it, and Queue the queue there.
	Target, Queue string
	// Property is what cannot be kept.
	Property Property
	// Err says why: a [*batch.CapabilityError], a [*batch.InvalidError] or the driver's error.
	Err error
}

// Error names the job, what cannot be kept and the options that help.
func (e *RefusedError) Error() string {
	const others = "move.LeaveRefused() leaves such jobs where they are, and move.Park() makes them dead letters"
	if e.Property.droppable() {
		return fmt.Sprintf("move: %s (%s moves such jobs without it, %s)", e.reason(), e.Property.option(), others)
	}
	return fmt.Sprintf("move: %s (%s)", e.reason(), others)
}

// reason names the job and what cannot be kept.
func (e *RefusedError) reason() string {
	return fmt.Sprintf("the %s job %s of kind %s cannot be stored on queue %s of %s, because of its %s: %s",
		e.State, quote(e.JobID), quote(e.JobKind), e.Queue, e.Target, e.Property, strings.TrimPrefix(e.Err.Error(), "batch: "))
}

// Unwrap returns why.
func (e *RefusedError) Unwrap() error { return e.Err }

// ofJob tells whether it is the job that the target cannot keep, now and later. Else it is the state of the target, such as its
// settings, which would refuse every other job too.
func (e *RefusedError) ofJob() bool {
	return errors.Is(e.Err, batch.ErrCapability) || errors.Is(e.Err, batch.ErrInvalid) || errors.Is(e.Err, batch.ErrTooLarge)
}

// carrier is what a target can keep.
type carrier struct {
	driver                            batch.Driver
	info                              driver.Info
	prioritizer, grouper, dedup, once bool
}

// newCarrier looks at a driver's capabilities.
func newCarrier(d batch.Driver) carrier {
	c := carrier{driver: d, info: d.Info()}
	_, c.prioritizer = d.(driver.Prioritizer)
	_, c.grouper = d.(driver.Grouper)
	_, c.dedup = d.(driver.Deduplicator)
	_, c.once = d.(driver.OnceImporter)
	return c
}

// strip takes from an entry what the target cannot keep and the caller gives up.
func (c *carrier) strip(e *batch.Entry, drop map[Property]bool) {
	if e.Level != batch.Normal && !c.prioritizer && drop[Priority] {
		e.Level = batch.Normal
	}
	if e.Group != "" && !c.grouper && drop[Group] {
		e.Group = ""
	}
	if e.DedupKey != "" && !c.dedup && drop[DedupKey] {
		e.DedupKey = ""
	}
	if (e.HeaderSize() > c.info.Limits.MaxHeaders || len(e.Headers) > 100) && drop[Headers] {
		e.Headers = nil
	}
	if most := c.info.Limits.MaxRetryDelay; e.Delay > most && drop[Delay] {
		e.Delay = most.Truncate(time.Millisecond)
	}
}

// refusal is the error of a job that was refused because of err, or nil if err is another error.
func (c *carrier) refusal(e *batch.Entry, queue string, err error) *RefusedError {
	var unable *batch.CapabilityError
	var wrong *batch.InvalidError
	property := Other
	switch {
	case errors.As(err, &unable):
		property = c.lacking(unable)
	case errors.As(err, &wrong):
		property = fields[wrong.Field]
		if property == "" {
			property = Other
		}
	case errors.Is(err, batch.ErrTooLarge):
		property = Body
	case driver.FateOf(err) == driver.FateNotStored && (errors.Is(err, batch.ErrConfig) || errors.Is(err, batch.ErrUnsupported)):
	default:
		return nil
	}
	if property == Body && errors.Is(err, batch.ErrTooLarge) && e.HeaderSize() > c.info.Limits.MaxHeaders {
		property = Headers
	}
	return &RefusedError{
		JobID: e.ID, JobKind: e.Kind, State: e.State, Target: strings.TrimSpace(c.info.Driver + " (" + c.info.Broker + ")"),
		Queue: queue, Property: property, Err: err,
	}
}

// fields are the properties behind the fields that an import refuses.
var fields = map[string]Property{
	"ID": ID, "kind": Kind, "body": Body, "headers": Headers, "header name": Headers, "Delay": Delay,
	"Unique key": DedupKey, "Group": Group, "Priority": Priority,
}

// lacking is the property for which the target lacks a capability.
func (c *carrier) lacking(e *batch.CapabilityError) Property {
	for name, p := range map[string]Property{"Prioritizer": Priority, "Grouper": Group, "Deduplicator": DedupKey} {
		if len(e.Missing) > 0 && e.Missing[0] == name {
			return p
		}
	}
	return Other
}

// quote shows what somebody else wrote, in an error.
func quote(s string) string {
	if len(s) > 128 {
		return strconv.Quote(s[:128]) + "..."
	}
	return strconv.Quote(s)
}

// decimal writes a number.
func decimal(n int) string { return strconv.Itoa(n) }
