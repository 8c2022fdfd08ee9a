package conformance

import (
	"context"
	"strings"
	"testing"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
)

// Each mistake in a harness is an error that names the field.
func TestHarnessMistakes(t *testing.T) {
	open := func(context.Context) (driver.Driver, error) { return memory.New(), nil }
	openAt := func(ctx context.Context, _ string) (driver.Driver, error) { return open(ctx) }
	nothing := func(context.Context) (driver.Driver, error) { return nil, nil }
	nowhere := func(context.Context, string) (driver.Driver, error) { return nil, nil }
	freezeOne := func(context.Context, int) (func(), error) { return func() {}, nil }
	good := Case{Name: "good", Rule: "Rule.", run: func(s *stage) { s.declared() }}
	network := Case{Name: "network", Rule: "Rule.", Needs: networked, run: func(s *stage) { s.through(s.network()) }}
	for want, c := range map[string]struct {
		Case
		Harness
	}{
		"Harness.Open is nil": {good, Harness{}},
		"Harness.Open returned neither a driver nor an error":   {good, Harness{Open: nothing}},
		"Harness.OpenAt returned neither a driver nor an error": {network, Harness{Open: open, Addr: "127.0.0.1:1", OpenAt: nowhere}},
		"Harness.OpenAt needs Addr":                             {good, Harness{Open: open, OpenAt: openAt}},
		"Harness.Addr is for OpenAt, which is nil":              {good, Harness{Open: open, Addr: "127.0.0.1:1"}},
		"Harness.FreezeOne needs Servers":                       {good, Harness{Open: open, FreezeOne: freezeOne, Servers: 1}},
		"Parallel, Waiting, Servers, Slack, Lease, Timeout or":  {good, Harness{Open: open, Parallel: -1}},
	} {
		if err := c.Run(t.Context(), c.Harness); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "panic") {
			t.Errorf("the error is %v, want one that says %q and no panic", err, want)
		}
	}
	var h Harness
	h.Open, h.Addr, h.OpenAt = open, "127.0.0.1:1", openAt
	h.LikeAnother()
	if err := good.Run(t.Context(), h); err != nil {
		t.Errorf("a harness like another: %v", err)
	}
}

// A driver of which a consumer, or a Receive, is nothing at all is told so, whatever a case
// makes of it.
func TestNothingIsNoResult(t *testing.T) {
	for _, c := range Cases() {
		switch c.Name {
		case "wakes-idle", "wakes-consumers", "receive-concurrent", "deleted-queue", "group-serial", "midway-enqueue", "stop-under-load", "lease-expiry", "results-are-mine":
		default:
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			b, err := memory.NewBroker(memory.Options{})
			if err != nil {
				t.Fatal(err)
			}
			err = c.Run(t.Context(), Harness{Open: func(context.Context) (driver.Driver, error) {
				d, err := b.Open()
				return idle{d}, err
			}})
			if err == nil || !strings.Contains(err.Error(), "Receive returned no job and no error") || strings.Contains(err.Error(), "panic") || strings.Contains(err.Error(), "left behind") {
				t.Errorf("the case says %v", err)
			}
		})
	}
}

// idle is a driver whose Receive returns nothing.
type idle struct{ *memory.Driver }

// Consume opens such a consumer.
func (d idle) Consume(ctx context.Context, queue string, o driver.ConsumeOptions) (driver.Consumer, error) {
	c, err := d.Driver.Consume(ctx, queue, o)
	return idleConsumer{c}, err
}

// idleConsumer is one whose Receive returns nothing.
type idleConsumer struct{ driver.Consumer }

// Receive returns nothing, at once.
func (idleConsumer) Receive(context.Context, int) ([]*driver.Delivery, error) { return nil, nil }

// An Enqueue that never returns ends the case about a Close meanwhile.
func TestCloseOfAHandleThatHangs(t *testing.T) {
	for _, c := range Cases() {
		if c.Name != "close-concurrent" {
			continue
		}
		end := make(chan struct{})
		defer close(end)
		err := c.Run(t.Context(), Harness{
			Open:  func(context.Context) (driver.Driver, error) { return stuck{memory.New(), end}, nil },
			Slack: 1e7, Timeout: 3e8,
		})
		if err == nil || !strings.Contains(err.Error(), "few of the enqueues before the handle is closed have ended") || strings.Contains(err.Error(), "left behind") {
			t.Errorf("the case says %v", err)
		}
	}
}

// stuck is a driver whose Enqueue does not return before the end.
type stuck struct {
	*memory.Driver
	end chan struct{}
}

// Enqueue waits for the end.
func (d stuck) Enqueue(context.Context, string, []*driver.Message) []driver.Result {
	<-d.end
	return nil
}

func TestHeadersDiffer(t *testing.T) {
	type headers = map[string]string
	many := headers{}
	for _, name := range strings.Split("bcdefghijklmnopqrstuvwxyz", "") {
		many[name] = strings.Repeat(name, 1000)
	}
	for want, c := range map[string]struct{ got, want headers }{
		`the headers are 1, were 2, and 1 differ, the first: "b" is not there, was "2"`:                                                  {headers{"a": "1"}, headers{"a": "1", "b": "2"}},
		`the headers are 1, were 0, and 1 differ, the first: "a" is "1", was not there`:                                                  {headers{"a": "1"}, nil},
		`the headers are 2, were 2, and 1 differ, the first: "b" is "20", was "2\x00": they differ at byte 1`:                            {headers{"a": "", "b": "20"}, headers{"a": "", "b": "2\x00"}},
		`the headers are 0, were 25, and 25 differ, the first: "b" is not there, was "` + strings.Repeat("b", 100) + `"... (1000 bytes)`: {nil, many},
	} {
		if got := headersDiffer(c.got, c.want); got != want {
			t.Errorf("the text is\n%s, want\n%s", got, want)
		}
	}
}
