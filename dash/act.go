package dash

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

// outcome is what became of an order.
type outcome struct {
	// Done is how many jobs it was carried out for, and Of how many it was meant to be, unknown where nobody knows.
	Done, Of int64
	// Exact is false if some may have been done that are not counted.
	Exact bool
	// More says what is left to do, possibly empty.
	More string
	Err  error
}

// act does what a form asks for, if it may, and answers with what happened.
func (s *site) act(r *request, verb string) {
	o, err := orderOf(r.Request, verb)
	if err != nil {
		s.fail(r, err)
		return
	}
	if err := s.authorize(r.Request, o.intent(r)); err != nil {
		s.fail(r, err)
		return
	}
	if name := r.Form.Get("name"); o.Typed && name != r.queue.Name() {
		s.fail(r, refuse(http.StatusUnprocessableEntity, "That is not the queue's name", "You typed %q. To %s the queue, type its name: %s. Nothing was done.", line(name, 64), verb, r.queue.Name()))
		return
	}
	if s.closing.Err() != nil {
		s.fail(r, refuse(http.StatusServiceUnavailable, "This dashboard is closed", "The program that serves it ends. Nothing was done."))
		return
	}
	// The action does not end with the request, so that a tab that is closed leaves nothing half done.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), s.config.ActionTimeout)
	defer cancel()
	stop := context.AfterFunc(s.closing, cancel)
	defer stop()
	done := s.do(ctx, r, &o)
	s.poll.lookAgain(ctx, r.queue)
	s.report(r, &o, done)
}

// do carries an order out.
func (s *site) do(ctx context.Context, r *request, o *order) outcome {
	q, dead := r.queue, r.queue.DeadLetters()
	one := outcome{Done: 1, Of: 1, Exact: true}
	switch o.Action {
	case ActionRedrive:
		return s.move(ctx, r, o, dead.Redrive, dead.RedriveAll)
	case ActionDelete:
		return s.move(ctx, r, o, dead.Delete, nil)
	case ActionPurgeDead:
		return all(o.intent(r).Count)(dead.Purge(ctx))
	case ActionPurge:
		return all(o.intent(r).Count)(q.Purge(ctx))
	case ActionDeleteJob:
		one.fail(deleteJob(ctx, q, o.IDs[0]))
	case ActionPause:
		one.fail(q.Pause(ctx))
	case ActionResume:
		one.fail(q.Resume(ctx))
	case ActionEdit:
		err := s.edit(ctx, r, o)
		one.fail(err)
		// The fate of an error after the job was stored is that of its dead letter.
		var discard *driver.Error
		var store *batch.EnqueueError
		one.Exact = one.Exact && (!errors.As(err, &discard) || errors.As(err, &store))
	}
	return one
}

// deleteJob removes a waiting or scheduled job. One that has died since its page was made stays: the right to delete dead
// letters is another one, and so is their page.
func deleteJob(ctx context.Context, q *batch.QueueAdmin, id string) error {
	e, err := q.FindJob(ctx, id)
	if err != nil {
		return err
	}
	if e.State == batch.StateDead {
		return refuse(http.StatusConflict, "The job has died", "Job %s is a dead letter by now, and stays. Delete it there.", line(id, 128))
	}
	return q.DeleteJob(ctx, id)
}

// fail notes an error of an order that is for one thing.
func (o *outcome) fail(err error) {
	var own *problem
	if err != nil {
		o.Done, o.Err = 0, err
		o.Exact = driver.FateOf(err) == driver.FateNotStored || errors.As(err, &own) || errors.Is(err, batch.ErrCapability) || errors.Is(err, batch.ErrInvalid)
	}
}

// counted makes the outcome of a call that counts what it did, of so many.
func counted(of int64) func(n int, err error) outcome {
	return func(n int, err error) outcome {
		return outcome{Done: int64(n), Of: of, Exact: err == nil || driver.FateOf(err) == driver.FateNotStored, Err: err}
	}
}

// all is counted for a call that is for all there are, of which the last count is only told if it ends early.
func all(of int64) func(n int, err error) outcome {
	return func(n int, err error) outcome {
		if err == nil {
			of = int64(n)
		}
		return counted(of)(n, err)
	}
}

// move moves the dead letters that an order is for.
func (s *site) move(ctx context.Context, r *request, o *order, some func(context.Context, ...string) (int, error), whole func(context.Context) (int, error)) outcome {
	switch o.Which {
	case "all":
		return all(o.intent(r).Count)(whole(ctx))
	case "some":
		return counted(int64(len(o.IDs)))(some(ctx, o.IDs...))
	}
	ids, more, err := s.match(ctx, r, o.filter)
	if err != nil {
		return outcome{Of: batch.UnknownCount, Exact: true, Err: err}
	}
	done := outcome{Of: int64(len(ids)), Exact: true}
	if more {
		done.More = "There may be more of them further down the list: do it again until none is left."
	}
	size := maxChosen
	if readCost(r.queue) != "" {
		size = max(len(ids), 1) // each call reads all
	}
	for len(ids) > 0 && done.Err == nil {
		page := ids[:min(size, len(ids))]
		step := counted(0)(some(ctx, page...))
		done.Done += step.Done
		done.Err, done.Exact = step.Err, step.Exact
		ids = ids[len(page):]
	}
	return done
}

// match finds the IDs of the dead letters that a filter selects, among the first ones, and tells whether there are others.
func (s *site) match(ctx context.Context, r *request, f filter) (ids []string, more bool, err error) {
	free, err := s.reserve(ctx)
	if err != nil {
		return nil, false, err
	}
	defer free()
	list := scan{queue: r.queue, state: batch.StateDead, limit: moveSize}
	if list.costly() {
		list.limit = maxChosen
	}
	err = list.run(ctx, func(page []batch.Entry) bool {
		for i := range page {
			if f.matches(&page[i]) {
				ids = append(ids, page[i].ID)
			}
		}
		return true
	})
	return ids, !list.done, err
}

// donePage says what became of an order.
type donePage struct {
	Text    string
	More    string
	Partial bool
	Problem *problem
	Back    string
}

// report logs what became of an order, and answers with it.
func (s *site) report(r *request, o *order, done outcome) {
	p := &donePage{Text: o.told(r, done), More: done.More, Problem: problemOf(done.Err), Back: o.back()}
	p.Partial = done.Err == nil && done.Of >= 0 && done.Done < done.Of
	log := s.config.Logger.With("action", string(o.Action), "queue", r.queue.Name(), "which", o.Which, "done", done.Done, "of", done.Of, "exact", done.Exact, "remote", r.RemoteAddr)
	if len(o.IDs) == 1 {
		log = log.With("id", o.IDs[0])
	}
	code, title := http.StatusOK, "Done"
	if done.Err != nil {
		log.ErrorContext(r.Context(), "dash: action failed", "err", done.Err)
		code, title = p.Problem.Code, p.Problem.Title
	} else {
		log.InfoContext(r.Context(), "dash: action")
		if p.Partial {
			title = "Done in part"
		}
	}
	s.show(r, code, "done", s.frameOf(r, title, p))
}

// told says what became of an order, in the words of the command line.
func (o *order) told(r *request, done outcome) string {
	name, past := r.queue.Name(), verbWords[o.Action][1]
	switch o.Action {
	case ActionPause, ActionResume:
		if done.Err == nil {
			return fmt.Sprintf("Queue %s is %s.", name, past)
		}
		return done.failed("Queue "+name, past)
	case ActionDeleteJob, ActionEdit:
		job := fmt.Sprintf("Job %s of queue %s", line(o.IDs[0], 128), name)
		if done.Err == nil {
			return job + " was " + past + "."
		}
		return done.failed(job, past)
	}
	some := letters
	if o.Action == ActionPurge {
		some = waiting
	}
	text := some(done.Done)
	if done.Of >= 0 && done.Done < done.Of {
		text = thousands(done.Done) + " of " + some(done.Of)
	}
	text = fmt.Sprintf("%s of queue %s %s", text, name, past)
	if !done.Exact {
		text += ", and perhaps some that were under way when it ended"
	}
	if done.Err == nil && o.Which == "some" && done.Done < done.Of {
		text += ": the others were not there any more"
	}
	return text + "."
}

// failed says that something was not done, if that is certain.
func (o outcome) failed(what, past string) string {
	if o.Exact {
		return what + " was not " + past + "."
	}
	return what + " may be " + past + " or not: the error says what is known."
}
