package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

// Options say what to look at.
type Options struct {
	// URL names the broker.
	URL string
	// Queues are looked at, beside those that the broker lists.
	Queues []string
	// Monitoring is the URL of RabbitMQ's management API or of the monitoring of NATS. Empty
	// means where they mostly are: at port 15672 or 8222 of the broker's host. "none" means
	// not to look.
	Monitoring string
	// ReadOnly leaves the broker as it is: no queue is made to try everything on, and no
	// queue is declared that is there.
	ReadOnly bool
	// Timeout bounds each request to the broker.
	Timeout time.Duration
}

// examination is one run.
type examination struct {
	Options
	driver batch.Driver
	report func(driver.Finding)
}

// within bounds one request.
func (x *examination) within(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, x.Timeout)
}

// found reports a finding.
func (x *examination) found(subject string, grade driver.Grade, remedy, format string, args ...any) {
	x.report(driver.Finding{Subject: subject, Grade: grade, Detail: fmt.Sprintf(format, args...), Remedy: remedy})
}

// ok reports what is as it should be.
func (x *examination) ok(subject, format string, args ...any) {
	x.found(subject, driver.GradeOK, "", format, args...)
}

// failed reports an error of the broker, with what its driver says to do about it.
func (x *examination) failed(subject string, err error) {
	detail, remedy := err.Error(), remedyOf(err)
	var e *driver.Error
	if errors.As(err, &e) && e.Hint != "" {
		detail, remedy = strings.TrimSuffix(detail, " ("+e.Hint+")"), e.Hint
	}
	x.found(subject, driver.GradeFail, remedy, "%s", detail)
}

// remedyOf is what to do about an error whose driver does not say.
func remedyOf(err error) string {
	switch {
	case errors.Is(err, driver.ErrUnauthorized):
		return "give the user this right: the documentation of the driver lists all that it needs"
	case errors.Is(err, driver.ErrFull):
		return "make room on the broker, or let workers catch up"
	case errors.Is(err, driver.ErrConflict):
		return "correct the queue, or delete it when it is empty"
	case errors.Is(err, driver.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		return "see whether the broker runs, is reached from here, and has memory and disk left"
	case errors.Is(err, driver.ErrNotFound):
		return "enqueue a job or start a worker: both make the queue"
	case errors.Is(err, driver.ErrConfig):
		return "correct the URL"
	}
	return "see the broker's log"
}
