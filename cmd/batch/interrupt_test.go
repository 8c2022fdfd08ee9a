package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/internal/brokers"
)

// TestConfirm: on a terminal it is asked before what destroys, and no answer but yes is one.
func TestConfirm(t *testing.T) {
	t.Parallel()
	url := brokers.Redis(t, brokers.Redis8).URL() + "/1"
	d := open(t, url)
	seed(t, d, "confirm")
	for _, test := range []struct {
		keys string
		code int
		left int64
	}{
		{"n\r", exitNotConfirmed, 3}, {"\r", exitNotConfirmed, 3}, {"confirm\r", exitNotConfirmed, 3},
		{ctrlC, exitInterrupted, 3}, {"\x04", exitNotConfirmed, 3}, {"yes\r", exitOK, 0},
	} {
		s := onTerminal(t, url, nil, "dead", "purge", "confirm", "--all")
		s.await("Purge 3 dead letters of queue confirm on Redis")
		s.await("[y/N]")
		s.press(test.keys)
		s.end().want(t, test.code)
		if got := depth(t, d, "confirm"); got.Dead != test.left {
			t.Errorf("after %q there are %d dead letters, want %d", test.keys, got.Dead, test.left)
		}
	}
}

// TestInterruptedRedrive: Ctrl-C ends a redrive of many, which says how many it has done, and
// none is lost.
func TestInterruptedRedrive(t *testing.T) {
	t.Parallel()
	const total = 100_000
	url := brokers.Redis(t, brokers.Redis8).URL() + "/2"
	d := open(t, url)
	put(t, d, "many", dead(total)...)
	s := onTerminal(t, url, nil, "dead", "redrive", "many", "--all")
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for depth(t, d, "many").Waiting == 0 {
		<-look.C
	}
	s.press(ctrlC)
	r := s.end()
	r.want(t, exitInterrupted, fmt.Sprintf(" of %d dead letters of queue many", total))
	var said int64
	if _, after, ok := strings.Cut(r.out, "redriven "); !ok {
		t.Fatalf("it does not say what it has done: %q", r.out)
	} else if _, err := fmt.Sscan(after, &said); err != nil {
		t.Fatal(err)
	}
	// Ctrl-C may also come between two calls: then it says the exact number.
	most := int64(0)
	if strings.Contains(r.out, "perhaps some that were under way") {
		most = pageSize
	}
	got := depth(t, d, "many")
	if got.Waiting+got.Dead != total || got.Dead == 0 || said > got.Waiting || said < got.Waiting-most {
		t.Errorf("it says that %d are redriven, and of %d there are %d waiting and %d dead", said, total, got.Waiting, got.Dead)
	}
	away(t, url, "dead", "redrive", "many", "--all").want(t, exitOK, fmt.Sprintf("redriven %d dead letters", got.Dead))
}

// TestInterruptedBench: Ctrl-C in any phase ends a measurement, which leaves no queue behind.
func TestInterruptedBench(t *testing.T) {
	t.Parallel()
	url := brokers.Redis(t, brokers.Redis8).URL() + "/3"
	d := open(t, url)
	for phase, args := range map[string][]string{
		"enqueueing  [":          {"--jobs", "2000000"},
		"processing  [":          {"--jobs", "50000", "--concurrency", "1"},
		"sending single jobs  [": {"--jobs", "1", "--single", "100000"},
	} {
		s := onTerminal(t, url, nil, append([]string{"bench"}, args...)...)
		s.await(phase)
		s.press(ctrlC)
		s.end().want(t, exitInterrupted, "ended by a signal")
		if names, err := batch.AdminQueues(testContext(t), d); err != nil || len(names) > 0 {
			t.Errorf("interrupted in %q it leaves %q, %v", phase, names, err)
		}
	}
}

// TestBench measures on a real broker, and leaves nothing behind.
func TestBench(t *testing.T) {
	t.Parallel()
	url := brokers.Redis(t, brokers.Redis8).URL() + "/4"
	d := open(t, url)
	r := away(t, url, "bench", "--jobs", "2000", "--single", "10", "-json")
	r.want(t, exitOK)
	phases := objects(t, r)
	if got, want := of(phases, "phase"), "enqueue process single enqueue single start"; strings.Join(got, " ") != want {
		t.Errorf("the phases are %q, want %s", got, want)
	}
	for i, jobs := range []float64{2000, 2000, 10, 10} {
		if i < len(phases) && (phases[i]["jobs"] != jobs || phases[i]["jobs_per_second"].(float64) <= 0) {
			t.Errorf("a phase of %v jobs is %v", jobs, phases[i])
		}
	}
	seed(t, d, "emails")
	away(t, url, "bench", "--queue", "emails").want(t, exitUsage, "queue emails exists")
	if names, err := batch.AdminQueues(testContext(t), d); err != nil || fmt.Sprint(names) != "[emails]" {
		t.Errorf("the queues are %q, %v", names, err)
	}
}

// TestCompletion: the scripts of all shells are there, and queues complete by their names.
func TestCompletion(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "zsh", "fish"} {
		away(t, "", "completion", shell).want(t, exitOK, "batch", "__complete")
	}
	url := brokers.Redis(t, brokers.Redis8).URL() + "/5"
	seed(t, open(t, url), "emails")
	for _, args := range [][]string{{"stats", ""}, {"dead", "list", ""}, {"pause", ""}, {"jobs", "find", ""}} {
		away(t, url, append([]string{"__complete"}, args...)...).want(t, exitOK, "emails\n")
	}
	away(t, url, "__complete", "jobs", "list", "emails", "--state", "").want(t, exitOK, "scheduled\n")
	away(t, "redis://127.0.0.1:1", "__complete", "stats", "").want(t, exitOK)
}
