package amqp_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
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
			if soak, _ := strconv.ParseBool(os.Getenv("BATCH_CONFORMANCE_SOAK")); version != brokers.RabbitMQ4 && !soak {
				t.Skip("it does what the newest version does; BATCH_CONFORMANCE_SOAK=1 runs it")
			}
			server := brokers.NewRabbitMQClock(t, version)
			d, err := openURL(t.Context(), server.URL())
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close(context.Background())
			c := &erlangClock{server: server}
			late, err := clockstep.Run(t.Context(), clockstep.Broker{Driver: d, Before: c.before, Set: c.set,
				Back: clockstep.Effect{Late: true, Behind: true}}, "clock")
			if err != nil {
				t.Fatal(err)
			}
			if depth, err := d.Depth(t.Context(), "clock"); err != nil || depth.Scheduled != int64(late) || depth.Waiting != 0 {
				t.Errorf("depth is %+v, %v, want %d scheduled", depth, err, late)
			}
		})
	}
}

// TestClockStep: a worker's own time of day changes nothing.
func TestClockStep(t *testing.T) {
	t.Parallel()
	clockstep.Apart(t, clockstep.Broker{},
		func() string { return brokers.RabbitMQ(t, brokers.RabbitMQ4).URL() },
		func(ctx context.Context, url string) (driver.Driver, error) { return openURL(ctx, url) })
}

// erlangClock is the time of day of a server, and of what it runs in: Erlang looks once a minute whether it was set, and
// goes on by its own until then.
type erlangClock struct {
	server        *brokers.Instance
	ahead, passed time.Duration
	started       time.Time     // when the server's process was
	lag           time.Duration // of the minutes, behind that
}

const (
	// looks is how often Erlang looks whether the time of day was set, and soon how long before that a test begins.
	looks = time.Minute
	soon  = 3 * time.Second
)

// before lets time pass for the server, so that it looks in a moment.
func (c *erlangClock) before(ctx context.Context) error {
	if c.started.IsZero() {
		out, err := c.server.Exec(ctx, "sh", "-c", "cut -d' ' -f22 /proc/1/stat; cut -d' ' -f1 /proc/uptime")
		if err != nil {
			return err
		}
		const hertz = 100 // of the number of ticks when the process was started
		var started, now float64
		if _, err := fmt.Sscan(out, &started, &now); err != nil {
			return err
		}
		c.started = time.Now().Add(-time.Duration((now - started/hertz) * float64(time.Second)))
	}
	uptime := time.Since(c.started) + c.passed
	next := c.lag + (uptime + soon - c.lag).Truncate(looks) + looks
	c.passed += (next - soon - uptime).Truncate(time.Second)
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
			true -> 0;
			false -> receive {'CHANGE', _, _, _, _} -> os:system_time(millisecond) after 70000 -> never end
		end.`)
	if err != nil {
		return err
	}
	looked, err := strconv.ParseInt(strings.TrimSpace(out), 10, 64)
	if err != nil {
		return fmt.Errorf("the server does not go by its time of day: %s", out)
	}
	if looked > 0 {
		c.lag = (time.UnixMilli(looked).Sub(c.started) - c.ahead) % looks
	}
	return nil
}
