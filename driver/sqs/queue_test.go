package sqs

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch/driver"
)

// A queue that somebody else made in a way that would lose jobs is refused.
func TestDeclareConflict(t *testing.T) {
	for attribute, value := range map[string]string{
		"RedrivePolicy":          `{"maxReceiveCount":"3","deadLetterTargetArn":"arn:aws:sqs:us-east-1:1:other"}`,
		"MessageRetentionPeriod": "3600",
		"MaximumMessageSize":     "1024",
	} {
		f := newFake()
		d := f.open(t)
		f.queues["q"].attributes[attribute] = value
		err := d.Declare(t.Context(), "q")
		if !errors.Is(err, driver.ErrConflict) || !strings.Contains(err.Error(), attribute) {
			t.Errorf("%s: %v", attribute, err)
		}
		closeAll(t, d)
	}
}

// A queue of a name that was deleted cannot be made for a minute.
func TestDeclareAfterDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		d := f.open(t)
		defer closeAll(t, d)
		if err := d.DeleteQueue(t.Context(), "q"); err != nil {
			t.Fatal(err)
		}
		err := d.Declare(t.Context(), "q")
		if !errors.Is(err, driver.ErrUnavailable) || driver.FateOf(err) != driver.FateNotStored {
			t.Errorf("Declare at once: %v", err)
		}
		time.Sleep(time.Minute)
		if err := d.Declare(t.Context(), "q"); err != nil {
			t.Errorf("Declare after a minute: %v", err)
		}
	})
}
