package brokers

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/batch-go/batch/internal/brokers/launch"
)

// NewRabbitMQClock is NewRabbitMQ with a time of day of its own, for [Instance.SetClock].
func NewRabbitMQClock(t testing.TB, v Version) *Instance {
	t.Helper()
	return newClock(t, v, launch.OneRabbitMQ)
}

// NewRedisClock is NewRedis with a time of day of its own, for [Instance.SetClock].
func NewRedisClock(t testing.TB, v Version) *Instance {
	t.Helper()
	return newClock(t, v, launch.OneRedis)
}

// NewPostgreSQLClock is NewPostgreSQL with a time of day of its own, for [Instance.SetClock].
func NewPostgreSQLClock(t testing.TB, v Version) *Instance {
	t.Helper()
	return newClock(t, v, launch.OnePostgreSQL)
}

// newClock starts a server with a time of day of its own for one test.
func newClock(t testing.TB, v Version, kind launch.Kind) *Instance {
	t.Helper()
	return own(t, func(l *launcher) (*Instance, error) {
		return l.launchOne(v, launch.Broker{Kind: kind, Clock: true})
	})
}

// SetClock sets the server's time of day to that of the machine and as much as ahead, in whole seconds, at
// once, as an administrator would; its timers go on. passed is how much more time than has passed the server believes
// to, since it was started, by all its clocks: what it does each minute need not be waited for. The server must have
// been started with a time of day of its own, by a function whose name ends in Clock.
func (i *Instance) SetClock(ctx context.Context, ahead, passed time.Duration) error {
	const write = `[ -f "$0" ] && printf %s "$1" 1<>"$0"` // in place: the server has the file in its memory
	_, err := i.Exec(ctx, "sh", "-c", write, launch.ClockFile, launch.ClockText(ahead, passed))
	if err != nil && !errors.Is(err, ErrNotOurs) {
		err = fmt.Errorf("set the clock: %w", err)
	}
	return err
}
