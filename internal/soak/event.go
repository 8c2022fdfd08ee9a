package soak

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// op is what happened, as one letter.
type op byte

// The events of a process.
const (
	// opEnqueue: a producer is about to enqueue the job; arg is its delay in milliseconds.
	opEnqueue op = 'E'
	// opConfirmed, opNotStored, opUnknown: the enqueue ended so; arg is how long it took,
	// in microseconds.
	opConfirmed op = 'C'
	opNotStored op = 'N'
	opUnknown   op = 'U'
	// opStarted: a handler begins; arg is the attempt.
	opStarted op = 'S'
	// opDone, opFailed, opDied: what the handler is about to return.
	opDone   op = 'D'
	opFailed op = 'F'
	opDied   op = 'X'
	// opUsage: what the process uses; id has goroutines and descriptors, arg is its
	// resident memory in bytes.
	opUsage op = 'M'
	// opLogged: how many lines the process has logged, beside those about single jobs.
	opLogged op = 'L'
	// opReady: the process works.
	opReady op = 'R'
)

// event is one line of what a process writes.
type event struct {
	at      time.Time
	op      op
	id      string
	arg     int64
	process string // set by who reads it
}

// line is the event's text, with the end of the line.
func (e event) line() string {
	return fmt.Sprintf("%d %c %s %d\n", e.at.UnixNano(), e.op, e.id, e.arg)
}

// parseEvent reads one line.
func parseEvent(line string) (event, error) {
	fields := strings.Fields(line)
	if len(fields) != 4 || len(fields[1]) != 1 {
		return event{}, fmt.Errorf("soak: %q is no event", line)
	}
	at, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil {
		return event{}, fmt.Errorf("soak: %q is no event: %w", line, err)
	}
	arg, err := strconv.ParseInt(fields[3], 10, 64)
	if err != nil {
		return event{}, fmt.Errorf("soak: %q is no event: %w", line, err)
	}
	return event{at: time.Unix(0, at), op: op(fields[1][0]), id: fields[2], arg: arg}, nil
}
