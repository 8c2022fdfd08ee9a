package memory

import "time"

// instant is a time on a broker's own monotonic clock: since it was made.
type instant = time.Duration

// clock is a broker's clock.
type clock struct{ epoch time.Time }

// now is the present.
func (c clock) now() instant { return time.Since(c.epoch) }

// instant is a time of the day as an instant, negative if it was before the broker.
func (c clock) instant(t time.Time) instant { return t.Sub(c.epoch.Round(0)) }

// wall is an instant as a time of the day.
func (c clock) wall(t instant) time.Time { return c.epoch.Add(t).Round(0).UTC() }
