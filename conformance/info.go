package conformance

import (
	"context"
	"net/url"
	"reflect"
	"strings"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

var infoCases = []Case{
	{Name: "info", Rule: "Info names the driver, the broker and its version, and answers the same after Close.", run: caseInfo},
	{Name: "limits", Rule: "Every limit is set, and those that depend on each other fit together.", run: caseLimits},
	{Name: "open-url", Rule: "The driver's URL opens the same type; an unknown parameter is refused by name, and a password in the URL is not repeated.", Needs: []string{needsURL}, run: caseOpenURL},
}

func caseInfo(s *stage) {
	d := s.open()
	before := d.Info()
	for what, text := range map[string]string{"Driver": before.Driver, "Broker": before.Broker, "Version": before.Version} {
		if text == "" {
			s.problem("Info.%s is empty", what)
		}
	}
	s.check(d.Close(s.ctx), "close")
	if after := d.Info(); !reflect.DeepEqual(before, after) {
		s.failf("Info after Close is %+v, before it was %+v", after, before)
	}
}

func caseLimits(s *stage) {
	l := s.open().Info().Limits
	least := func(name string, got, want int) {
		if got < want {
			s.problem("Limits.%s is %d, want at least %d", name, got, want)
		}
	}
	least("MaxBody", l.MaxBody, 1)
	least("MaxHeaders", l.MaxHeaders, 1)
	least("EnqueueBatch", l.EnqueueBatch, 1)
	least("EnqueueBytes", l.EnqueueBytes, l.MaxBody+l.MaxHeaders)
	least("Publishers", l.Publishers, 1)
	least("ReceiveBatch", l.ReceiveBatch, 1)
	least("Receivers", l.Receivers, 1)
	least("SettleBatch", l.SettleBatch, 1)
	least("ExtendBatch", l.ExtendBatch, 1)
	if l.MaxRetryDelay < time.Hour {
		s.problem("Limits.MaxRetryDelay is %s, want at least an hour: retries back off", l.MaxRetryDelay)
	}
	switch {
	case l.MaxLease == 0 && l.MinLease != 0:
		s.problem("Limits.MinLease is %s while MaxLease is zero", l.MinLease)
	case l.MaxLease != 0 && (l.MinLease <= 0 || l.MinLease > l.MaxLease):
		s.problem("Limits.MinLease is %s and MaxLease %s", l.MinLease, l.MaxLease)
	}
	s.capabilityLimits(s.open())
}

// capabilityLimits checks the limits that optional interfaces carry.
func (s *stage) capabilityLimits(d driver.Driver) {
	const year = 365 * 24 * time.Hour
	if p, ok := bare(d).(driver.Prioritizer); ok && p.PriorityLevels() < 5 {
		s.problem("PriorityLevels is %d; Trivial to Critical are 5", p.PriorityLevels())
	}
	if p, ok := bare(d).(driver.Delayer); ok && p.MaxDelay() < year {
		s.problem("MaxDelay is %s, want at least a year", p.MaxDelay())
	}
	if p, ok := bare(d).(driver.Deduplicator); ok && p.DedupWindow() < shortestWindow {
		s.problem("DedupWindow is %s, want at least %s", p.DedupWindow(), shortestWindow)
	}
	if p, ok := bare(d).(driver.Grouper); ok && p.MaxGroups() < 0 {
		s.problem("MaxGroups is %d", p.MaxGroups())
	}
	if p, ok := bare(d).(driver.AtomicEnqueuer); ok && p.AtomicLimit() < 1 {
		s.problem("AtomicLimit is %d", p.AtomicLimit())
	}
}

func caseOpenURL(s *stage) {
	d, err := batch.Open[driver.Driver](s.ctx, s.harness.URL)
	s.check(err, "open by URL")
	if got, want := reflect.TypeOf(d), reflect.TypeOf(bare(s.open())); got != want {
		s.problem("the URL opens a %s, Harness.Open a %s", got, want)
	}
	s.check(d.Close(s.ctx), "close")

	u, err := url.Parse(s.harness.URL)
	s.check(err, "parse Harness.URL")
	password, secret := u.User.Password()
	query := u.Query()
	query.Set("conformance_unknown", "1")
	u.RawQuery = query.Encode()
	ctx, cancel := context.WithTimeout(s.ctx, s.patience())
	defer cancel()
	d, err = batch.Open[driver.Driver](ctx, u.String())
	if err == nil {
		s.check(d.Close(s.ctx), "close")
	}
	s.is(err, driver.ErrConfig, "open a URL with an unknown parameter")
	if text := err.Error(); !strings.Contains(text, "conformance_unknown") {
		s.problem("the error must name the parameter: %q", text)
	} else if secret && password != "" && strings.Contains(text, password) {
		s.problem("the error must not repeat the URL's password: %q", text)
	}
}
