package launch

import (
	"fmt"
	"time"
)

// ClockFile has, inside the container of a server with clocks of its own, how they differ from the machine's.
const ClockFile = "/batch-clock"

// ClockText is the content of ClockFile: whole seconds by which the time of day is ahead, and by which all clocks
// are, in as many characters each time.
func ClockText(ahead, passed time.Duration) string {
	return fmt.Sprintf("%+010d%+010d", int64(ahead/time.Second), int64(passed/time.Second))
}
