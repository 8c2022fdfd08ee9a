package sqs

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
)

// rights are the IAM actions that each call needs, as the package documentation has
// them.
var rights = map[string]struct {
	actions string
	call    func(t *testing.T, d testDriver) error
}{
	"Declare of what exists":   {"GetQueueUrl GetQueueAttributes", func(t *testing.T, d testDriver) error { return d.Declare(t.Context(), "q") }},
	"Declare of what does not": {"GetQueueUrl CreateQueue", func(t *testing.T, d testDriver) error { return d.Declare(t.Context(), "other") }},
	"Enqueue": {"GetQueueUrl GetQueueAttributes SendMessage", func(t *testing.T, d testDriver) error {
		return enqueued(t, d)
	}},
	"Depth": {"GetQueueUrl GetQueueAttributes", func(t *testing.T, d testDriver) error { _, err := d.Depth(t.Context(), "q"); return err }},
	"Receive and Settle": {"GetQueueUrl GetQueueAttributes ReceiveMessage SendMessage DeleteMessage", func(t *testing.T, d testDriver) error {
		c, got, err := receiveOne(t, d)
		if err != nil {
			return err
		}
		return errors.Join(c.Settle(t.Context(), []driver.Settlement{{Delivery: got[0], Outcome: driver.OutcomeRetry}})...)
	}},
	"Extend": {"GetQueueUrl GetQueueAttributes ReceiveMessage ChangeMessageVisibility", func(t *testing.T, d testDriver) error {
		c, got, err := receiveOne(t, d)
		if err != nil {
			return err
		}
		return errors.Join(c.Extend(t.Context(), got)...)
	}},
	"DeadLetters": {"GetQueueUrl GetQueueAttributes ReceiveMessage ChangeMessageVisibility", func(t *testing.T, d testDriver) error {
		_, _, err := d.DeadLetters(t.Context(), "q", "", 10)
		return err
	}},
	"Redrive": {"GetQueueUrl GetQueueAttributes ReceiveMessage SendMessage DeleteMessage", func(t *testing.T, d testDriver) error {
		_, err := d.Redrive(t.Context(), "q", driver.Selection{All: true})
		return err
	}},
	"Discard of one": {"GetQueueUrl GetQueueAttributes ReceiveMessage DeleteMessage ChangeMessageVisibility", func(t *testing.T, d testDriver) error {
		_, err := d.Discard(t.Context(), "q", driver.Selection{IDs: []string{"dead-0"}})
		return err
	}},
	"DeleteQueue": {"GetQueueUrl DeleteQueue", func(t *testing.T, d testDriver) error { return d.DeleteQueue(t.Context(), "q") }},
	"ListQueues":  {"ListQueues", func(t *testing.T, d testDriver) error { _, err := d.ListQueues(t.Context()); return err }},
}

// Each call works with the rights that it is said to need, and without one of them ends
// at once, as not authorized and with the right's name.
func TestRights(t *testing.T) {
	for what, row := range rights {
		needed := strings.Fields(row.actions)
		for _, missing := range append([]string{""}, needed...) {
			both(t, func(t *testing.T, f *fakeSQS, open func() testDriver) {
				prepared := open()
				put(t, prepared, job("waiting", 0))
				for _, id := range []string{"dead-0", "dead-1"} {
					if r := prepared.Import(t.Context(), "q", []*driver.Entry{importEntry(id, driver.StateDead)}); r != nil {
						t.Fatal(r)
					}
				}
				closeAll(t, prepared)
				d := open()
				defer closeAll(t, d)
				switch d := d.(type) { // as a process that has asked for nothing yet
				case *Driver:
					d.queues.Clear()
				case *FIFODriver:
					d.queues.Clear()
				}
				f.intercept = func(action string, _ *fakeRequest) (int, any, bool) {
					action = strings.TrimSuffix(action, "Batch")
					if slices.Contains(needed, action) && action != missing {
						return 0, nil, false
					}
					return http.StatusForbidden, map[string]string{"__type": "com.amazon.coral.service#AccessDeniedException", "message": "no"}, true
				}
				begin := time.Now()
				err := row.call(t, d)
				if missing == "" {
					if err != nil {
						t.Errorf("%s with %s: %v", what, row.actions, err)
					}
					return
				}
				if !errors.Is(err, driver.ErrUnauthorized) || !strings.Contains(err.Error(), "sqs:"+missing+";") || time.Since(begin) > 3*time.Second {
					t.Errorf("%s without %s, after %s: %v", what, missing, time.Since(begin), err)
				}
			})
		}
	}
}

// receiveOne opens a consumer and receives a job.
func receiveOne(t *testing.T, d testDriver) (driver.Consumer, []*driver.Delivery, error) {
	c, err := d.Consume(t.Context(), "q", driver.ConsumeOptions{Lease: 30 * time.Second, Prefetch: 1})
	if err != nil {
		return nil, nil, err
	}
	got, err := c.Receive(t.Context(), 1)
	return c, got, err
}
