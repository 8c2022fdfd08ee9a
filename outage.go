package batch

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/batch-go/batch/driver"
)

// outage follows a time in which a worker's broker cannot be reached. It logs once
// when that begins, once when it is over, and every 30 seconds in between, however
// many queues the worker has and however many calls fail.
//
// The calls that failed tell when it is over, as they are tried again. But a receive
// of an idle queue, once it gets through, waits for a job and tells nothing; so
// during an outage the broker is also asked for the depth of such a queue.
type outage struct {
	driver driver.Driver
	logger *slog.Logger

	// open is true during an outage, so that an answer costs next to nothing at other
	// times.
	open atomic.Bool

	mu sync.Mutex // guards following
	// failing are the calls that failed during the outage.
	failing map[source]*failure
	since   time.Time
	calls   int   // how many failed
	last    error // of the last one
	closed  bool
	cancel  context.CancelFunc // ends the goroutine that follows the outage

	following sync.WaitGroup
}

// source is a kind of call that a worker makes.
type source struct {
	queue string
	op    Op
}

// failure is what is known of one kind of call during an outage.
type failure struct {
	last time.Time // when it last failed
	// answered is when the broker first answered after that, zero if it has not. byCall
	// is true if it was such a call that it answered.
	answered time.Time
	byCall   bool
}

const (
	// repeatAfter is how long what is still the case is not logged again.
	repeatAfter = 30 * time.Second
	// outageTick is how often an outage is looked at, and how long nothing may have
	// failed before it is over: calls that are under way together fail one by one.
	outageTick = time.Second
	// outageQuiet is the same if only a question about the depth was answered. It is
	// longer than the longest backoff, so that the call itself was tried again.
	outageQuiet = 7 * time.Second
	// outageProbe bounds such a question.
	outageProbe = 5 * time.Second
)

// newOutage makes one that has not begun.
func newOutage(d driver.Driver, logger *slog.Logger) *outage {
	return &outage{driver: d, logger: logger}
}

// unreachable tells whether a call failed because the broker does not answer.
func unreachable(err error) bool {
	return errors.Is(err, ErrUnavailable) || errors.Is(err, context.DeadlineExceeded)
}

// failed is about a call that failed because the broker does not answer.
func (o *outage) failed(f Fault) {
	if o.begin(f) {
		o.write("broker lost", slog.String("queue", f.Queue), slog.String("op", string(f.Op)), slog.String("error", f.Err.Error()))
	}
}

// begin notes a failure, and reports whether the outage begins with it.
func (o *outage) begin(f Fault) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return false
	}
	now := time.Now()
	begins := !o.open.Load()
	if begins {
		o.failing, o.since, o.calls = make(map[source]*failure), now, 0
	}
	o.failing[source{f.Queue, f.Op}] = &failure{last: now}
	o.calls++
	o.last = f.Err
	if !begins {
		return false
	}
	o.open.Store(true)
	var ctx context.Context
	ctx, o.cancel = context.WithCancel(context.Background())
	o.following.Go(func() { o.follow(ctx) })
	return true
}

// answered is about a call that the broker has answered.
func (o *outage) answered(queue string, op Op) {
	if !o.open.Load() {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if f := o.failing[source{queue, op}]; f != nil && !f.byCall {
		f.byCall = true
		if f.answered.IsZero() {
			f.answered = time.Now()
		}
	}
}

// close ends it when the worker has stopped.
func (o *outage) close() {
	o.mu.Lock()
	o.closed = true
	if o.cancel != nil {
		o.cancel()
	}
	o.mu.Unlock()
	o.following.Wait()
}

// follow looks at the outage until it is over.
func (o *outage) follow(ctx context.Context) {
	nextLine := repeatAfter
	for sleep(ctx, outageTick) {
		o.probe(ctx)
		if o.over() {
			return
		}
		o.mu.Lock()
		away, calls, last := time.Since(o.since), o.calls, o.last
		o.mu.Unlock()
		if away >= nextLine {
			nextLine += repeatAfter
			o.write("broker still away", slog.Duration("away", away.Round(outageTick)), slog.Int("failed_calls", calls), slog.String("error", last.Error()))
		}
	}
}

// write logs a line. It is called without the mutex, since the log handler is the
// application's.
func (o *outage) write(message string, attrs ...slog.Attr) {
	aside(o.logger, "Handle", o.logger.Handler(), func() { o.logger.LogAttrs(context.Background(), slog.LevelWarn, message, attrs...) })
}

// probe asks the broker about the queues whose calls have not been answered since
// they failed. It stops at the first one that is not answered either.
func (o *outage) probe(ctx context.Context) {
	for _, queue := range o.unanswered() {
		start := time.Now()
		asking, cancel := context.WithTimeout(ctx, outageProbe)
		_, err := o.driver.Depth(asking, queue)
		cancel()
		if unreachable(err) || errors.Is(err, ErrClosed) || ctx.Err() != nil {
			return
		}
		o.mu.Lock()
		for s, f := range o.failing {
			if s.queue == queue && f.answered.IsZero() && f.last.Before(start) {
				f.answered = start
			}
		}
		o.mu.Unlock()
	}
}

// unanswered are the queues with a call that failed and was not answered since.
func (o *outage) unanswered() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var queues []string
	seen := make(map[string]bool)
	for s, f := range o.failing {
		if f.answered.IsZero() && time.Since(f.last) >= outageTick && !seen[s.queue] {
			seen[s.queue] = true
			queues = append(queues, s.queue)
		}
	}
	return queues
}

// over ends the outage and logs that, if every kind of call that failed was answered
// and has not failed again for a while.
func (o *outage) over() bool {
	o.mu.Lock()
	until := o.since
	for _, f := range o.failing {
		quiet := outageQuiet
		if f.byCall {
			quiet = outageTick
		}
		if f.answered.IsZero() || time.Since(f.last) < quiet {
			o.mu.Unlock()
			return false
		}
		if f.answered.After(until) {
			until = f.answered
		}
	}
	away, calls := until.Sub(o.since), o.calls
	o.open.Store(false)
	o.cancel()
	o.mu.Unlock()
	o.write("broker is back", slog.Duration("away", away.Round(time.Millisecond)), slog.Int("failed_calls", calls))
	return true
}
