package dash

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/batch-go/batch"
)

// field is a line of what a job has.
type field struct {
	Name, Text string
	Time       time.Time // shown as such if it is not zero
}

// jobPage is the page of one job.
type jobPage struct {
	ID, Kind, State, Reason, Error string
	// RawID is the ID for links, and Cursor where its list began.
	RawID, Cursor string
	Dead          bool
	// Expired tells that the job cannot run any more: redriven, it dies again.
	Expired bool
	Fields  []field
	Headers []field
	Body    body
	// Hidden says why body and headers are not shown, nil if they are.
	Hidden *problem
	// Uneditable says why the body cannot be edited, empty if it can.
	Uneditable string
	Cost       string
}

// find reads the job with the ID that a request names: from the page of the list that it was on, which is what a broker
// without an Inspector can do, or else by its ID.
func (s *site) find(ctx context.Context, r *request, state batch.State) (batch.Entry, error) {
	id, cursor := r.FormValue("id"), r.FormValue("cursor")
	if id == "" {
		return batch.Entry{}, refuse(http.StatusBadRequest, "Which job?", "The link does not name a job.")
	}
	if list := (scan{queue: r.queue, state: state}); list.costly() && s.guard.foreign(r.Request) {
		return batch.Entry{}, refuse(http.StatusForbidden, "Not read", "A link of another site led here, or the browser does not say what did, and reading dead letters is costly. %s Open the job from its list.", readCost(r.queue))
	}
	free, err := s.reserve(ctx)
	if err != nil {
		return batch.Entry{}, err
	}
	defer free()
	var found batch.Entry
	list := scan{queue: r.queue, state: state, cursor: cursor, limit: searchLimit(r.queue, state), bytes: maxBytes}
	err = list.run(ctx, func(page []batch.Entry) bool {
		if i := slices.IndexFunc(page, func(e batch.Entry) bool { return e.ID == id }); i >= 0 {
			found = page[i]
		}
		return found.ID == ""
	})
	if err != nil {
		return batch.Entry{}, err
	}
	if found.ID != "" {
		return found, nil
	}
	if r.queue.CanInspect() {
		switch e, err := r.queue.FindJob(ctx, id); {
		case err == nil && e.State == state:
			return e, nil
		case err == nil:
			return e, refuse(http.StatusNotFound, "The job is not there any more", "Job %s is not among the %s jobs of queue %s: it is %s now.", line(id, 128), state, r.queue.Name(), e.State)
		case !errors.Is(err, batch.ErrNotFound):
			return e, err
		}
	}
	return found, refuse(http.StatusNotFound, "The job is not there any more", "Job %s is not among the %s jobs of queue %s. "+
		"It was redriven, deleted or handed to a worker meanwhile, or is further down the list.", line(id, 128), state, r.queue.Name())
}

// searchLimit is how many jobs are looked at for one that a link names.
func searchLimit(q *batch.QueueAdmin, state batch.State) int {
	if s := (scan{queue: q, state: state}); s.costly() {
		return costlyRead
	}
	return searchSize
}

// showJob answers with the page of a job of a list.
func (s *site) showJob(r *request, state batch.State) {
	ctx, cancel := s.within(r)
	defer cancel()
	e, err := s.find(ctx, r, state)
	if err != nil {
		s.fail(r, err)
		return
	}
	s.showEntry(r, &e)
}

// showFound answers with the page of the job with an ID, wherever it is.
func (s *site) showFound(r *request) {
	ctx, cancel := s.within(r)
	defer cancel()
	e, err := s.findAny(ctx, r, strings.TrimSpace(r.FormValue("id")))
	if err != nil {
		s.fail(r, err)
		return
	}
	s.showEntry(r, &e)
}

// findAny finds the job with an ID. The place to read is free before the page is made and sent, however slow that is.
func (s *site) findAny(ctx context.Context, r *request, id string) (batch.Entry, error) {
	free, err := s.reserve(ctx)
	if err != nil {
		return batch.Entry{}, err
	}
	defer free()
	return r.queue.FindJob(ctx, id)
}

// showEntry answers with the page of a job.
func (s *site) showEntry(r *request, e *batch.Entry) {
	p := &jobPage{
		ID: line(e.ID, 128), RawID: e.ID, Cursor: r.FormValue("cursor"), Kind: line(e.Kind, 128), State: e.State.String(),
		Dead: e.State == batch.StateDead, Reason: line(e.Reason, 64), Error: printable(e.LastError), Fields: fieldsOf(e),
	}
	if err := s.mayRead(r, e.ID); err != nil {
		p.Hidden = problemOf(err)
	} else {
		p.Body = bodyOf(e)
		for _, name := range slices.Sorted(maps.Keys(e.Headers)) {
			p.Headers = append(p.Headers, field{Name: line(name, 64), Text: line(e.Headers[name], 4<<10)})
		}
		p.Uneditable = uneditable(e.Body)
	}
	if p.Dead {
		p.Cost, p.Expired = readCost(r.queue), expired(e, 0)
	}
	f := s.frameOf(r, p.Kind+" "+p.ID, p)
	f.Tab = p.State
	s.show(r, http.StatusOK, "job", f)
}

// expired tells whether a job that could be started after a time would be too late.
func expired(e *batch.Entry, after time.Duration) bool {
	return !e.ExpiresAt.IsZero() && time.Until(e.ExpiresAt) <= after
}

// fieldsOf are what is known of a job besides its body and headers.
func fieldsOf(e *batch.Entry) []field {
	all := []field{
		{Name: "Enqueued", Time: e.EnqueuedAt}, {Name: "Due", Time: e.DueAt}, {Name: "Died", Time: e.DeadAt}, {Name: "Expires", Time: e.ExpiresAt},
		{Name: "Attempts failed", Text: attempts(e)},
		{Name: "Handed out", Text: times(e.Deliveries)}, {Name: "Bounces", Text: positive(e.Bounces)},
		{Name: "Priority", Text: e.Level.String()}, {Name: "Group", Text: line(e.Group, 128)}, {Name: "Unique key", Text: line(e.DedupKey, 128)},
		{Name: "Content type", Text: line(e.ContentType, 128)}, {Name: "Size", Text: size(len(e.Body))},
	}
	if e.Timeout > 0 {
		all = append(all, field{Name: "Timeout", Text: e.Timeout.String()})
	}
	return slices.DeleteFunc(all, func(f field) bool { return f.Text == "" && f.Time.IsZero() })
}

// attempts is how many attempts failed, of how many.
func attempts(e *batch.Entry) string {
	if e.MaxAttempts == 0 {
		return thousands(int64(e.Failures))
	}
	return thousands(int64(e.Failures)) + " of " + thousands(int64(e.MaxAttempts))
}

// times is a number of times, in words.
func times(n int) string {
	switch n {
	case 0:
		return "never"
	case 1:
		return "once"
	}
	return thousands(int64(n)) + " times"
}

// positive is a number, empty for none.
func positive(n int) string {
	if n <= 0 {
		return ""
	}
	return thousands(int64(n))
}
