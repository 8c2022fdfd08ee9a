//go:build !linux

package amqp

import "time"

// startIsShared tells that sinceStart is the same for all processes of the machine.
const startIsShared = false

// sinceStart is how long this process has been running.
func sinceStart() time.Duration { return time.Since(started) }

// started is when this process began, by a clock that nobody sets.
var started = time.Now()
