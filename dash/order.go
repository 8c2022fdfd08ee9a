package dash

import (
	"net/http"
	"slices"

	"github.com/batch-go/batch"
)

// maxChosen is how many jobs can be chosen in one form.
const maxChosen = 1000

// order is what a form asks for.
type order struct {
	Verb   string
	Action Action
	// Which of "some", "matching" and "all" dead letters it is for, empty where that has no meaning.
	Which string
	IDs   []string
	filter
	// State is that of a job to delete, and Cursor where its list began.
	State, Cursor string
	// Typed tells that the queue's name has to be typed.
	Typed bool
}

// verbs are the actions by the last part of their path.
var verbs = map[string]Action{
	"redrive": ActionRedrive, "delete": ActionDelete, "purge-dead": ActionPurgeDead, "delete-job": ActionDeleteJob,
	"purge": ActionPurge, "pause": ActionPause, "resume": ActionResume, "edit": ActionEdit,
}

// orderOf reads what a form asks for. It says what is missing or contradicts itself.
func orderOf(r *http.Request, verb string) (order, error) {
	o := order{
		Verb: verb, Action: verbs[verb], Which: r.Form.Get("which"), IDs: r.Form["id"], filter: filterOf(r),
		State: r.Form.Get("state"), Cursor: r.Form.Get("cursor"),
	}
	slices.Sort(o.IDs)
	o.IDs = slices.Compact(o.IDs)
	switch o.Action {
	case ActionPurge, ActionPurgeDead:
		o.Typed, o.IDs = true, nil
	case ActionPause, ActionResume:
		o.IDs = nil
	case ActionDeleteJob, ActionEdit:
		if len(o.IDs) != 1 || o.IDs[0] == "" {
			return o, refuse(http.StatusBadRequest, "Which job?", "The form has to name one job.")
		}
	default:
		return o, o.checkWhich()
	}
	return o, nil
}

// checkWhich refuses an order that is not clear about which dead letters it is for: none by accident, and never all.
func (o *order) checkWhich() error {
	switch {
	case len(o.IDs) > maxChosen:
		return refuse(http.StatusBadRequest, "Too many at once", "At most %d dead letters can be chosen in one form.", maxChosen)
	case o.Which == "some" && len(o.IDs) > 0:
		return nil
	case o.Which == "some":
		return refuse(http.StatusBadRequest, "None is chosen", "Choose dead letters by the boxes beside them.")
	case o.Which == "matching" && o.Set() && len(o.IDs) == 0:
		return nil
	case o.Which == "all" && !o.Set() && len(o.IDs) == 0 && o.Action == ActionRedrive:
		return nil
	}
	return refuse(http.StatusBadRequest, "Which dead letters?", "The form does not say which dead letters it is for.")
}

// intent is the order as an Authorizer gets it.
func (o *order) intent(r *request) Intent {
	what := Intent{Action: o.Action, Queue: r.queue.Name(), IDs: o.IDs, Count: int64(len(o.IDs))}
	told := !r.status.At.IsZero()
	switch {
	case o.Action == ActionPurge:
		what.Count = whole(r.status.Depth.Waiting, told)
	case o.Action == ActionPurgeDead, o.Which == "all":
		what.Count = whole(r.status.Depth.Dead, told)
	case o.Which == "matching":
		what.Count = batch.UnknownCount
	}
	return what
}

// object is what the order is for, in words.
func (o *order) object(count int64) string {
	switch {
	case o.Action == ActionPurge && count <= 0:
		return "all waiting jobs"
	case o.Action == ActionPurge && count == 1:
		return "the only waiting job"
	case o.Action == ActionPurge:
		return "all " + thousands(count) + " waiting jobs"
	case o.Action == ActionDeleteJob:
		return "job " + line(o.IDs[0], 128)
	case o.Which == "matching":
		return "the dead letters " + o.Words()
	case o.Which == "some":
		return letters(count)
	case count <= 0:
		return "all dead letters"
	case count == 1:
		return "the only dead letter"
	}
	return "all " + letters(count)
}

// verbWords are what is done, in the words of a button, and what was done.
var verbWords = map[Action][2]string{
	ActionRedrive: {"Redrive", "redriven"}, ActionDelete: {"Delete", "deleted"}, ActionPurgeDead: {"Purge", "purged"},
	ActionDeleteJob: {"Delete", "deleted"}, ActionPurge: {"Purge", "purged"}, ActionEdit: {"Redrive with this body", "redriven"},
	ActionPause: {"Pause", "paused"}, ActionResume: {"Resume", "resumed"},
}
