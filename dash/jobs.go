package dash

import (
	"fmt"
	"net/http"
	"time"

	"github.com/batch-go/batch"
)

// jobRow is a job as a list shows it.
type jobRow struct {
	ID, Kind, Reason, Error, Attempts, Level, Size string
	RawID                                          string
	At                                             time.Time // when it died, is due or was enqueued
}

// jobsPage is a list of jobs in one state.
type jobsPage struct {
	State string
	Dead  bool
	// Told is how many there are by the last look, as text.
	Told string
	Rows []jobRow
	filter
	// Cursor is where the list begins, and Next where the next page does, empty if there is none.
	Cursor, Next string
	First        bool
	// Read is how many jobs were looked at.
	Read    int
	Summary *summary
	// All tells that the summary covers all there are.
	All bool
	// Cost says what reading costs where it is more than a page, and Unread that nothing was read for that reason.
	Cost   string
	Unread bool
	// Foreign says that it was asked for, not certainly by a page of this handler.
	Foreign bool
	// Cannot says that the broker cannot list these jobs.
	Cannot  bool
	Problem *problem
	Took    string
}

// showJobs answers with a list of jobs in a state.
func (s *site) showJobs(r *request, state batch.State) {
	p := &jobsPage{State: state.String(), Dead: state == batch.StateDead, filter: filterOf(r.Request), Cursor: r.FormValue("cursor"), Told: unknown}
	if !r.status.At.IsZero() {
		d := r.status.Depth
		p.Told = count(map[batch.State]int64{batch.StateWaiting: d.Waiting, batch.StateScheduled: d.Scheduled, batch.StateDead: d.Dead}[state])
	}
	p.First = p.Cursor == ""
	p.Cannot = state != batch.StateDead && !r.queue.CanInspect()
	if p.Dead {
		p.Cost = readCost(r.queue)
		p.Foreign = p.Cost != "" && r.FormValue("read") != "" && s.guard.foreign(r.Request)
		p.Unread = p.Cost != "" && (r.FormValue("read") == "" || p.Foreign)
	}
	code := http.StatusOK
	if !p.Cannot && !p.Unread {
		if err := s.readJobs(r, state, p); err != nil {
			p.Problem = problemOf(err)
			code = p.Problem.Code
		}
	}
	title := map[batch.State]string{batch.StateDead: "Dead letters", batch.StateWaiting: "Waiting jobs", batch.StateScheduled: "Scheduled jobs"}[state]
	f := s.frameOf(r, title+" of "+r.queue.Name(), p)
	f.Tab = p.State
	s.show(r, code, "jobs", f)
}

// readJobs reads a page of jobs, and for the first page of dead letters the summary.
func (s *site) readJobs(r *request, state batch.State, p *jobsPage) error {
	ctx, cancel := s.within(r)
	defer cancel()
	free, err := s.reserve(ctx)
	if err != nil {
		return err
	}
	defer free()
	begun := time.Now()
	defer func() { p.Took = short(time.Since(begun)) }()
	list := scan{queue: r.queue, state: state, cursor: p.Cursor, limit: pageSize, bytes: maxBytes}
	if p.filter.Set() {
		list.limit = searchSize
	}
	if list.costly() {
		list.limit = costlyRead
	}
	var seen summary
	err = list.run(ctx, func(page []batch.Entry) bool {
		for i := range page {
			if p.matches(&page[i]) {
				p.Rows = append(p.Rows, rowOfJob(&page[i]))
			}
		}
		seen.add(page)
		return len(p.Rows) < pageSize
	})
	if p.Next, p.Read = list.cursor, list.read; err != nil {
		return err
	}
	if !p.Dead || !p.First || p.filter.Set() {
		return nil
	}
	p.Summary = &seen
	if rest := (scan{queue: r.queue, state: state, cursor: list.cursor, limit: sampleSize - list.read, bytes: maxBytes}); !list.done && !list.costly() && rest.limit > 0 {
		err = rest.run(ctx, func(page []batch.Entry) bool { seen.add(page); return true })
		list.done = rest.done
	}
	p.All = list.done
	if err != nil {
		return fmt.Errorf("the summary is not complete: %w", err)
	}
	return nil
}

// rowOfJob shows a job.
func rowOfJob(e *batch.Entry) jobRow {
	r := jobRow{
		ID: line(e.ID, 128), RawID: e.ID, Kind: line(e.Kind, 128), Reason: line(e.Reason, 64), Error: line(e.LastError, 240),
		Attempts: attempts(e), Level: e.Level.String(), Size: size(len(e.Body)),
	}
	switch e.State {
	case batch.StateDead:
		r.At = e.DeadAt
	case batch.StateScheduled:
		r.At = e.DueAt
	default:
		r.At = e.EnqueuedAt
	}
	return r
}
