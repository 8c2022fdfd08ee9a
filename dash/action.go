package dash

import (
	"net/http"

	"github.com/batch-go/batch"
)

// Action is something that a page lets people do. Its text is for logs and for an [Authorizer] that has a list.
type Action string

// The actions. Only an [Authorizer] makes them possible.
const (
	// ActionRedrive puts dead letters back in the queue.
	ActionRedrive Action = "redrive"
	// ActionEdit puts a dead letter back in the queue with another body.
	ActionEdit Action = "edit"
	// ActionDelete removes dead letters for good: some of them.
	ActionDelete Action = "delete"
	// ActionPurgeDead removes all dead letters for good.
	ActionPurgeDead Action = "purge-dead"
	// ActionDeleteJob removes a waiting or scheduled job for good, and no dead letter.
	ActionDeleteJob Action = "delete-job"
	// ActionPurge removes all waiting jobs for good.
	ActionPurge Action = "purge"
	// ActionPause stops the broker from handing out the queue's jobs.
	ActionPause Action = "pause"
	// ActionResume ends a pause.
	ActionResume Action = "resume"
	// ActionReadBody shows the body and the headers of a job. It is asked only where [Config.ShowBodies] is set.
	ActionReadBody Action = "read-body"
)

// Intent is what a request wants to do.
type Intent struct {
	Action Action
	// Queue is the queue's name.
	Queue string
	// IDs are those of the jobs that were chosen, nil where the action is for all of the queue or for those that match
	// a filter.
	IDs []string
	// Count is how many jobs it is about, as far as that is known before, and else [batch.UnknownCount]: all dead
	// letters of a kind, or a broker that cannot count. It is zero for a pause and its end.
	Count int64
}

// Authorizer decides whether a request may do what it wants. Nil allows it. An error refuses it, and its text is shown
// to the user; it is no place for secrets. It is called for each action before anything is changed, so that a right that
// was taken back ends at once, and by many requests at the same time. It finds in the request who is asking: in a header
// of the proxy that authenticates, in a session, in the context.
type Authorizer func(r *http.Request, what Intent) error

// AllowAll is an [Authorizer] that refuses nothing: for a server that only its user can reach, or one where all who are
// let in may do everything.
func AllowAll(*http.Request, Intent) error { return nil }

// whole is the count of an action on all of a state, unknown where nobody knows.
func whole(n int64, answered bool) int64 {
	if !answered {
		return batch.UnknownCount
	}
	return n
}
