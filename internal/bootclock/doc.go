// Package bootclock is the clock that counts since the machine was started. Nobody sets
// it, so that a delay that is counted by it is neither early nor late when the time of
// day is corrected; and on Linux it goes on while the machine sleeps.
package bootclock
