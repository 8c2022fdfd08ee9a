// Package jobs is what the parts of the service share: the jobs, their queues, and what they rely on of the broker.
package jobs

import "github.com/batch-go/batch"

// Broker is what the service relies on: its capability set.
type Broker interface {
	batch.Delayer
	batch.Deduplicator
}

// The queues.
const (
	Emails  = "emails"
	Reports = "reports"
)

// Queues are all queues.
func Queues() []string { return []string{Emails, Reports} }

// Welcome greets a user who has signed up. It is on the queue emails.
type Welcome struct {
	UserID int `json:"user_id"`
}

// Kind names the job on the wire.
func (Welcome) Kind() string { return "email.welcome" }

// Digest tells a team what happened on the day before. It is on the queue reports.
type Digest struct {
	Team string `json:"team"`
}

// Kind names the job on the wire.
func (Digest) Kind() string { return "report.digest" }
