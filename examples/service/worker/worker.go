// Package worker is the part of the service that works.
package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/cron"
	"github.com/batch-go/batch/examples/service/jobs"
	"github.com/batch-go/batch/examples/service/mail"
	"github.com/batch-go/batch/health"
)

// Config is what the worker needs.
type Config struct {
	Broker jobs.Broker
	Mails  mail.Sender
	// Concurrency is for mails.
	Concurrency int
	// StopTimeout is how long a stop may take.
	StopTimeout time.Duration
	// BrokerPatience is how long the broker may be silent before the worker counts as not ready.
	BrokerPatience time.Duration
	Hooks          []batch.Hook
	Log            *slog.Logger
}

// New makes the worker, and what answers for it when Kubernetes asks. What sends mails is passed in, so that tests need no
// provider.
func New(c Config) (*batch.Worker, *health.Check, error) {
	config := batch.WorkerConfig{
		Queues: []batch.WorkerQueue{
			{Name: jobs.Emails, Concurrency: c.Concurrency},
			{Name: jobs.Reports, Concurrency: 2},
		},
		StopTimeout: c.StopTimeout,
		Hooks:       c.Hooks,
		Log:         c.Log,
	}
	check, err := health.TryWatch(c.Broker, &config, health.Config{Patience: c.BrokerPatience})
	if err != nil {
		return nil, nil, err
	}
	w, err := batch.TryNewWorker(c.Broker, config)
	if err != nil {
		return nil, nil, err
	}
	batch.Handle(w, welcome(c.Mails), batch.HandleMaxAttempts(10), batch.HandleTimeout(30*time.Second))
	batch.Handle(w, digest(c.Mails))
	return w, check, nil
}

// welcome handles jobs.Welcome.
func welcome(mails mail.Sender) func(context.Context, *batch.Job[jobs.Welcome]) error {
	return func(ctx context.Context, job *batch.Job[jobs.Welcome]) error {
		// The provider knows by the key that a retry is no second mail: a job may run twice.
		return outcome(mails.Send(ctx, mail.Mail{Key: job.ID, To: fmt.Sprint("user-", job.Args.UserID), Template: "welcome"}))
	}
}

// digest handles jobs.Digest, of which package schedule enqueues one a day.
func digest(mails mail.Sender) func(context.Context, *batch.Job[jobs.Digest]) error {
	return func(ctx context.Context, job *batch.Job[jobs.Digest]) error {
		tick, planned := cron.TickOf(job.JobInfo)
		if !planned {
			return batch.Permanent(errors.New("a digest is about a day, and this job has no tick"))
		}
		day := tick.Time.AddDate(0, 0, -1).Format(time.DateOnly)
		return outcome(mails.Send(ctx, mail.Mail{Key: job.ID, To: "team-" + job.Args.Team, Template: "digest of " + day}))
	}
}

// outcome tells batch what an error of the provider means: a mail that is refused for good is a dead letter at once, one
// that is too early comes back when the provider wants it, and all else is tried again with a backoff.
func outcome(err error) error {
	var refused *mail.Refused
	switch {
	case !errors.As(err, &refused):
		return err
	case refused.Forever():
		return batch.Permanent(err)
	case refused.RetryAfter > 0:
		return batch.RetryAfter(refused.RetryAfter, err)
	}
	return err
}
