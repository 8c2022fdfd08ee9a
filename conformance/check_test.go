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

const (
	enqueueing = conformance.Enqueueing
	enqueued   = conformance.Enqueued
	started    = conformance.Started
	done       = conformance.Done
	failed     = conformance.Failed
	returned   = conformance.Returned
	died       = conformance.Died
)

type events = []conformance.Event

// verdicts checks that a judge accepts and refuses what it should. Want is a part
// of the error, or empty.
func verdicts(t *testing.T, judge func(events) error, table map[string]struct {
	events events
	want   string
}) {
	t.Helper()
	for name, c := range table {
		t.Run(name, func(t *testing.T) {
			err := judge(c.events)
			switch {
			case c.want == "" && err != nil:
				t.Errorf("a history that keeps the rule is refused: %v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("the error is %v, want one with %q", err, c.want)
			}
		})
	}
}

type table = map[string]struct {
	events events
	want   string
}

func TestExactCover(t *testing.T) {
	judge := func(e events) error { return conformance.ExactCover(e, []string{"a", "b"}) }
	verdicts(t, judge, table{
		"each once":      {events{{Op: started, ID: "a"}, {Op: started, ID: "b"}, {Op: done, ID: "b"}, {Op: done, ID: "a"}}, ""},
		"one lost":       {events{{Op: started, ID: "a"}, {Op: done, ID: "a"}}, "b never started"},
		"one not done":   {events{{Op: started, ID: "a"}, {Op: done, ID: "a"}, {Op: started, ID: "b"}, {Op: failed, ID: "b"}}, "b started and was not done"},
		"one twice":      {events{{Op: started, ID: "a"}, {Op: done, ID: "a"}, {Op: started, ID: "b"}, {Op: done, ID: "b"}, {Op: started, ID: "b"}}, "b started 2 times"},
		"one stranger":   {events{{Op: started, ID: "a"}, {Op: done, ID: "a"}, {Op: started, ID: "b"}, {Op: done, ID: "b"}, {Op: started, ID: "c"}}, "c started"},
		"nothing at all": {nil, "2 of 2 jobs lost"},
	})
}

func TestNoOverlap(t *testing.T) {
	const lease = time.Second
	judge := func(e events) error { return conformance.NoOverlap(e, lease) }
	verdicts(t, judge, table{
		"one after the other": {events{{Op: started, ID: "a", Worker: "1"}, {Op: failed, ID: "a", Worker: "1"}, {Op: started, ID: "a", Worker: "2"}}, ""},
		"two jobs":            {events{{Op: started, ID: "a", Worker: "1"}, {Op: started, ID: "b", Worker: "2"}}, ""},
		"after the lease":     {events{{Op: started, ID: "a", Worker: "1"}, {At: lease, Op: started, ID: "a", Worker: "2"}}, ""},
		"within the lease":    {events{{Op: started, ID: "a", Worker: "1"}, {At: lease - 1, Op: started, ID: "a", Worker: "2"}}, "a started by 2"},
		"ended by another":    {events{{Op: started, ID: "a", Worker: "1"}, {Op: done, ID: "a", Worker: "2"}, {Op: started, ID: "a", Worker: "2"}}, "two holders"},
	})
	forever := func(e events) error { return conformance.NoOverlap(e, 0) }
	verdicts(t, forever, table{
		"a lease without end": {events{{Op: started, ID: "a", Worker: "1"}, {At: time.Hour, Op: started, ID: "a", Worker: "2"}}, "two holders"},
	})
}

func TestWithin(t *testing.T) {
	for _, c := range []struct {
		end  time.Duration
		want string
	}{{9, "early"}, {10, ""}, {15, ""}, {20, ""}, {21, "late"}} {
		err := conformance.Within("it", 5, 5+c.end, 10, 20)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("after %d of 10 to 20 the error is %v, want %q", c.end, err, c.want)
		}
	}
}

func TestPriorityOrder(t *testing.T) {
	low := conformance.Event{Op: enqueued, ID: "low", Level: driver.Low}
	high := conformance.Event{Op: enqueued, ID: "high", Level: driver.High}
	start := func(id string) conformance.Event { return conformance.Event{Op: started, ID: id} }
	verdicts(t, conformance.PriorityOrder, table{
		"high first":                {events{low, high, start("high"), start("low")}, ""},
		"low first":                 {events{low, high, start("low"), start("high")}, "low of level -1 started while high of level 1 was waiting"},
		"high came too late":        {events{low, start("low"), high, start("high")}, ""},
		"high never started":        {events{low, high, start("low")}, "inversions"},
		"a second start of the low": {events{low, start("low"), high, start("low"), start("high")}, ""},
	})
}

func TestGroupOrder(t *testing.T) {
	e := func(op conformance.Op, id string) conformance.Event {
		return conformance.Event{Op: op, ID: id, Group: "g"}
	}
	begin := events{e(enqueueing, "a"), e(enqueueing, "b")}
	with := func(more ...conformance.Event) events { return append(begin[:2:2], more...) }
	verdicts(t, conformance.GroupOrder, table{
		"in order":            {with(e(started, "a"), e(done, "a"), e(started, "b")), ""},
		"after a retry":       {with(e(started, "a"), e(failed, "a"), e(started, "a"), e(done, "a"), e(started, "b")), ""},
		"after a death":       {with(e(started, "a"), e(died, "a"), e(started, "b")), ""},
		"out of order":        {with(e(started, "b")), "b of group g started while a"},
		"two at once":         {with(e(started, "a"), e(started, "b")), "was not over"},
		"past a failed head":  {with(e(started, "a"), e(failed, "a"), e(started, "b")), "was not over"},
		"past a snoozed head": {with(e(started, "a"), e(returned, "a"), e(started, "b")), "was not over"},
		"a stranger":          {with(e(started, "c")), "was not enqueued"},
		"no group":            {append(with(e(started, "a")), conformance.Event{Op: started, ID: "b"}), ""},
	})
}

func TestAttemptCounts(t *testing.T) {
	start := func(n int) conformance.Event { return conformance.Event{Op: started, ID: "a", Attempt: n} }
	e := func(op conformance.Op) conformance.Event { return conformance.Event{Op: op, ID: "a"} }
	verdicts(t, conformance.AttemptCounts, table{
		"one more a failure": {events{start(1), e(failed), start(2), e(failed), start(3)}, ""},
		"none for a snooze":  {events{start(1), e(returned), start(1)}, ""},
		"one for a snooze":   {events{start(1), e(returned), start(2)}, "attempt 2 after 0 failures"},
		"none for a failure": {events{start(1), e(failed), start(1)}, "attempt 1 after 1 failures"},
		"none for a loss":    {events{start(1), start(1)}, ""},
		"from two":           {events{start(2)}, "miscounted"},
	})
}

func TestHistory(t *testing.T) {
	h := conformance.NewHistory()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	go func() {
		for range 3 {
			h.Add(conformance.Event{Op: started, ID: "a", Worker: "w", Attempt: 1, Level: driver.High, Group: "g", Note: "why"})
		}
		h.Add(conformance.Event{Op: done, ID: "b"})
	}()
	if err := h.Wait(ctx, func() bool { return h.Count(started, done) == 4 }); err != nil {
		t.Fatalf("waiting for four events: %v", err)
	}
	if got := len(h.Of("a")); got != 3 {
		t.Errorf("there are %d events of job a, want 3", got)
	}
	all := h.Events()
	for i := 1; i < len(all); i++ {
		if all[i].At < all[i-1].At {
			t.Errorf("event %d is before the one before it", i)
		}
	}
	tail := h.Tail(2)
	for _, want := range []string{"(2 events before)", "started", "a by w attempt 1", "level 1", "group g", "why", "done"} {
		if !strings.Contains(tail, want) {
			t.Errorf("the tail lacks %q:\n%s", want, tail)
		}
	}
	ended, stop := context.WithCancelCause(t.Context())
	stop(errors.New("too late"))
	if err := h.Wait(ended, func() bool { return false }); err == nil || err.Error() != "too late" {
		t.Errorf("waiting for what does not come ended with %v", err)
	}
}
