package conformance_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/batch-go/batch/conformance"
	"github.com/batch-go/batch/driver"
)

// overNetwork is a harness for the driver on a network, with faults.
func overNetwork(t testing.TB, f remoteFaults) conformance.Harness {
	s := serveRemote(t)
	return conformance.Harness{
		Open:   func(ctx context.Context) (driver.Driver, error) { return openRemote(ctx, s.addr, f) },
		Addr:   s.addr,
		OpenAt: func(ctx context.Context, addr string) (driver.Driver, error) { return openRemote(ctx, addr, f) },
		Lease:  time.Second, Timeout: 50 * time.Second,
	}
}

// networkCases are those that need a network.
func networkCases() []string {
	var names []string
	for _, c := range conformance.Cases() {
		for _, need := range c.Needs {
			if need == "Harness.OpenAt" && len(c.Needs) == 1 {
				names = append(names, c.Name)
			}
		}
	}
	return names
}

// begin runs a case on a driver with faults. Cases mostly wait: the caller lets its
// subtest pause when they are under way, as Run does. A case that fails waits for what does
// not come, so it gets little slack.
func begin(t *testing.T, name string, f remoteFaults, slack time.Duration) <-chan error {
	c, h, ctx := find(t, name), overNetwork(t, f), t.Context()
	h.Slack = slack
	result := make(chan error, 1)
	go func() { result <- c.Run(ctx, h) }()
	return result
}

// A driver that is right passes all of them.
func TestNetworkCases(t *testing.T) {
	for _, name := range networkCases() {
		t.Run(name, func(t *testing.T) {
			result := begin(t, name, remoteFaults{}, time.Second)
			t.Parallel()
			if err := <-result; err != nil {
				t.Error(err)
			}
		})
	}
}

// One that is not is found.
func TestNetworkMutants(t *testing.T) {
	for name, m := range map[string]struct {
		faults remoteFaults
		found  []string
	}{
		"dials for as long as it likes":  {remoteFaults{dial: 3 * time.Second}, []string{"deadline-unanswered"}},
		"waits for answers":              {remoteFaults{deaf: true}, []string{"deadline-black-hole"}},
		"closes when calls are over":     {remoteFaults{lingers: true, deaf: true}, []string{"deadline-black-hole"}},
		"keeps dead connections":         {remoteFaults{loyal: true}, []string{"connection-forgotten"}},
		"uses connections that ended":    {remoteFaults{stale: true}, []string{"idle-closed"}},
		"confirms what it has sent":      {remoteFaults{hopeful: true}, []string{"deadline-black-hole", "killed-producer"}},
		"is certain of what is in doubt": {remoteFaults{certain: true}, []string{"deadline-black-hole"}},
		"sends again what is in doubt":   {remoteFaults{stubborn: true}, []string{"deadline-black-hole"}},
		"removes before it stores":       {remoteFaults{early: true}, []string{"killed-worker"}},
		"does not consume again":         {remoteFaults{final: true}, []string{"deadline-refused"}},
	} {
		for _, found := range m.found {
			t.Run(name+"/"+found, func(t *testing.T) {
				result := begin(t, found, m.faults, 200*time.Millisecond)
				t.Parallel()
				err := <-result
				var v *conformance.Violation
				if !errors.As(err, &v) || v.Case != found {
					t.Errorf("the case did not find it: %v", err)
				}
			})
		}
	}
}

// A driver whose calls are always late by less than what a busy machine is forgiven is
// found nevertheless, on a machine that is not.
func TestTardyDriverIsFound(t *testing.T) {
	worst := measured()
	result := begin(t, "deadline-black-hole", remoteFaults{tardy: 300 * time.Millisecond}, 200*time.Millisecond)
	t.Parallel()
	err := <-result
	late := worst()
	if err == nil && late > 25*time.Millisecond {
		t.Skipf("this machine was late by %s", late)
	}
	if err == nil || !strings.Contains(err.Error(), "beyond what it may") {
		t.Errorf("the case did not find it on a machine that was late by %s: %v", late, err)
	}
}

// measured measures how late this machine is until worst is called.
func measured() (worst func() time.Duration) {
	const beat = 5 * time.Millisecond
	end, ended := make(chan struct{}), make(chan time.Duration)
	go func() {
		late := time.Duration(0)
		for {
			begin := time.Now()
			select {
			case <-time.After(beat):
				late = max(late, time.Since(begin)-beat)
			case <-end:
				ended <- late
				return
			}
		}
	}()
	return func() time.Duration { close(end); return <-ended }
}
