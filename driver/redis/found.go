package redis

import "time"

// What sweep.lua finds of a queue.
const (
	foundNothing   = '0'
	foundMissing   = '1'
	foundJobs      = '2'
	foundOther     = '3'
	foundScheduled = '4' // for later, and nothing else
)

// isIdle tells whether what was found says that nothing is held and nothing to be done.
func isIdle(what byte) bool { return what == foundNothing || what == foundScheduled }

// nudge has those consumers of a queue look that may not know of what was found in it. Who has
// set an alarm knows of what is scheduled.
func nudge(wakers []*waker, what byte, look time.Duration) {
	for _, w := range wakers {
		switch what {
		case foundNothing:
		case foundScheduled:
			if !w.alarm.isSet() {
				w.nudge(look)
			}
		default:
			w.nudge(look)
		}
	}
}
