package cron

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/internal/wire"
)

// Entry is one schedule with its job.
type Entry[D batch.Driver] struct {
	// Name tells the schedule from the others of the queue: 1 to 45 bytes of printable
	// ASCII without spaces. Processes that have a schedule of the same name on the same
	// queue share its ticks: each tick is one job, also while they disagree on the rest,
	// as they do during a deployment. See Since if that raises Missed.
	Name string
	// When says when the job is due.
	When Schedule
	// Args are the job's, the same for each tick. The handler can learn the tick from
	// [TickOf].
	Args batch.Args
	// Make makes the args of a tick instead; one of both is nil. If it fails or panics,
	// whatever the error, it is tried again as long as the tick is not too late. Ticks are
	// stored in their order, so later ones wait for that as long as Missed keeps both. It is
	// called from a goroutine of the schedule's own, and perhaps more than once for a tick.
	Make func(Tick) (batch.Args, error)
	// Options are the job's. The scheduler sets the ID, the headers cron-schedule and
	// cron-tick, and with [New] the unique key: options for these have no effect.
	Options []batch.Option[D]
	// Missed says what becomes of ticks that are missed. Zero stands for that of the
	// scheduler.
	Missed Missed
	// Since is when the schedule begins: there are no ticks before. Zero means that it
	// was always there. Set it where a tick that seems to be missed, because the schedule
	// is new, would do harm; and when the time of a [Skip] or an [All] is raised beyond an
	// hour, as keys of the ticks before were not kept for that long.
	Since time.Time
}

// NewEntry makes the entry of a job with the same args for each tick. D is inferred from
// the queue. Nothing is checked yet.
func NewEntry[D batch.Driver](q *batch.Queue[D], name string, when Schedule, args batch.Args, options ...batch.Option[D]) Entry[D] {
	_ = q // it is there for D
	return Entry[D]{Name: name, When: when, Args: args, Options: options}
}

// maxName is what is left of the 128 bytes of an ID for the name: the longest name of a
// queue has 64, and the second in which the year 9999 ends 12 digits.
const maxName = 128 - len("cron:") - 64 - len(":") - len(":") - 12

// check refuses what can never work.
func (e *Entry[D]) check() error {
	invalid := func(field, value, bound string) error {
		return &batch.InvalidError{Field: field + " of schedule " + shorten(e.Name), Value: value, Bound: bound}
	}
	switch {
	case len(e.Name) > maxName || !wire.IsToken(e.Name):
		return &batch.InvalidError{Field: "name of a schedule", Value: shorten(e.Name), Bound: fmt.Sprintf("1 to %d bytes of printable ASCII without spaces", maxName)}
	case isNil(e.Args) && e.Make == nil:
		return invalid("Args and Make", "nil", "set, one of both")
	case !isNil(e.Args) && e.Make != nil:
		return invalid("Args and Make", "both set", "only one of both")
	}
	if err := e.When.Err(); err != nil {
		return fmt.Errorf("schedule %s: %w", shorten(e.Name), err)
	}
	if err := e.Missed.check(); err != nil {
		return fmt.Errorf("schedule %s: %w", shorten(e.Name), err)
	}
	return nil
}

// isNil tells whether there are no args, or a nil pointer.
func isNil(args batch.Args) bool {
	v := reflect.ValueOf(args)
	return args == nil || v.Kind() == reflect.Pointer && v.IsNil()
}

// sameTicks tells whether two entries have the same ticks, and the same are stored late.
func (e *Entry[D]) sameTicks(other *Entry[D]) bool {
	return e.When.same(&other.When) && e.Missed == other.Missed && e.Since.Equal(other.Since)
}

// sameJob tells whether two entries have the same job, as far as one can see: options are
// functions, and so is Make.
func (e *Entry[D]) sameJob(other *Entry[D]) bool {
	return reflect.DeepEqual(e.Args, other.Args) && (e.Make == nil) == (other.Make == nil) && len(e.Options) == len(other.Options)
}

// Tick is a time at which a schedule is due.
type Tick struct {
	// Queue is the queue's name, and Schedule the entry's.
	Queue, Schedule string
	// Time is the tick, in the time zone of the schedule.
	Time time.Time
}

// Key is the ID of the tick's job, and its unique key where it has one: "cron:", the
// queue's name, ":", the schedule's, ":" and the tick's seconds since 1970. The queue is in
// it because a store may be shared by several.
func (t Tick) Key() string {
	return "cron:" + t.Queue + ":" + t.Schedule + ":" + strconv.FormatInt(t.Time.Unix(), 10)
}

// String is the schedule's name and the time.
func (t Tick) String() string { return t.Schedule + " at " + t.Time.Format(time.RFC3339) }

// The headers that tell a handler its tick.
const (
	headerSchedule = "cron-schedule"
	headerTick     = "cron-tick"
)

// TickOf is the tick that a job was made for. It is false for a job that no scheduler
// made. The time has the offset of the schedule's time zone, and not its name.
func TickOf(job *batch.JobInfo) (Tick, bool) {
	at, err := time.Parse(time.RFC3339, job.Headers[headerTick])
	t := Tick{job.Queue, job.Headers[headerSchedule], at}
	return t, err == nil && t.Schedule != "" && strings.HasPrefix(job.ID, "cron:")
}
