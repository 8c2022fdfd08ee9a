package conformance

import (
	"strings"
	"testing"
	"time"
)

// timed gives the events their times: one a second.
func timed(events ...Event) []Event {
	for i := range events {
		events[i].At = time.Duration(i) * time.Second
	}
	return events
}

func TestJudge(t *testing.T) {
	begun, ok := Event{Op: Enqueueing, ID: "a"}, Event{Op: Enqueued, ID: "a"}
	start := func(worker string, attempt int) Event {
		return Event{Op: Started, ID: "a", Worker: worker, Attempt: attempt}
	}
	end := func(op Op, attempt int) Event { return Event{Op: op, ID: "a", Worker: "w", Attempt: attempt} }
	fault, mended := Event{Op: Disturbed, Worker: "w"}, Event{Op: Mended, Worker: "w"}
	for name, test := range map[string]struct {
		events []Event
		want   string // empty for nothing
	}{
		"a job that is done":            {timed(begun, ok, start("w", 1), end(Done, 1)), ""},
		"one that dies":                 {timed(begun, ok, start("w", 1), end(Died, 1)), ""},
		"one that was never run":        {timed(begun, ok), "jobs lost: a was confirmed"},
		"one that was not ended":        {timed(begun, ok, start("w", 1)), "jobs lost: a was confirmed"},
		"one in doubt that did not run": {timed(begun, Event{Op: Doubtful, ID: "a"}), ""},
		"one in doubt that ran":         {timed(begun, Event{Op: Doubtful, ID: "a"}, start("w", 1), end(Done, 1)), ""},
		"one that was refused and ran":  {timed(begun, Event{Op: Refused, ID: "a"}, start("w", 1), end(Done, 1)), "jobs made up: a ran"},
		"one refused, then confirmed":   {timed(begun, Event{Op: Refused, ID: "a"}, begun, ok, start("w", 1), end(Done, 1)), ""},
		"one that nobody enqueued":      {timed(start("w", 1), end(Done, 1)), "jobs made up: a ran"},
		"twice without a cause":         {timed(begun, ok, start("w", 1), end(Done, 1), start("v", 1), end(Done, 1)), "jobs doubled without a cause: a ran again as attempt 1"},
		"twice with a fault between":    {timed(begun, ok, start("w", 1), fault, mended, start("v", 1), end(Done, 1)), ""},
		"twice with a fault of another": {timed(begun, ok, start("v", 1), fault, mended, start("w", 1), end(Done, 1)), "jobs doubled"},
		"moved by another with a fault": {timed(begun, ok, fault, mended, Event{}, Event{}, Event{}, start("v", 1), end(Done, 1), start("v", 1), end(Done, 1)), ""},
		"moved once, run three times":   {timed(begun, ok, fault, mended, Event{}, Event{}, Event{}, start("v", 1), end(Done, 1), start("v", 1), end(Done, 1), start("v", 1), end(Done, 1)), "jobs doubled"},
		"twice with a fault of all":     {timed(begun, ok, start("v", 1), Event{Op: Disturbed}, start("w", 1), end(Done, 1)), ""},
		"twice soon after a fault":      {timed(begun, ok, fault, mended, start("w", 1), start("v", 1), end(Done, 1)), ""},
		"twice long after a fault":      {timed(fault, mended, begun, ok, Event{}, start("w", 1), start("v", 1), end(Done, 1)), "jobs doubled"},
		"twice, a lease lost":           {timed(begun, ok, start("w", 1), end(Lost, 0), start("v", 1), end(Done, 1)), ""},
		"twice, given back":             {timed(begun, ok, start("w", 1), end(Returned, 1), start("v", 1), end(Done, 1)), ""},
		"three times, given back once":  {timed(begun, ok, start("w", 1), end(Returned, 1), start("v", 1), start("w", 1), end(Done, 1)), "jobs doubled"},
		"twice, enqueued twice":         {timed(begun, Event{Op: Doubtful, ID: "a"}, begun, ok, start("w", 1), end(Done, 1), start("v", 1)), ""},
		"two copies, both retried": {timed(begun, ok, start("w", 1), end(Failed, 1), fault, start("v", 1), end(Failed, 1),
			start("u", 2), end(Done, 2), start("u", 2), end(Done, 2)), ""},
		"two copies, one retried twice": {timed(begun, ok, start("w", 1), end(Failed, 1), fault, start("v", 1), end(Failed, 1),
			start("u", 2), end(Done, 2), start("u", 2), end(Done, 2), start("u", 2), end(Done, 2)), "jobs doubled"},
		"a retry":                        {timed(begun, ok, start("w", 1), end(Failed, 1), start("w", 2), end(Done, 2)), ""},
		"an attempt that none led to":    {timed(begun, ok, start("w", 1), end(Failed, 1), start("w", 3), end(Done, 3)), "attempts made up: a started as attempt 3"},
		"an attempt without a failure":   {timed(begun, ok, start("w", 2), end(Done, 2)), "attempts made up"},
		"no attempt":                     {timed(begun, ok, start("w", 0), end(Done, 0)), "attempts made up"},
		"a retry that was not stored":    {timed(begun, ok, start("w", 1), end(Failed, 1), fault, start("w", 1), end(Failed, 1), start("w", 2), end(Done, 2)), ""},
		"the same without a fault":       {timed(begun, ok, start("w", 1), end(Failed, 1), start("w", 1), end(Done, 1)), "jobs doubled"},
		"a delay that was kept":          {timed(Event{Op: Enqueueing, ID: "a", Delay: time.Second}, ok, start("w", 1), end(Done, 1)), ""},
		"a delay that was not":           {timed(Event{Op: Enqueueing, ID: "a", Delay: 3 * time.Second}, ok, start("w", 1), end(Done, 1)), "jobs early: a started as attempt 1 1s early"},
		"a retry that is early":          {timed(begun, ok, start("w", 1), Event{Op: Failed, ID: "a", Attempt: 1, Delay: 2 * time.Second}, start("w", 2), end(Done, 2)), "jobs early: a started as attempt 2 1s early"},
		"a rerun is not held by a retry": {timed(begun, ok, start("w", 1), fault, Event{Op: Failed, ID: "a", Attempt: 1, Delay: time.Hour}, start("v", 1), end(Done, 1)), ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := Judge(test.events, 2*time.Second)
			switch {
			case err == nil && test.want != "":
				t.Errorf("nothing was found, want %q", test.want)
			case err != nil && (test.want == "" || !strings.Contains(err.Error(), test.want)):
				t.Errorf("found %q, want %q", err, test.want)
			}
		})
	}
}

func TestJudgeGroupsAndKeys(t *testing.T) {
	job := func(op Op, id string) Event { return Event{Op: op, ID: id, Group: "g", Attempt: 1, Worker: "w"} }
	unique := func(id string) Event { return Event{Op: Enqueueing, ID: id, Key: "k"} }
	for name, test := range map[string]struct {
		events []Event
		want   string
	}{
		"in order": {timed(job(Enqueueing, "a"), job(Enqueued, "a"), job(Enqueueing, "b"), job(Enqueued, "b"),
			job(Started, "a"), job(Done, "a"), job(Started, "b"), job(Done, "b")), ""},
		"too soon": {timed(job(Enqueueing, "a"), job(Enqueued, "a"), job(Enqueueing, "b"), job(Enqueued, "b"),
			job(Started, "a"), job(Started, "b"), job(Done, "a"), job(Done, "b")), "groups out of order: b of group g started while a"},
		"not confirmed before": {timed(job(Enqueueing, "a"), job(Doubtful, "a"), job(Enqueueing, "b"), job(Enqueued, "b"),
			job(Started, "b"), job(Done, "b"), job(Started, "a"), job(Done, "a")), ""},
		"one key, one job": {timed(unique("a"), unique("b"), Event{Op: Duplicate, ID: "b"},
			Event{Op: Started, ID: "a", Attempt: 1}), ""},
		"one key, two jobs": {timed(unique("a"), unique("b"),
			Event{Op: Started, ID: "a", Attempt: 1}, Event{Op: Started, ID: "b", Attempt: 1}), "keys taken twice: b ran for key k, and a before"},
		"a duplicate that ran": {timed(unique("a"), unique("b"), Event{Op: Duplicate, ID: "b"},
			Event{Op: Started, ID: "b", Attempt: 1}), "jobs made up: b ran"},
	} {
		t.Run(name, func(t *testing.T) {
			err := Judge(test.events, 2*time.Second)
			switch {
			case err == nil && test.want != "":
				t.Errorf("nothing was found, want %q", test.want)
			case err != nil && (test.want == "" || !strings.Contains(err.Error(), test.want)):
				t.Errorf("found %q, want %q", err, test.want)
			}
		})
	}
}

func TestAllOrNone(t *testing.T) {
	ran := func(ids ...string) []Event {
		var events []Event
		for _, id := range ids {
			events = append(events, Event{Op: Started, ID: id})
		}
		return events
	}
	groups := [][]string{{"a", "b"}, {"c", "d"}}
	for _, events := range [][]Event{nil, ran("a", "b"), ran("d", "c", "c"), ran("a", "b", "c", "d")} {
		if err := AllOrNone(events, groups); err != nil {
			t.Errorf("%v: %v", events, err)
		}
	}
	if err := AllOrNone(ran("a", "b", "c"), groups); err == nil || !strings.Contains(err.Error(), "1 of the 2 jobs from c on ran") {
		t.Errorf("a group in part: %v", err)
	}
}
