package dash

import (
	"errors"
	"net/http"
	"time"

	"github.com/batch-go/batch"
)

// queuePage is the page of one queue.
type queuePage struct {
	row
	Problem *problem
	// Gone says that the queue does not exist any more.
	Gone bool
	// PauseKnown tells whether the broker has said if the queue is paused.
	PauseKnown bool
	Cost       string
}

// queuePageOf shows what is known of the queue of a request.
func (s *site) queuePageOf(r *request) *queuePage {
	return &queuePage{
		row:     rowOf(r.status, time.Now(), s.config.Interval, 720, 120),
		Problem: problemOf(r.status.Err), Gone: errors.Is(r.status.Err, batch.ErrNotFound),
		PauseKnown: r.status.Paused != nil, Cost: readCost(r.queue),
	}
}

// showQueue answers with the page of a queue, or with the part of it that renews itself.
func (s *site) showQueue(r *request, part string) {
	s.write(r, http.StatusOK, "queue", part, s.frameOf(r, r.queue.Name(), s.queuePageOf(r)))
}
