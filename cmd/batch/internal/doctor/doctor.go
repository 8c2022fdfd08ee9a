// Package doctor finds what is wrong with a broker for batch: what would lose jobs, refuse
// them or hold them up, and what to do about it.
//
// It opens the broker as a program does, asks the driver for what it knows
// ([driver.Examiner]), asks the broker's monitoring for what its clients cannot see, looks
// at each queue, and does with a queue of its own all that programs do, so that a right that
// is missing shows here first.
package doctor

import (
	"context"
	"errors"
	"net/url"
	"strings"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

// Run looks at everything, and calls report for each finding as it comes. An error is that
// of ctx: whatever the broker says is a finding.
func Run(ctx context.Context, options Options, report func(driver.Finding)) error {
	x := &examination{Options: options, report: report}
	if err := x.open(ctx); err != nil {
		x.failed("connection", err)
		if !x.openAnyway(ctx, err) {
			return context.Cause(ctx)
		}
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), x.Timeout)
		defer cancel()
		_ = x.driver.Close(closing) // nothing is on its way
	}()
	x.describe()
	x.examine(ctx)
	queues := x.queues(ctx)
	if x.Monitoring != "none" {
		x.monitor(ctx, queues)
	}
	if !x.ReadOnly && ctx.Err() == nil {
		x.exercise(ctx)
	}
	return context.Cause(ctx)
}

// open opens the broker of the URL.
func (x *examination) open(ctx context.Context) (err error) {
	ctx, cancel := x.within(ctx)
	defer cancel()
	x.driver, err = batch.Open[batch.Driver](ctx, x.URL)
	return err
}

// openAnyway opens a server of Redis that may evict jobs, which a program would be refused,
// to see what else is wrong with it.
func (x *examination) openAnyway(ctx context.Context, refused error) bool {
	u, err := url.Parse(x.URL)
	if err != nil || !strings.HasPrefix(u.Scheme, "redis") || !errors.Is(refused, driver.ErrUnsupported) {
		return false
	}
	query := u.Query()
	query.Set("eviction", "allow")
	u.RawQuery = query.Encode()
	x.URL = u.String()
	return x.open(ctx) == nil
}

// describe says what the broker is, and what it can and cannot do.
func (x *examination) describe() {
	info := x.driver.Info()
	name := strings.TrimSpace(info.Broker + " " + info.Version)
	x.ok("connection", "%s, by the driver %s", name, info.Driver)
	x.ok("capabilities", "%s", strings.Join(batch.Capabilities(x.driver), ", "))
}

// examine asks the driver.
func (x *examination) examine(ctx context.Context) {
	e, able := x.driver.(driver.Examiner)
	if !able {
		return
	}
	ctx, cancel := x.within(ctx)
	defer cancel()
	all, err := e.Examine(ctx)
	for _, f := range all {
		x.report(f)
	}
	if err != nil {
		x.failed("settings", err)
	}
}
