package amqp

import (
	"cmp"
	"context"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/internal/bootclock"
	"github.com/batch-go/batch/internal/lifecycle"
)

// A delay queue that stands still is freed by hand: its jobs are taken and put into the
// hop queue, as RabbitMQ would have done. There a mover sees what is left of their
// delays.

const (
	// freeStep is how many jobs are moved together: as many as a mover has under way.
	freeStep = moverStep * moverBatches
	// freePrefetch lets the broker send the next group meanwhile.
	freePrefetch = 2 * freeStep
	// freePatience is how long a queue that is being freed brings nothing until it is
	// taken for empty, and freeLull how long until what came is moved.
	freePatience = 500 * time.Millisecond
	freeLull     = 10 * time.Millisecond
)

// freer frees a delay queue.
type freer struct {
	*source
	ch    *amqp091.Channel
	queue string
	halt  <-chan struct{} // closed to end it
	taken <-chan amqp091.Delivery
	// count is how many jobs were taken, and sure of how many it is known that they have
	// been there for longer than they can.
	count, sure int
	// end is the first job of which that is not known, or nil.
	end *amqp091.Delivery
}

// free moves on the first job, which was taken, and all after it that have stayed. It
// returns how many there are from end on.
func (f *freer) free(ctx context.Context, first *amqp091.Delivery) (left int, err error) {
	if f.taken, err = consumeFrom(f.ch, f.queue, "batch", freePrefetch, true); err != nil {
		return 0, err
	}
	f.count = 1
	for group := []*amqp091.Delivery{first}; len(group) > 0; {
		for len(group) < freeStep {
			d := f.next(false)
			if d == nil {
				break
			}
			group = append(group, d)
		}
		if err := f.carry(ctx, group); err != nil {
			return 0, err
		}
		group = nil
		if d := f.next(true); d != nil {
			group = append(group, d)
		}
	}
	return f.finish()
}

// next is the next job that has stayed, or nil. With patience it waits for long.
func (f *freer) next(patient bool) *amqp091.Delivery {
	if f.end != nil {
		return nil
	}
	wait := freeLull
	if patient {
		wait = freePatience
	}
	silent := time.NewTimer(wait)
	defer silent.Stop()
	var d amqp091.Delivery
	ok := false
	select {
	case d, ok = <-f.taken:
	case <-silent.C:
	case <-f.halt:
	}
	if !ok {
		return nil
	}
	f.count++
	if job := storedOf(&d); f.count > f.sure && !job.hasStayed(bootclock.Now()) {
		f.end = &d
		return nil
	}
	return &d
}

// carry puts jobs into the hop queue, and then acknowledges them. It does so in their
// order: what was seen behind the first must not vanish before it.
func (f *freer) carry(ctx context.Context, group []*amqp091.Delivery) error {
	items := make([]*publication, len(group))
	for i, d := range group {
		items[i] = &publication{queue: f.names.hop, message: asDelayed(d)}
	}
	f.base.store(ctx, f.names, items)
	for again := refused(items); len(again) > 0; again = refused(items) {
		if err := lifecycle.Sleep(f.life, moverPause); err != nil {
			break
		}
		f.base.store(ctx, f.names, again)
	}
	n := 0
	for n < len(items) && items[n].err == nil {
		n++
	}
	var err error
	if n < len(items) {
		err = items[n].err
	}
	if n > 0 {
		err = cmp.Or(f.ch.Ack(group[n-1].DeliveryTag, true), err)
	}
	return err
}

// asDelayed is the message of a delayed job as it was stored.
func asDelayed(d *amqp091.Delivery) amqp091.Publishing {
	m := withoutDelay(d)
	for _, name := range delayHeaders {
		if value, ok := d.Headers[name]; ok {
			m.Headers[name] = value
		}
	}
	return m
}

// refused are those of items that the hop queue was too full for, ready to be published
// again.
func refused(items []*publication) []*publication {
	var again []*publication
	for _, item := range items {
		if item.err == errNacked {
			again = append(again, item.anew())
		}
	}
	return again
}

// finish returns how many jobs there are from end on, at least. The consumer ends with the
// channel: a broker that cancels it returns by itself what was on its way, to another place.
func (f *freer) finish() (left int, err error) {
	if f.end != nil {
		left++
	}
	for lull := time.NewTimer(freePatience); ; lull.Reset(freeLull) {
		select {
		case _, ok := <-f.taken:
			if ok {
				left++
				continue
			}
		case <-lull.C:
		case <-f.halt:
		}
		lull.Stop()
		break
	}
	q, err := lookUp(f.ch, f.queue)
	return left + q.Messages, err
}
