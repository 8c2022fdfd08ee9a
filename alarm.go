package batch

import "time"

// alarm calls a function after a time. The zero value has no timer: it takes one when it is first
// to ring, and keeps that. Its user guards it.
type alarm struct{ timer *time.Timer }

// ringIn has it ring in d, and not when it was to before. call is the same function each time.
func (a *alarm) ringIn(d time.Duration, call func()) {
	if a.timer == nil {
		a.timer = time.AfterFunc(d, call)
		return
	}
	a.timer.Reset(d)
}

// stop has it not ring any more. The function may run just now.
func (a *alarm) stop() {
	if a.timer != nil {
		a.timer.Stop()
	}
}
