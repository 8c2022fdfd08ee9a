package move_test

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/move"
)

// bare makes an entry that any broker keeps.
func bare(id string, state batch.State, change func(*batch.Entry)) batch.Entry {
	e := batch.Entry{State: state}
	e.ID, e.Kind, e.ContentType, e.Body = id, "kind", "text/plain", []byte(id)
	e.EnqueuedAt = time.UnixMilli(1_700_000_000_000).UTC()
	switch state {
	case batch.StateScheduled:
		e.Delay = time.Hour
	case batch.StateDead:
		e.Reason, e.DeadAt = driver.ReasonPermanent, e.EnqueuedAt
	}
	if change != nil {
		change(&e)
	}
	return e
}

// small is a broker with narrow bounds.
type small struct{ plain }

func (s small) Info() driver.Info {
	info := s.plain.Info()
	info.Limits.MaxBody, info.Limits.MaxHeaders, info.Limits.MaxRetryDelay = 100, 50, 24*time.Hour
	return info
}

func TestRefusedJobsStopTheMove(t *testing.T) {
	for _, test := range []struct {
		property move.Property
		change   func(*batch.Entry)
	}{
		{move.Priority, func(e *batch.Entry) { e.Level = batch.High }},
		{move.Group, func(e *batch.Entry) { e.Group = "g" }},
		{move.DedupKey, func(e *batch.Entry) { e.DedupKey = "k" }},
		{move.Headers, func(e *batch.Entry) { e.Headers = map[string]string{"a": strings.Repeat("x", 60)} }},
		{move.Delay, func(e *batch.Entry) { e.Delay = 48 * time.Hour }},
		{move.Body, func(e *batch.Entry) { e.Body = make([]byte, 101) }},
	} {
		for _, state := range []batch.State{batch.StateWaiting, batch.StateScheduled, batch.StateDead} {
			if test.property == move.Delay && state != batch.StateScheduled {
				continue
			}
			t.Run(string(test.property)+" "+state.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					from, to := brokers(t)
					fill(t, from, "q", []batch.Entry{bare("fits", state, nil), bare("odd", state, test.change)})
					want := content(t, from, "q")
					target := small{plainOf(to)}
					_, err := move.Run(t.Context(), from, target, "q", move.Quiet(100*time.Millisecond))
					var refused *move.RefusedError
					if !errors.As(err, &refused) || refused.JobID != "odd" || refused.JobKind != "kind" || refused.State != state || refused.Property != test.property || refused.Queue != "q" {
						t.Fatalf("the error is %#v", err)
					}
					text := refused.Error()
					droppable := slices.Contains(move.Droppable(), string(test.property))
					if strings.Contains(text, "move.Drop(move.") != droppable || !strings.Contains(text, "odd") || !strings.Contains(text, string(test.property)) {
						t.Errorf("the error says: %s", text)
					}
					left := content(t, from, "q")
					same(t, onceMore(append(left, content(t, to, "q")...), want), want)
					if len(left) == 0 || left[len(left)-1].ID != "odd" && left[0].ID != "odd" {
						t.Errorf("the source has %v", left)
					}

					p, err := move.Run(t.Context(), from, target, "q", move.Quiet(100*time.Millisecond), move.LeaveRefused(), move.OnFault(func(err error) { errors.As(err, &refused) }))
					if left := content(t, from, "q"); err != nil || len(left) != 1 || left[0].ID != "odd" || p.Refused == 0 || refused.JobID != "odd" {
						t.Errorf("with LeaveRefused the source has %v, the progress is %+v, the error %v", left, p, err)
					}
					if !droppable {
						return
					}
					if _, err := move.Run(t.Context(), from, target, "q", move.Quiet(100*time.Millisecond), move.Drop(test.property)); err != nil {
						t.Fatal(err)
					}
					for _, e := range content(t, to, "q") {
						if e.Level != batch.Normal || e.Group != "" || e.DedupKey != "" || e.Headers != nil || e.DueAt.After(time.Now().Add(24*time.Hour)) {
							t.Errorf("what was dropped is there: %+v", e)
						}
					}
					if left, there := content(t, from, "q"), content(t, to, "q"); len(left) != 0 || len(there) != 2 {
						t.Errorf("%d jobs are left and %d are there", len(left), len(there))
					}
				})
			})
		}
	}
}

func TestKindsLeavesOthersAtTheirPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, to := brokers(t)
		var entries []batch.Entry
		for i := range 3000 {
			entries = append(entries, bare(numbered(i), batch.StateWaiting, func(e *batch.Entry) {
				if i%2 == 0 {
					e.Kind = "moves"
				}
				if i%10 == 1 {
					e.Group = "g"
				}
			}))
		}
		for _, state := range []batch.State{batch.StateScheduled, batch.StateDead} {
			entries = append(entries, bare("stays", state, nil), bare("goes", state, func(e *batch.Entry) { e.Kind = "moves" }))
		}
		fill(t, from, "q", entries)
		g := &gate{}
		p, err := move.Run(t.Context(), &rigged{from, g}, to, "q", move.Kinds("moves"))
		if err != nil || p.Waiting != 1500 || p.Scheduled != 1 || p.Dead != 1 {
			t.Fatalf("the progress is %+v, the error %v", p, err)
		}
		if g.calls > 400 {
			t.Errorf("it took %d calls to move 1500 jobs", g.calls)
		}
		time.Sleep(time.Minute)
		left := content(t, from, "q")
		if len(left) != 1502 || slices.ContainsFunc(left, func(e batch.Entry) bool { return e.Kind != "kind" || e.Failures != 0 }) {
			t.Errorf("%d jobs are left", len(left))
		}
		var first []string
		for _, e := range left[:900] {
			first = append(first, e.ID)
		}
		if !slices.IsSorted(first) {
			t.Error("those that stay are in another order")
		}
	})
}

// numbered is an ID.
func numbered(i int) string {
	return bare("", 0, nil).Kind + string([]byte{'-', byte('0' + i/1000%10), byte('0' + i/100%10), byte('0' + i/10%10), byte('0' + i%10)})
}

func TestWrongArguments(t *testing.T) {
	from, to := brokers(t)
	fill(t, from, "q", nil)
	if err := from.Declare(t.Context(), "q"); err != nil {
		t.Fatal(err)
	}
	if err := from.Declare(t.Context(), "paused"); err != nil {
		t.Fatal(err)
	}
	if err := from.Pause(t.Context(), "paused"); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		queue   string
		to      batch.Importer
		options []move.Option
		want    string
	}{
		{"no name", to, nil, "queue name"},
		{"q", to, []move.Option{move.To("no name")}, "queue name"},
		{"q", from, nil, "the source itself"},
		{"q", nil, nil, "driver"},
		{"paused", to, nil, "paused"},
		{"q", to, []move.Option{{}}, "zero Option"},
		{"q", to, []move.Option{move.Kinds()}, "at least one kind"},
		{"q", to, []move.Option{move.Kinds("")}, "name of a kind"},
		{"q", to, []move.Option{move.Only()}, "at least one state"},
		{"q", to, []move.Option{move.Only(9)}, "StateWaiting"},
		{"q", to, []move.Option{move.Drop(move.Body)}, "priority, group"},
		{"q", to, []move.Option{move.Concurrency(0)}, "1 to 64"},
		{"q", to, []move.Option{move.Quiet(0)}, "10ms"},
		{"q", to, []move.Option{move.Patience(-1)}, "0s"},
		{"q", to, []move.Option{move.OnProgress(nil)}, "a function"},
		{"q", to, []move.Option{move.OnFault(nil)}, "a function"},
	} {
		_, err := move.Run(t.Context(), from, test.to, test.queue, test.options...)
		if !errors.Is(err, batch.ErrInvalid) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("the error is %v, want one with %q", err, test.want)
		}
	}
	if _, err := move.Run(t.Context(), from, to, "nowhere"); !errors.Is(err, batch.ErrNotFound) {
		t.Errorf("the error of a queue that is not there is %v", err)
	}
	if depth, err := to.Depth(t.Context(), "nowhere"); err == nil {
		t.Errorf("a queue was made on the target: %+v", depth)
	}
}

// TestTwins: jobs that are equal in all are as many on the target.
func TestTwins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, to := brokers(t)
		var entries []batch.Entry
		for range 3 {
			entries = append(entries, bare("twin", batch.StateWaiting, nil), bare("twin", batch.StateScheduled, nil), bare("twin", batch.StateDead, nil))
		}
		fill(t, from, "q", entries)
		want := content(t, from, "q")
		var mu sync.Mutex
		var faults []error
		p, err := move.Run(t.Context(), from, to, "q", move.OnFault(func(err error) {
			mu.Lock()
			defer mu.Unlock()
			faults = append(faults, err)
		}))
		if err != nil {
			t.Fatal(err, faults)
		}
		got := content(t, to, "q")
		if len(got) != len(want) || p.Doubled != 0 {
			t.Errorf("there are %d twins of %d, the progress is %+v: %v", len(got), len(want), p, faults)
		}
	})
}

// TestThereAndBackAgain: a job that was moved, and moved back, can be moved again.
func TestThereAndBackAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, to := brokers(t)
		fill(t, from, "q", jobs(60, 20, 30))
		want := content(t, from, "q")
		for range 3 {
			for _, way := range [][2]*memory.Driver{{from, to}, {to, from}} {
				p, err := move.Run(t.Context(), way[0], way[1], "q")
				if err != nil || p.Moved() != 110 || p.Found != 0 {
					t.Fatalf("the progress is %+v, the error %v", p, err)
				}
				same(t, content(t, way[1], "q"), want)
			}
		}
		if !reflect.DeepEqual(content(t, to, "q"), []batch.Entry(nil)) {
			t.Error("something is left")
		}
	})
}
