package main

import (
	"context"
	"net/url"
	"strings"
	"testing"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
)

// hostile is a broker whose own words control terminals: its version, and names of queues that
// another program has made.
type hostile struct{ *memory.Driver }

// escape clears a screen.
const escape = "\x1b[2J"

func (d *hostile) Info() driver.Info {
	info := d.Driver.Info()
	info.Broker, info.Version = "Evil"+escape, "1"+escape
	return info
}

func (d *hostile) ListQueues(context.Context) ([]string, error) {
	return []string{"emails", "a" + escape, "b\nstats"}, nil
}

// TestHostileBroker: what a broker says of itself reaches no terminal and no shell as it is.
func TestHostileBroker(t *testing.T) {
	d := &hostile{memory.New()}
	driver.Register(driver.Registration{
		Name: "hostile", Schemes: []string{"hostile"}, Types: []driver.Driver{(*hostile)(nil)},
		Open: func(context.Context, *url.URL) (driver.Driver, error) { return d, nil },
	})
	if _, err := batch.NewQueue(d, "emails").Enqueue(t.Context(), noop{}); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"bench", "--jobs", "10", "--single", "0"}, {"queues"}, {"stats"}, {"doctor"}, {"pause", "a" + escape},
		{"jobs", "delete", "emails", "x" + escape, "--yes"}, {"jobs", "find", "emails", escape}, {"__complete", "stats", ""},
	} {
		r := here(t, "hostile://", args...)
		if strings.Contains(r.both(), "\x1b") {
			t.Errorf("batch %q prints %q", args, r.both())
		}
		if args[0] == "__complete" && !strings.HasPrefix(r.out, "emails\n:") {
			t.Errorf("the shell is offered %q, want emails alone", r.out)
		}
	}
}
