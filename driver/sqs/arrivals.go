package sqs

import (
	"time"

	"github.com/batch-go/batch/driver"
)

// arrivals are what a poll brought, by what becomes of it.
type arrivals struct {
	// ready are jobs to hand out.
	ready []*driver.Delivery
	// almostDue are jobs that are kept in the process until they are due.
	almostDue []almostDue
	// waited is how long the oldest job of ready was there, by SQS's clocks: of one that
	// was not delayed, and that SQS hands out for the first time.
	waited time.Duration
	// moved is what is not handed out: jobs that are not due for longer, which are sent
	// on, and what is no job, which becomes a dead letter.
	moved []replacement
}

// deliveries are all jobs that may be handed out now or in a moment.
func (a *arrivals) deliveries() []*driver.Delivery {
	all := a.ready
	for _, d := range a.almostDue {
		all = append(all, d.delivery)
	}
	return all
}

// almostDue is a job and the time that is left until it is due.
type almostDue struct {
	delivery *driver.Delivery
	left     time.Duration
}

// sort takes in a message whose lease has begun. The SQS queues take messages of most
// bytes.
func (a *arrivals) sort(r *receipt, most int) {
	if r.err != nil {
		a.moved = append(a.moved, replacement{old: r, entry: r.unreadableEntry(r.err, most)})
		return
	}
	left := r.untilDue()
	if left > maxLocalDelay || r.miscounted() {
		// Of the times that it was received before none was a holder's.
		a.moved = append(a.moved, replacement{old: r, entry: r.again(0, toRetry, most)})
		return
	}
	delivery, err := r.delivery()
	if err != nil {
		a.moved = append(a.moved, replacement{old: r, entry: r.unreadableEntry(err, most)})
		return
	}
	if left > 0 {
		// Its lease begins when it is handed out.
		r.until.Add(int64(left))
		a.almostDue = append(a.almostDue, almostDue{delivery, left})
		return
	}
	a.ready = append(a.ready, delivery)
	if r.received == 1 && r.due().IsZero() {
		a.waited = max(a.waited, r.first.Sub(r.sent))
	}
}
