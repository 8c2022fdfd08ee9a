package conformance_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/batch-go/batch/conformance"
	"github.com/batch-go/batch/driver"
)

// StopCounts excuses one lost holder of a job that was received after the Stop, and
// nothing else.
func TestStopCountsExcusesOneCount(t *testing.T) {
	for name, test := range map[string]struct {
		before, after int // what Redeliveries has too much, until Stop and from then on
		reason        string
		found         bool
	}{
		"none":                      {0, 0, "a reason", false},
		"one, excused":              {0, 1, "a reason", false},
		"one, not excused":          {0, 1, "", true},
		"two":                       {0, 2, "a reason", true},
		"one, received before Stop": {1, 0, "a reason", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stopped atomic.Bool
			var stored atomic.Int64
			goOn := make(chan struct{})
			h := on(t, &faults{
				store: func(m *driver.Message) []*driver.Message {
					if stored.Add(1) > 20 { // of 60, so that some come after Stop
						<-goOn
					}
					return one(m)
				},
				hand: func(d *driver.Delivery) {
					if stopped.Load() {
						d.Redeliveries += test.after
					} else {
						d.Redeliveries += test.before
					}
				},
				spiFaults: spiFaults{stop: func(ctx context.Context, c driver.Consumer) error {
					err := c.Stop(ctx)
					stopped.Store(true)
					close(goOn)
					return err
				}},
			})
			h.Slack, h.StopCounts = 2*time.Second, test.reason
			err := find(t, "stop-under-load").Run(t.Context(), h)
			var v *conformance.Violation
			if found := errors.As(err, &v); found != test.found || err != nil && !found {
				t.Errorf("found %t, want %t: %v", found, test.found, err)
			}
		})
	}
}
