package amqp

import (
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// delayedJob is a job in the hands of a mover, until it is due.
type delayedJob struct {
	tag     uint64
	due     time.Time
	message amqp091.Publishing
	// wake is when the mover has to do something about it: when it is due, or tried
	// again.
	wake time.Time
	// dead tells that it is a dead letter, which goes back to the dead letters.
	dead bool
}

// timetable is a heap of jobs by when something has to be done about them.
type timetable []delayedJob

// Len is how many there are.
func (t timetable) Len() int { return len(t) }

// Less is by time.
func (t timetable) Less(i, j int) bool { return t[i].wake.Before(t[j].wake) }

// Swap swaps two.
func (t timetable) Swap(i, j int) { t[i], t[j] = t[j], t[i] }

// Push appends one.
func (t *timetable) Push(x any) { *t = append(*t, x.(delayedJob)) }

// Pop removes the last.
func (t *timetable) Pop() any {
	old := *t
	last := old[len(old)-1]
	old[len(old)-1] = delayedJob{}
	*t = old[:len(old)-1]
	return last
}
