package nats

import (
	"context"
	"time"

	"github.com/batch-go/batch/internal/lifecycle"
)

// A driver whose server is in this process sees at once when somebody sets the time of
// day, which is the server's clock: the monotonic one goes on. Then it corrects what the
// server has got wrong. A server elsewhere may be one of several, with jobs of producers
// that this process knows nothing of.

const (
	// lookForStep is how often the driver looks, and step by how much a clock must have been
	// set to be seen: less than that is less than the server's own delay of a schedule.
	lookForStep = time.Second
	step        = 100 * time.Millisecond
	// mendAgain is when what was wrong is corrected once more: an Enqueue that was under way
	// stores it afterwards.
	mendAgain = 5 * time.Second
)

// watch looks whether somebody sets the time of day, until the driver closes.
type watch struct {
	// wasSet tells whether it was set before, and mend corrects what is wrong; an error says
	// that something is left to do.
	wasSet  func(context.Context) bool
	mend    func(context.Context) error
	quit    context.CancelFunc
	running lifecycle.Gate
}

// newWatch begins to watch.
func newWatch(wasSet func(context.Context) bool, mend func(context.Context) error) *watch {
	ctx, quit := context.WithCancel(context.Background())
	w := &watch{wasSet: wasSet, mend: mend, quit: quit}
	w.running.Go(func() { w.run(ctx) })
	return w
}

// end ends it, and waits until it has or ctx ends. A nil watch has ended.
func (w *watch) end(ctx context.Context) {
	if w == nil {
		return
	}
	w.quit()
	w.running.Shut()
	_ = w.running.Wait(ctx) // what goes on is cut off with the connection
}

// run is what watches.
func (w *watch) run(ctx context.Context) {
	ticker := time.NewTicker(lookForStep)
	defer ticker.Stop()
	begun := time.Now()
	var ahead time.Duration // by how much the time of day is, since then
	var mendings int        // to be done yet
	var next time.Time      // when
	if w.wasSet(ctx) {
		mendings = 1
	}
	for {
		if now := aheadSince(begun, ahead); now != ahead {
			ahead, mendings, next = now, 2, time.Now()
		}
		if mendings > 0 && time.Since(next) >= 0 {
			if w.mend(ctx) == nil { // else it is tried again
				mendings--
			}
			next = time.Now().Add(mendAgain)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// aheadSince is by how much the time of day went faster than the monotonic clock since
// begun; it is before, if that is about so. Between its looks at the two clocks a process
// may rest, so one that says otherwise is not believed at once.
func aheadSince(begun time.Time, before time.Duration) (ahead time.Duration) {
	for range 3 {
		now := time.Now()
		if ahead = now.Round(0).Sub(begun.Round(0)) - now.Sub(begun); (ahead - before).Abs() < step {
			return before
		}
	}
	return ahead
}
