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

// TestServerClockStep: when the server's time of day is set ahead or back, nothing is early, lost or twice, and what is
// held stays held. Set ahead, nothing is late. Set back, the server keeps what is in a delay queue at this moment for as
// long as the step, and all that is delayed after that stays behind it, until the driver notices and moves it on: after
// 15 s, and a second to be sure. From then on nothing is late.
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
				Back: clockstep.Effect{Slow: noticed}}, "clock")
			if err != nil {
				t.Fatal(err)
			}
			inTime(t, d, "clock")
			if depth, err := d.Depth(t.Context(), "clock"); err != nil || late != 0 || depth.Scheduled != 0 || depth.Waiting != 0 {
				t.Errorf("depth is %+v, %v, and %d are late, want none", depth, err, late)
			}
		})
	}
}

// noticed is how long it takes to notice that a delay queue stands still, and to see to it.
const noticed = 17 * time.Second

// inTime delays jobs and receives them: sooner than somebody would notice that a queue stands still.
func inTime(t *testing.T, d driver.Driver, queue string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), noticed)
	defer cancel()
	begin := time.Now()
	var messages []*driver.Message
	delays := make(map[string]time.Duration)
	for i := range 4 {
		messages = append(messages, &driver.Message{ID: fmt.Sprint("after-", i), Kind: "step", Body: []byte("{}"),
			ContentType: "application/json", EnqueuedAt: time.UnixMilli(1e12).UTC(), Delay: time.Second << i / 2})
		delays[messages[i].ID] = messages[i].Delay
	}
	for _, r := range d.Enqueue(ctx, queue, messages) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	c, err := d.Consume(ctx, queue, driver.ConsumeOptions{Prefetch: len(messages)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	for left := len(messages); left > 0; {
		deliveries, err := c.Receive(ctx, left)
		if err != nil {
			t.Fatalf("after the step %d jobs are late: %v", left, err)
		}
		for _, got := range deliveries {
			if after := time.Since(begin); after < delays[got.ID] {
				t.Errorf("%s came after %s", got.ID, after)
			}
			for _, err := range c.Settle(ctx, []driver.Settlement{{Delivery: got, Outcome: driver.OutcomeDone}}) {
				t.Error(err)
			}
		}
		left -= len(deliveries)
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
