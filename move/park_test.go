package move_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/move"
)

// narrow is a broker with groups and all else, and narrow bounds.
type narrow struct{ inspected }

func (n narrow) Info() driver.Info { return small{n.plain}.Info() }

// choosy is a source that refuses to settle a job as dead with its headers: always where it is too large
// for it, and else once.
type choosy struct {
	*memory.Driver
	err error
}

func (c *choosy) Consume(ctx context.Context, queue string, options driver.ConsumeOptions) (driver.Consumer, error) {
	consumer, err := c.Driver.Consume(ctx, queue, options)
	return &choosyConsumer{Consumer: consumer, err: c.err}, err
}

// choosyConsumer is a consumer of it.
type choosyConsumer struct {
	driver.Consumer
	err     error
	refused bool
}

func (c *choosyConsumer) Settle(ctx context.Context, settlements []driver.Settlement) []error {
	s := &settlements[0]
	if s.Outcome != driver.OutcomeDead || s.Strip || c.refused && !errors.Is(c.err, driver.ErrTooLarge) {
		return c.Consumer.Settle(ctx, settlements)
	}
	c.refused = true
	return each(len(settlements), c.err)
}

// A job that the target cannot keep is parked with its reason, is not in the way of its group, and
// can be redriven and moved when the target can keep it.
func TestPark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, to := brokers(t)
		inGroup := func(body int) func(*batch.Entry) {
			return func(e *batch.Entry) { e.Group, e.Body, e.Failures, e.LastError = "g", make([]byte, body), 1, "before" }
		}
		fill(t, from, "q", []batch.Entry{
			bare("large", batch.StateWaiting, inGroup(101)),
			bare("behind", batch.StateWaiting, inGroup(1)),
			bare("later", batch.StateScheduled, func(e *batch.Entry) { e.Delay, e.Body = 2*time.Minute, make([]byte, 101) }),
			bare("dead", batch.StateDead, nil),
		})
		var told []string
		options := []move.Option{move.Park(), move.Follow(), move.OnFault(func(err error) {
			if refused := (*move.RefusedError)(nil); errors.As(err, &refused) {
				told = append(told, refused.JobID)
			}
		})}
		narrow := narrow{inspectedOf(to)}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		defer cancel()
		p, err := move.Run(ctx, from, narrow, "q", options...)
		if err != nil || p.Parked != 2 || p.Waiting != 1 || p.Dead != 0 || p.Refused != 0 {
			t.Errorf("the progress is %+v, the error %v", p, err)
		}
		if got := strings.Join(told, " "); got != "large later" {
			t.Errorf("refused were %s", got)
		}
		if there := content(t, to, "q"); len(there) != 1 || there[0].ID != "behind" {
			t.Errorf("the target has %v", there)
		}
		letters := make(map[string]batch.Entry)
		for _, e := range content(t, from, "q") {
			letters[e.ID] = e
		}
		l := letters["large"]
		if len(letters) != 3 || l.Reason != batch.ReasonRefused || letters["later"].Reason != batch.ReasonRefused || letters["dead"].Reason != batch.ReasonPermanent {
			t.Fatalf("the dead letters are %+v", letters)
		}
		if l.Failures != 1 || !strings.Contains(l.LastError, "because of its body") || strings.Contains(l.LastError, "move.Park") {
			t.Errorf("the parked job has %d failures and says: %s", l.Failures, l.LastError)
		}
	})
}

// A job that is too large for the source with the reason loses its headers, and says so. A fault of
// the source takes nothing from it.
func TestParkedWithoutHeaders(t *testing.T) {
	for name, want := range map[error]bool{driver.ErrTooLarge: true, driver.ErrUnavailable: false} {
		t.Run(name.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				from, to := brokers(t)
				fill(t, from, "q", []batch.Entry{bare("large", batch.StateWaiting, func(e *batch.Entry) {
					e.Body, e.Headers = make([]byte, 101), map[string]string{"a": "b"}
				})})
				source := &choosy{Driver: from, err: &driver.Error{Driver: "test", Op: "settle", Kind: name, Fate: driver.FateNotStored}}
				p, err := move.Run(t.Context(), source, small{plainOf(to)}, "q", move.Park(), move.Quiet(time.Second))
				if err != nil || p.Parked != 1 {
					t.Fatalf("the progress is %+v, the error %v", p, err)
				}
				for _, l := range content(t, from, "q") {
					if l.Reason != batch.ReasonRefused || (l.Headers == nil) != want || strings.Contains(l.LastError, "headers are missing") != want {
						t.Errorf("the dead letter is %+v", l)
					}
				}
			})
		})
	}
}

// misconfigured is a target that refuses all because of its settings.
type misconfigured struct{ plain }

func (misconfigured) Import(_ context.Context, _ string, entries []*driver.Entry) []driver.Result {
	return all(len(entries), &driver.Error{Driver: "test", Op: "import", Kind: driver.ErrConfig, Fate: driver.FateNotStored})
}

// What the target refuses because of its own state would be refused of every job: none is parked.
func TestParkLeavesJobsOfATargetThatIsWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, to := brokers(t)
		fill(t, from, "q", []batch.Entry{bare("one", batch.StateWaiting, nil), bare("two", batch.StateWaiting, nil)})
		p, err := move.Run(t.Context(), from, misconfigured{plainOf(to)}, "q", move.Park(), move.Follow())
		if !errors.Is(err, batch.ErrConfig) || p.Parked != 0 {
			t.Errorf("the progress is %+v, the error %v", p, err)
		}
		for _, e := range content(t, from, "q") {
			if e.State != batch.StateWaiting {
				t.Errorf("the source has %+v", e)
			}
		}
	})
}

func TestParkRefusesWhatItCannotDo(t *testing.T) {
	from, to := brokers(t)
	for name, options := range map[string][]move.Option{
		"left, too":    {move.Park(), move.LeaveRefused()},
		"dead letters": {move.Only(batch.StateDead), move.Park()},
	} {
		if _, err := move.Run(t.Context(), from, to, "q", options...); !errors.Is(err, batch.ErrInvalid) || !strings.Contains(err.Error(), "Park") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
