package batch

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/batch-go/batch/driver"
)

// settling is a settlement on its way to the broker.
type settling struct {
	task       *task
	settlement driver.Settlement
	// uncertain is true after a try whose fate is unknown: if the next is told
	// that the lease is lost, then the first try was carried out.
	uncertain bool
}

// flush settles one batch, and tries again what failed, until it succeeds, the
// leases are lost, or there is no use in trying any longer. The leases are
// extended meanwhile.
func (l *lane) flush(batch []*settling) {
	w := l.worker
	ctx, cancel := context.WithTimeout(w.settling, w.config.SettleTimeout)
	defer cancel()
	left := batch
	var b backoff
	for {
		var err error
		left, err = l.settleOnce(ctx, left)
		if len(left) == 0 {
			return
		}
		d := b.next()
		deadline, _ := ctx.Deadline()
		if errors.Is(err, ErrClosed) || ctx.Err() != nil || time.Until(deadline) < d {
			d = 0
		}
		w.hooks.onFault(ctx, Fault{Queue: l.config.Name, Op: "settle", Err: err, RetryIn: d})
		if d == 0 || !sleep(ctx, d) {
			// The jobs are still the broker's: it hands them out again when their
			// leases end, which the keeper lets happen from here on.
			l.finishAll(left)
			return
		}
	}
}

// settleOnce makes one request and returns what has to be tried again, with the
// first error of it.
func (l *lane) settleOnce(ctx context.Context, batch []*settling) (again []*settling, err error) {
	settlements := make([]driver.Settlement, len(batch))
	for i, s := range batch {
		settlements[i] = s.settlement
	}
	errs := l.consumer.Settle(ctx, settlements)
	if errs == nil {
		l.finishAll(batch)
		return nil, nil
	}
	settled := make([]*settling, 0, len(batch))
	for i, s := range batch {
		switch e := errs[i]; {
		case e == nil:
			settled = append(settled, s)
		case errors.Is(e, ErrLeaseLost):
			if !s.uncertain {
				l.lose(s.task)
			}
			settled = append(settled, s)
		default:
			s.uncertain = s.uncertain || driver.FateOf(e) == FateUnknown
			again = append(again, s)
			if err == nil {
				err = e
			}
		}
	}
	l.finishAll(settled)
	return again, err
}

// finish ends the worker's responsibility for a task.
func (l *lane) finish(t *task) {
	l.keeper.remove(t)
	l.release(1)
}

func (l *lane) finishAll(batch []*settling) {
	if len(batch) == 0 {
		return
	}
	l.keeper.removeAll(batch)
	l.release(len(batch))
}

// errorText is what is stored of an error: valid UTF-8 of bounded length. A
// snooze or a missing handler is no failure and keeps the text of the last one.
func errorText(err error, last string, v Verdict) string {
	var snooze *snoozeError
	if err == nil || errors.As(err, &snooze) && v.Outcome == Retry {
		return last
	}
	text := err.Error()
	if len(text) > maxErrorText {
		text = text[:maxErrorText-len(ellipsis)]
		text = strings.ToValidUTF8(text, "") + ellipsis // the cut may be inside of a rune
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}

const ellipsis = "..."
