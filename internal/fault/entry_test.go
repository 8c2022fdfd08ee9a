package fault_test

import (
	"errors"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
)

func TestCheckEntry(t *testing.T) {
	const maxDelay, maxCount = time.Hour, 100
	scheduled := func(delay time.Duration) driver.Entry {
		return driver.Entry{Message: driver.Message{Delay: delay}, State: driver.StateScheduled}
	}
	for name, test := range map[string]struct {
		entry driver.Entry
		want  string // "" for nil
	}{
		"waiting":        {driver.Entry{State: driver.StateWaiting}, ""},
		"dead":           {driver.Entry{State: driver.StateDead, Failures: maxCount, Bounces: maxCount, Deliveries: maxCount}, ""},
		"scheduled":      {scheduled(maxDelay), ""},
		"due":            {scheduled(0), ""},
		"no state":       {driver.Entry{}, "the state 0 is none"},
		"another state":  {driver.Entry{State: driver.StateDead + 1}, "the state 4 is none"},
		"before now":     {scheduled(-1), "the delay -1ns of a scheduled job is not from 0 to 1h0m0s"},
		"too long":       {scheduled(maxDelay + 1), "the delay 1h0m0.000000001s of a scheduled job is not from 0 to 1h0m0s"},
		"a waiting one":  {driver.Entry{Message: driver.Message{Delay: 1}, State: driver.StateWaiting}, "the delay 1ns of a waiting job is not from 0 to 0s"},
		"failures":       {driver.Entry{State: driver.StateDead, Failures: -1}, "of -1 failures, 0 bounces and 0 deliveries one is not from 0 to 100"},
		"bounces":        {driver.Entry{State: driver.StateDead, Bounces: maxCount + 1}, "of 0 failures, 101 bounces and 0 deliveries one is not from 0 to 100"},
		"the deliveries": {driver.Entry{State: driver.StateDead, Deliveries: -1}, "of 0 failures, 0 bounces and -1 deliveries one is not from 0 to 100"},
	} {
		err := maker.CheckEntry("q", &test.entry, maxDelay, maxCount)
		if test.want == "" {
			if err != nil {
				t.Errorf("%s: %v, want none", name, err)
			}
			continue
		}
		if want := "acme: import on queue q: invalid configuration: " + test.want; err == nil || err.Error() != want || !errors.Is(err, driver.ErrConfig) || driver.FateOf(err) != driver.FateNotStored {
			t.Errorf("%s: %v (%s), want %s", name, err, driver.FateOf(err), want)
		}
	}
}
