//go:build !linux

package bootclock

import "time"

// IsShared tells that Now is not the same for all processes of the machine. It may also stand
// still while the machine sleeps.
const IsShared = false

// Now is how long this process has been running.
func Now() time.Duration { return time.Since(started) }

// started is when this process began, by a clock that nobody sets.
var started = time.Now()
