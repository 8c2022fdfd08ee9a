package amqp_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/brokers"
	"github.com/batch-go/batch/internal/clockstep"
)

// TestServerClockStep: when the server's time of day is set ahead, nothing is early and nothing late. When it is set
// back, what is in a delay queue at this moment stays there until the server's clock has caught up, and what is delayed
// after that waits behind it, as a queue looks at its first message alone. Nothing is lost, nothing runs twice, and what
// is held stays held.
func TestServerClockStep(t *testing.T) {
	t.Parallel()
	for _, version := range []brokers.Version{brokers.RabbitMQ40, brokers.RabbitMQ4} {
		t.Run(string(version), func(t *testing.T) {
			t.Parallel()
			server := brokers.NewRabbitMQClock(t, version)
			d, err := openURL(t.Context(), server.URL())
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close(context.Background())
			c := &erlangClock{server: server}
			ahead, back, err := clockstep.Run(t.Context(), clockstep.Broker{Driver: d, Before: c.before, Set: c.set}, "clock")
			if err != nil {
				t.Fatal(err)
			}
			if err := ahead.Check(clockstep.Effect{}); err != nil {
				t.Errorf("set ahead: %v", err)
			}
			if err := back.Check(clockstep.Effect{Late: true, Behind: true}); err != nil {
				t.Errorf("set back: %v", err)
			}
			if depth, err := d.Depth(t.Context(), "clock"); err != nil || depth.Scheduled != int64(len(back.Late)) || depth.Waiting != 0 {
				t.Errorf("depth is %+v, %v, want %d scheduled", depth, err, len(back.Late))
			}
		})
	}
}

// TestClockStep: a worker's own time of day changes nothing.
func TestClockStep(t *testing.T) {
	t.Parallel()
	ahead, back := clockstep.Apart(t, 0,
		func() string { return brokers.RabbitMQ(t, brokers.RabbitMQ4).URL() },
		func(ctx context.Context, url string) (driver.Driver, error) { return openURL(ctx, url) })
	if err := ahead.Check(clockstep.Effect{}); err != nil {
		t.Errorf("set ahead: %v", err)
	}
	if err := back.Check(clockstep.Effect{}); err != nil {
		t.Errorf("set back: %v", err)
	}
}

// erlangClock is the time of day of a server, and of what it runs in: Erlang looks once a minute whether it was set, and
// goes on by its own until then.
type erlangClock struct {
	server        *brokers.Instance
	ahead, passed time.Duration
	looked        time.Time // when Erlang has looked
}

// looks is how often Erlang looks whether the time of day was set, and soon how long before that jobs are delayed.
const (
	looks = time.Minute
	soon  = 2 * time.Second
)

// before lets time pass for the server, so that it looks in a moment.
func (c *erlangClock) before(ctx context.Context) error {
	if c.looked.IsZero() {
		out, err := c.server.Exec(ctx, "sh", "-c", "cut -d' ' -f22 /proc/1/stat; cut -d' ' -f1 /proc/uptime")
		if err != nil {
			return err
		}
		const hertz = 100 // of the number of ticks when the process was started
		var started, now float64
		if _, err := fmt.Sscan(out, &started, &now); err != nil {
			return err
		}
		c.looked = time.Now().Add(-time.Duration((now - started/hertz) * float64(time.Second)))
	}
	c.passed += looks - soon - time.Since(c.looked)
	return c.server.SetClock(ctx, c.ahead, c.passed)
}

// set sets the time of day, and returns when Erlang goes by it.
func (c *erlangClock) set(ctx context.Context, ahead time.Duration) error {
	c.ahead = ahead
	if err := c.server.SetClock(ctx, c.ahead, c.passed); err != nil {
		return err
	}
	out, err := c.server.Exec(ctx, "rabbitmqctl", "eval", `
		erlang:monitor(time_offset, clock_service),
		case abs(erlang:system_time(second) - os:system_time(second)) < 5 of
			true -> already;
			false -> receive {'CHANGE', _, _, _, _} -> changed after 70000 -> never end
		end.`)
	if err == nil && !strings.Contains(out, "changed") && !strings.Contains(out, "already") {
		err = fmt.Errorf("the server has not gone by its time of day: %s", out)
	}
	c.looked = time.Now()
	return err
}
