// Package late measures how late this machine is. Tests that hold a call to a time allow
// for it, so that they judge the call and not what else the machine does.
package late

import "time"

// Steps is of how many steps, each as late as the machine, a call consists that ends with
// its context: goroutines that wait for each other, and for a processor.
const Steps = 4

// beat is how often the machine is looked at.
const beat = 5 * time.Millisecond

// During calls f and returns by how much the latest of the timers was late that ended
// meanwhile, zero if none did. What f waits for may be late by several times that.
func During(f func()) time.Duration {
	stop, worst := make(chan struct{}), make(chan time.Duration, 1)
	go func() {
		most := time.Duration(0)
		for {
			begun := time.Now()
			timer := time.NewTimer(beat)
			select {
			case <-stop:
				timer.Stop()
				worst <- max(most, time.Since(begun)-beat)
				return
			case <-timer.C:
				most = max(most, time.Since(begun)-beat)
			}
		}
	}()
	func() {
		defer close(stop) // also if f ends its test
		f()
	}()
	return <-worst
}
