package amqp

import (
	"context"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/internal/bootclock"
)

// looker looks at the delay queues of a queue that are due, for a mover.
type looker struct {
	*source
	watch *watch
	conn  *connection
	halt  <-chan struct{} // closed to end it
}

// run looks at what is due until ctx ends or halt is closed.
func (l *looker) run(ctx context.Context) {
	defer l.leave()
	timer := time.NewTimer(l.watch.next(time.Now()))
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			l.round(ctx)
			timer.Reset(l.watch.next(time.Now()))
		case <-l.halt:
			return
		case <-ctx.Done():
			return
		}
	}
}

// halted tells whether it should end.
func (l *looker) halted(ctx context.Context) bool {
	select {
	case <-l.halt:
		return true
	default:
		return ctx.Err() != nil
	}
}

// round looks at the delay queues that are due. An error is that of the channel, and
// they are due again.
func (l *looker) round(ctx context.Context) {
	select {
	case l.watch.turn <- struct{}{}:
		defer func() { <-l.watch.turn }()
	default:
		return // another mover of this process does
	}
	due := l.watch.due(time.Now())
	if len(due) == 0 || l.base.isBlocked() { // what is taken could not be stored
		return
	}
	ch, err := l.conn.client.Channel()
	if err != nil {
		return // the mover will see it, too
	}
	defer func() { _ = ch.Close() }()
	for _, i := range due {
		if l.halted(ctx) {
			return
		}
		if err := l.look(ctx, ch, i); err != nil {
			l.pass(i, isGone(err))
			return
		}
	}
}

// pass notes that a delay queue could not be looked at, and that it does not exist. Where
// there is no first one there is none at all.
func (l *looker) pass(i int, gone bool) {
	if !gone {
		l.watch.stay(i, sighting{})
		return
	}
	l.release(i)
	l.watch.empty(i)
	if i == 0 {
		for i := range ttls {
			l.watch.empty(i)
		}
	}
}

// release undoes lock of a delay queue that is gone.
func (l *looker) release(i int) {
	if l.watch.level(i).lock != l.conn {
		return
	}
	if ch, err := l.conn.client.Channel(); err == nil {
		_ = l.unlock(ch, i)
		_ = ch.Close()
	}
}

// look looks at a delay queue, and frees it if it stands still.
func (l *looker) look(ctx context.Context, ch *amqp091.Channel, i int) error {
	name := l.names.delay(ttls[i])
	there, err := lookUp(ch, name)
	if err != nil {
		return err
	}
	if there.Messages == 0 {
		l.watch.empty(i)
		return l.unlock(ch, i)
	}
	if mine, err := l.lock(i); err != nil || !mine {
		l.watch.others(i)
		return err
	}
	taking, err := l.conn.client.Channel()
	if err != nil {
		return err
	}
	defer func() { _ = taking.Close() }()
	return l.take(ctx, taking, i)
}

// take takes the first job of a delay queue, and frees the queue if that has been there
// for longer than it can. The caller has to close the channel: what it holds then goes
// back to its place. Before 4.3 basic.nack brings it behind all others where there is
// no limit of deliveries, as here.
func (l *looker) take(ctx context.Context, ch *amqp091.Channel, i int) error {
	f := &freer{source: l.source, ch: ch, queue: l.names.delay(ttls[i]), halt: l.halt}
	clock := bootclock.Now()
	now := time.Now()
	first, ok, err := ch.Get(f.queue, false)
	if err != nil || !ok {
		return err // it is due again
	}
	job, known := storedOf(&first), l.watch.level(i).seen
	if job == known.job && now.Sub(known.at) > ttls[i]+ttlMargin(ttls[i]) {
		f.sure = known.count
	}
	if f.sure > 0 || job.hasStayed(clock) {
		left, err := f.free(ctx, &first)
		if err != nil {
			return err
		}
		l.watch.stay(i, sightingOf(f.end, left))
		return nil
	}
	seen := sightingOf(&first, int(first.MessageCount)+1)
	if !known.at.IsZero() && known.job != job {
		seen = sighting{} // it moves: no need to be quick
	}
	l.watch.stay(i, seen)
	return nil
}

// lock keeps the movers of other processes away from a delay queue, until it moves
// again: what they take would not be seen here.
func (l *looker) lock(i int) (mine bool, err error) {
	if l.watch.level(i).lock == l.conn {
		return true, nil
	}
	ch, err := l.conn.client.Channel()
	if err != nil {
		return false, err
	}
	_, err = ch.QueueDeclare(l.names.delayLock(ttls[i]), false, true, true, false, nil)
	_ = ch.Close()
	if err != nil {
		if isLocked(err) {
			err = nil
		}
		return false, err
	}
	l.watch.stay(i, sighting{}) // it may have been another's
	l.watch.locked(i, l.conn)
	return true, nil
}

// unlock undoes lock.
func (l *looker) unlock(ch *amqp091.Channel, i int) error {
	if l.watch.level(i).lock != l.conn {
		return nil // none, or it went with its connection
	}
	l.watch.locked(i, nil)
	return deleteAll(context.Background(), ch, []string{l.names.delayLock(ttls[i])})
}

// leave undoes all of lock, unless another mover of this process is at it.
func (l *looker) leave() {
	select {
	case l.watch.turn <- struct{}{}:
		defer func() { <-l.watch.turn }()
	default:
		return
	}
	var mine []int
	for i := range ttls {
		if l.watch.level(i).lock == l.conn {
			mine = append(mine, i)
		}
	}
	if mine == nil {
		return
	}
	ch, err := l.conn.client.Channel()
	if err != nil {
		return // they went with the connection
	}
	defer func() { _ = ch.Close() }()
	for _, i := range mine {
		if l.unlock(ch, i) != nil {
			return
		}
	}
}
