package conformance

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

// Case is one rule of the contract and the code that finds drivers which break
// it.
type Case struct {
	// Name is the name of the subtest.
	Name string
	// Rule is what the case checks, in one sentence.
	Rule string
	// Needs are the capabilities that a driver must have for the case to run,
	// such as "Prioritizer", and the fields of Harness that must be set, such as
	// "Harness.Restart".
	Needs []string

	// leases is set for cases in which a lease ends or is to be outlived: they
	// use short ones. In the others no lease must end on a machine that is slow.
	leases bool

	// timed is set for cases that judge how late something is.
	timed bool

	// heavy is set for cases that keep a broker busy for so long, with jobs as
	// large or as many as it takes, that others would be late. They run alone.
	heavy bool

	run func(*stage)
}

// The needs that are not capabilities.
const (
	needsURL       = "Harness.URL"
	needsForeign   = "Harness.Foreign"
	needsSecrets   = "Harness.Secrets"
	needsRestart   = "Harness.Restart"
	needsFreeze    = "Harness.Freeze"
	needsCut       = "Harness.Cut"
	needsOpenAt    = "Harness.OpenAt"
	needsOne       = "Harness.FreezeOne"
	needsOther     = "Harness.OtherTransactions"
	needsElsewhere = "Harness.OpenOther"
	needsCounts    = "exact counts"
)

// phase is when a case runs: all of one phase are over before the next begins.
type phase int

const (
	// untimed is for the cases that hold on a machine as slow as can be.
	untimed phase = iota
	// measured is for those about time, which mostly wait and so do not keep the
	// machine, and the broker, from each other.
	measured
	// alone is for those that disturb all others. One runs at a time.
	alone
	phases
)

// phase tells when the case runs.
func (c *Case) phase() phase {
	switch {
	case c.heavy || slices.ContainsFunc(c.Needs, func(need string) bool {
		return need == needsRestart || need == needsFreeze || need == needsCut || need == needsOne
	}):
		return alone
	case c.timed || c.leases:
		return measured
	default:
		return untimed
	}
}

// gives tells which of the needs of cases the harness meets.
func (h *Harness) gives() map[string]bool {
	return map[string]bool{
		needsURL: h.URL != "", needsForeign: h.Foreign != nil, needsSecrets: len(h.Secrets) > 0,
		needsRestart: h.Restart != nil, needsFreeze: h.Freeze != nil, needsCut: h.Cut != nil,
		needsOpenAt: h.OpenAt != nil, needsOne: h.FreezeOne != nil, needsOther: h.OtherTransactions != nil, needsElsewhere: h.OpenOther != nil,
		needsCounts: h.CoarseCounts == "",
	}
}

// suits tells whether the case can run on a driver with these capabilities.
func (c *Case) suits(h *Harness, capabilities []string) bool {
	given := h.gives()
	return !slices.ContainsFunc(c.Needs, func(need string) bool {
		return !given[need] && !slices.Contains(capabilities, need)
	})
}

// ErrNotApplicable: the driver does not have what the case needs.
var ErrNotApplicable = errors.New("conformance: the case does not apply")

// Run runs the case on a broker without package testing. It returns nil if the
// driver kept the rule, or if the machine was too slow to tell, a [*Violation] if it did
// not, and an error that wraps [ErrNotApplicable] if it lacks what the case needs.
func (c Case) Run(ctx context.Context, h Harness) error {
	if h.Open == nil {
		_, err := h.withDefaults(driver.Limits{})
		return err
	}
	d, err := h.open(ctx)
	if err != nil {
		return fmt.Errorf("conformance: open the driver: %w", err)
	}
	info, capabilities, untransacted := d.Info(), batch.Capabilities(d), h.transacts(d)
	if err := d.Close(ctx); err != nil {
		return fmt.Errorf("conformance: close the driver: %w", err)
	}
	if !c.suits(&h, capabilities) {
		return fmt.Errorf("%w: %s needs %s", ErrNotApplicable, c.Name, strings.Join(c.Needs, ", "))
	}
	if untransacted != nil && slices.Contains(c.Needs, txEnqueuer) {
		return untransacted
	}
	if h, err = h.withDefaults(info.Limits); err != nil {
		return err
	}
	_, err = c.execute(ctx, &h, info)
	return err
}

// repeats is how often a case runs at most when the machine is too slow to judge it.
const repeats = 3

// execute runs the case, again if the machine was too slow to judge it: then with leases
// twice as long. The notes say what it could not check, and why a run failed that did not
// count.
func (c Case) execute(ctx context.Context, h *Harness, info driver.Info) (notes []string, err error) {
	for n := 1; ; n++ {
		s := newStage(ctx, h, info, c.Name)
		c.once(ctx, s)
		more, err := s.result()
		notes = append(notes, more...)
		why := s.unjudged()
		judged := why == "" && (err == nil || !s.strained() || !c.timed && !c.leases)
		switch {
		case judged || ctx.Err() != nil || n == repeats && err != nil:
			return notes, err
		case n == repeats:
			return append(notes, c.Name+": the machine is too slow: "+why), nil
		case err != nil:
			notes = append(notes, fmt.Sprintf("%s: run %d failed on a machine that was late by up to %s: %s", c.Name, n, s.machine.worst().Round(time.Millisecond), firstProblem(err)))
		}
		h = h.slower(info.Limits.MaxLease)
	}
}

// firstProblem is a line on a violation, and how to repeat it.
func firstProblem(err error) string {
	var v *Violation
	if !errors.As(err, &v) || len(v.Problems) == 0 {
		return err.Error()
	}
	line, _, _ := strings.Cut(v.Problems[0], "\n")
	return fmt.Sprintf("%s (BATCH_SEED=%d)", line, v.Seed)
}

// once runs the case on a stage of its own. A case that does not come back, not even
// when its context ends, is left behind.
func (c Case) once(ctx context.Context, s *stage) {
	s.machine = newPulse(caseBeat)
	defer s.machine.stop()
	ctx, cancel := deadlineOf(ctx, s.harness.Timeout, s.machine, fmt.Errorf("the case took longer than %s", s.harness.Timeout))
	defer cancel()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	s.ctx, s.rule, s.leases, s.stop = ctx, c.Rule, c.leases, stop
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer s.caught()
		c.run(s)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		select {
		case <-ended:
		case <-time.After(s.returnTime()):
			s.problem("%v; it does not come back and was left behind:\n%s", context.Cause(ctx), stacks())
		}
	}
	cleaned := make(chan struct{})
	go func() {
		defer close(cleaned)
		s.cleanUp()
	}()
	select {
	case <-cleaned:
	case <-time.After(4 * s.returnTime()):
		s.problem("stopping workers, deleting queues and closing handles hangs:\n%s", stacks())
	}
}

// stacks are the goroutines of the process, for a case that hangs.
func stacks() string {
	buf := make([]byte, 64<<10)
	return string(buf[:runtime.Stack(buf, true)])
}
