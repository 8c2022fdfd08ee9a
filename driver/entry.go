package driver

import "time"

// State is where a job of a queue stands, as an [Inspector] lists it.
type State uint8

const (
	// StateWaiting jobs are ready to be handed out, or stand behind another job of
	// their group.
	StateWaiting State = iota + 1
	// StateScheduled jobs are held back until a time: delayed, or between retries.
	StateScheduled
	// StateDead jobs are dead letters.
	StateDead
)

// String is the state's name in lower case.
func (s State) String() string {
	switch s {
	case StateWaiting:
		return "waiting"
	case StateScheduled:
		return "scheduled"
	case StateDead:
		return "dead"
	}
	return "invalid"
}

// Entry is a job as an [Inspector] shows it.
type Entry struct {
	Message
	State State
	// Failures, LastError, Bounces, BouncedSince and Deliveries are the job's
	// history so far.
	Failures     int
	LastError    string
	Bounces      int
	BouncedSince time.Time
	Deliveries   int
	// DueAt is when a scheduled job becomes ready, by the broker's clock. An
	// [Importer] does not read it: there Delay says when.
	DueAt time.Time
	// Reason is why a dead job died, and DeadAt when.
	Reason string
	DeadAt time.Time
	// ImportKey makes the import of an entry a duplicate if one with this key was imported
	// before: see [OnceImporter]. 1 to 128 bytes of printable ASCII without spaces, or empty for none. It is
	// part of Import only: an [Inspector] shows none.
	ImportKey string
}

// DeadLetter is a job that will not run again unless it is redriven.
type DeadLetter struct {
	Message

	// Failures, LastError, Bounces, BouncedSince and Deliveries are the job's
	// history as it died.
	Failures     int
	LastError    string
	Bounces      int
	BouncedSince time.Time
	Deliveries   int
	// Reason is one of the Reason constants.
	Reason string
	// DeadAt is when the job was moved to the dead letters, by the broker's
	// clock if the driver can know it.
	DeadAt time.Time
}

// Entry is the dead letter as an [Inspector] shows it and an [Importer] takes it.
func (l *DeadLetter) Entry() Entry {
	return Entry{
		Message: l.Message, State: StateDead,
		Failures: l.Failures, LastError: l.LastError, Bounces: l.Bounces, BouncedSince: l.BouncedSince,
		Deliveries: l.Deliveries, Reason: l.Reason, DeadAt: l.DeadAt,
	}
}
