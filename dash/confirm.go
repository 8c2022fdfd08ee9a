package dash

import "net/http"

// confirmPage asks before something is done.
type confirmPage struct {
	order
	Do, Object string
	// Button is what the button says: it is short where the heading is long.
	Button string
	// Danger tells that it cannot be undone.
	Danger bool
	// Note says what else there is to know.
	Note string
	Back string // the path to go back to, below the queue's
}

// showConfirm asks whether what a form or a link wants is meant. Nothing is done.
func (s *site) showConfirm(r *request) {
	if action := verbs[r.Form.Get("do")]; action == "" || action == ActionEdit && s.acts() { // an edit has a page of its own
		s.fail(r, refuse(http.StatusBadRequest, "Which action?", "The link does not name an action."))
		return
	}
	o, err := orderOf(r.Request, r.Form.Get("do"))
	if err == nil && !s.acts() {
		err = s.authorize(r.Request, Intent{})
	}
	if err != nil {
		s.fail(r, err)
		return
	}
	p := &confirmPage{
		order: o, Do: verbWords[o.Action][0], Object: o.object(o.intent(r).Count), Back: o.back(),
		Danger: o.Action != ActionRedrive && o.Action != ActionPause && o.Action != ActionResume, Note: notes[o.Action],
	}
	p.Button = p.Do + " " + p.Object
	if o.Which == "matching" {
		p.Button = p.Do + " these"
		p.Note += " One action looks at the first " + thousands(moveSize) + " dead letters at most, and says if there may be more."
		if cost := readCost(r.queue); cost != "" {
			p.Note += " " + cost
		}
	}
	s.show(r, http.StatusOK, "confirm", s.frameOf(r, p.Do+" "+p.Object, p))
}

// notes are what there is to know of an action before it is done.
var notes = map[Action]string{
	ActionRedrive:   "Each runs again as if it had just been enqueued, with no attempts spent. One that has expired dies again instead. Mend the cause first.",
	ActionDelete:    "They are gone for good.",
	ActionPurgeDead: "They are gone for good.",
	ActionDeleteJob: "It is gone for good.",
	ActionPurge:     "They are gone for good. Scheduled and running jobs and dead letters stay, and workers go on.",
	ActionPause:     "The broker hands out no more of its jobs until it is resumed. Jobs that workers hold still run.",
	ActionResume:    "The broker hands out its jobs again.",
}

// back is the page that an order came from, below the queue's path; empty for the queue itself.
func (o *order) back() string {
	switch o.Action {
	case ActionRedrive, ActionDelete, ActionPurgeDead, ActionEdit:
		return "/dead"
	case ActionDeleteJob:
		if o.State == "scheduled" {
			return "/scheduled"
		}
		return "/waiting"
	}
	return ""
}
