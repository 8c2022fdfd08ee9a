package batch

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/coalesce"
)

// teller tells the broker what was decided about tasks. Those that end at the same time
// share requests. What the broker refuses waits on its own and is told again together
// with what is new by then, so that it holds up nothing: neither those that were in a
// request with it, nor those that come after it.
type teller struct {
	*custody
	queue   string
	hooks   *hooks
	timeout time.Duration
	backlog *backlog
	// settling ends when there is no point in telling the broker any more.
	settling  context.Context
	coalescer *coalesce.Coalescer[*task]
	// since is when the teller began. Long waits end at whole seconds after it.
	since time.Time
}

// settlePatience is how long a request may be under way before what ended meanwhile goes
// without it. A request that gets no answer costs the others that long, and no more; one
// that is only slow has company, which is no harm.
const settlePatience = 2 * time.Second

// newTeller completes a teller whose fields up to settling are set.
func newTeller(t teller, limits driver.Limits) *teller {
	t.since = time.Now()
	t.coalescer = coalesce.New(coalesce.Limits{
		Items: limits.SettleBatch, Bytes: limits.SettleBatch, Flights: 1, Patience: settlePatience,
	}, t.flush)
	return &t
}

// tell tells the broker about a task. It does not wait.
func (l *teller) tell(t *task) {
	l.backlog.add(1)
	l.coalescer.Add(t, 1)
}

// flush makes one request. What failed is tried again until it succeeds, its lease is
// lost, or there is no point in trying any longer. The leases are extended meanwhile.
func (l *teller) flush(batch []*task) {
	settlements := make([]driver.Settlement, len(batch))
	for i, t := range batch {
		settlements[i] = t.settlement
	}
	ctx, cancel := context.WithDeadline(l.settling, l.deadline(batch))
	defer cancel()
	start := time.Now()
	errs := l.consumer.Settle(ctx, settlements)
	if errs == nil {
		l.buffer.settled(time.Since(start))
		l.reportUncommitted(batch)
		l.told(batch)
		l.answered()
		return
	}
	var told, failed []*task
	var large []int   // which are too large
	var failure error // the first
	for i, t := range batch {
		switch err := answer(errs, i, len(batch)); {
		case err == nil:
			l.reportUncommitted(batch[i : i+1])
			told = append(told, t)
		case errors.Is(err, ErrLeaseLost):
			if !t.uncertain {
				l.keeper.lose(t)
			}
			told = append(told, t)
		case errors.Is(err, ErrTooLarge):
			large = append(large, i)
		default:
			t.uncertain = t.uncertain || driver.FateOf(err) == FateUnknown
			failed = append(failed, t)
			if failure == nil {
				failure = err
			}
		}
	}
	l.told(told) // before hooks are told about the others
	for _, i := range large {
		l.refit(batch[i], errs[i])
	}
	if len(failed) == 0 {
		l.answered()
	}
	l.again(failed, failure)
}

// reportUncommitted tells the hooks of tasks that the broker has stored again, as no
// transaction had ended them.
func (l *teller) reportUncommitted(told []*task) {
	for _, t := range told {
		if t.uncommitted != nil {
			l.hooks.onFault(t.forHooks(l.settling), Fault{Queue: l.queue, Op: OpSettle, Jobs: 1, Err: ErrUncommitted, Job: &t.job})
		}
	}
}

// answered tells the log that the broker has answered a settle, unless it did not take
// others.
func (l *teller) answered() {
	if !l.backlog.waits() {
		l.hooks.answered(l.queue, OpSettle)
	}
}

// deadline is when a request for these tasks has to end: with the time of the one that has
// most of it left. The time of a task begins with its first request.
func (l *teller) deadline(batch []*task) (latest time.Time) {
	first := time.Now().Add(l.timeout)
	for _, t := range batch {
		if t.settleBy.IsZero() {
			t.settleBy = first
		}
		if t.settleBy.After(latest) {
			latest = t.settleBy
		}
	}
	return latest
}

// told ends tasks that the broker has been told about.
func (l *teller) told(tasks []*task) {
	l.finish(tasks...)
	l.backlog.remove(len(tasks))
}

// again tells the broker later about tasks that failed together, or gives them up.
// Those that have failed equally often wait together.
func (l *teller) again(failed []*task, failure error) {
	slices.SortStableFunc(failed, func(a, b *task) int { return cmp.Compare(a.tries, b.tries) })
	final := errors.Is(failure, ErrClosed) || l.settling.Err() != nil
	for len(failed) > 0 {
		tries := failed[0].tries
		n := 1
		for n < len(failed) && failed[n].tries == tries {
			n++
		}
		group := failed[:n:n]
		failed = failed[n:]
		d := l.pause(tries)
		until := time.Now().Add(d)
		var over, rest []*task
		for _, t := range group {
			t.tries++
			if final || until.After(t.settleBy) {
				over = append(over, t)
			} else {
				rest = append(rest, t)
			}
		}
		l.wait(rest, d, failure)
		l.giveUp(over, failure)
	}
}

// pause is how long a task waits that has failed this often before. The waits of different
// tasks end together if they are a second and longer: as long as the broker takes nothing,
// the number of requests does not grow with that of the tasks.
func (l *teller) pause(tries int) time.Duration {
	b := backoff{failures: tries}
	d := b.next()
	if d < time.Second {
		return d
	}
	end := time.Since(l.since) + d
	return d + (time.Second-end%time.Second)%time.Second
}

// wait tells the broker about tasks in d.
func (l *teller) wait(tasks []*task, d time.Duration, failure error) {
	if len(tasks) == 0 {
		return
	}
	l.backlog.wait(len(tasks))
	l.hooks.onFault(l.settling, Fault{Queue: l.queue, Op: OpSettle, Jobs: len(tasks), Err: failure, RetryIn: d})
	go func() {
		trying := sleep(l.settling, d)
		l.backlog.wait(-len(tasks))
		if !trying {
			l.giveUp(tasks, failure)
			return
		}
		for _, t := range tasks {
			l.coalescer.Add(t, 1)
		}
	}()
}

// refit tells the broker again, at once and with less, about a task that is too large for
// it. If it is too large without everything that it can go without, it is given up.
func (l *teller) refit(t *task, refusal error) {
	remedy := refit(&t.settlement, refusal)
	if remedy == "" {
		l.giveUp([]*task{t}, refusal)
		return
	}
	l.hooks.onFault(t.forHooks(l.settling), Fault{Queue: l.queue, Op: OpSettle, Jobs: 1, Err: refusal, Job: &t.job, Remedy: remedy})
	l.coalescer.Add(t, 1)
}

// giveUp ends tasks that the broker does not take, and reports that.
func (l *teller) giveUp(tasks []*task, failure error) {
	if len(tasks) == 0 {
		return
	}
	l.hooks.onFault(l.settling, Fault{Queue: l.queue, Op: OpSettle, Jobs: len(tasks), Err: failure})
	go l.drop(tasks)
}

// drop ends tasks that the broker was not told about.
func (l *teller) drop(tasks []*task) {
	l.abandon(tasks)
	l.backlog.remove(len(tasks))
}
