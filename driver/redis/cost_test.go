package redis

import (
	"fmt"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/brokers"
)

// costed is a server whose commands are counted, those inside of scripts included.
type costed struct {
	t testing.TB
	d *Driver
	r *goredis.Client
}

// newCosted starts a server of the test's own, as others on it would be counted too.
func newCosted(t testing.TB) *costed {
	t.Helper()
	server := brokers.NewRedis(t, brokers.Redis8)
	return &costed{t: t, d: openAt(t, server.URL()), r: rawAt(t, server.URL()).(*goredis.Client)}
}

// commands are how many commands the server ran in all, and how many scripts were among them.
type commands struct{ all, scripts int }

// count is how many commands do takes.
func (c *costed) count(do func()) commands {
	c.t.Helper()
	before := c.total()
	do()
	after := c.total()
	return commands{after.all - before.all, after.scripts - before.scripts}
}

// total reads the counters.
func (c *costed) total() (n commands) {
	c.t.Helper()
	info, err := c.r.Info(testContext(c.t), "commandstats").Result()
	if err != nil {
		c.t.Fatal(err)
	}
	for line := range strings.Lines(info) {
		name, rest, ok := strings.Cut(strings.TrimPrefix(line, "cmdstat_"), ":calls=")
		var calls int
		if _, err := fmt.Sscanf(rest, "%d,", &calls); !ok || err != nil || name == "info" {
			continue
		}
		n.all += calls
		if name == "evalsha" || name == "eval" {
			n.scripts += calls
		}
	}
	return n
}

// many makes n jobs.
func many(n int, edit ...func(*driver.Message)) []*driver.Message {
	list := make([]*driver.Message, n)
	for i := range list {
		list[i] = message(fmt.Sprintf("j%05d", i), edit...)
	}
	return list
}

// settleAs ends n jobs alike that it stores and receives before.
func settleAs(as driver.Settlement, edit ...func(*driver.Message)) func(c *costed, q string, n int) func() {
	return func(c *costed, q string, n int) func() {
		enqueue(c.t, c.d, q, many(n, edit...)...)
		con := consume(c.t, c.d, q, time.Hour)
		list := make([]driver.Settlement, n)
		for i, g := range receive(c.t, con, n) {
			list[i] = as
			list[i].Delivery = g
		}
		return func() { settle(c.t, con, list...) }
	}
}

// entriesOf makes jobs to import.
func entriesOf(list []*driver.Message, state driver.State, delay time.Duration) []*driver.Entry {
	entries := make([]*driver.Entry, len(list))
	for i, m := range list {
		entries[i] = &driver.Entry{Message: *m, State: state}
		entries[i].Delay = delay
	}
	return entries
}

// imported stores jobs as they are.
func imported(t testing.TB, d *Driver, q string, entries []*driver.Entry) {
	t.Helper()
	for _, r := range d.Import(testContext(t), q, entries) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
}

// oneGroup puts all jobs into one group: all but the first stand behind.
var oneGroup = group("g")

// costs are the calls whose scripts are to be linear. Each is prepared, which is not
// counted, with n jobs.
var costs = map[string]func(c *costed, q string, n int) func(){
	"enqueue": func(c *costed, q string, n int) func() {
		list := many(n)
		return func() { enqueue(c.t, c.d, q, list...) }
	},
	"enqueue delayed": func(c *costed, q string, n int) func() {
		list := many(n, delay(time.Hour))
		return func() { enqueue(c.t, c.d, q, list...) }
	},
	"enqueue in a group": func(c *costed, q string, n int) func() {
		list := many(n, oneGroup)
		return func() { enqueue(c.t, c.d, q, list...) }
	},
	"enqueue atomically": func(c *costed, q string, n int) func() {
		list := many(n, delay(time.Hour))
		return func() {
			if err := c.d.EnqueueAtomic(testContext(c.t), q, list); err != nil {
				c.t.Fatal(err)
			}
		}
	},
	"import scheduled": func(c *costed, q string, n int) func() {
		list := entriesOf(many(n), driver.StateScheduled, time.Hour)
		return func() { imported(c.t, c.d, q, list) }
	},
	"import in a group": func(c *costed, q string, n int) func() {
		list := entriesOf(many(n, oneGroup), driver.StateScheduled, time.Hour)
		return func() { imported(c.t, c.d, q, list) }
	},
	"settle done":  settleAs(driver.Settlement{Outcome: driver.OutcomeDone}),
	"settle retry": settleAs(driver.Settlement{Outcome: driver.OutcomeRetry, Delay: time.Hour, Failures: 1}),
	"settle dead":  settleAs(driver.Settlement{Outcome: driver.OutcomeDead, Reason: driver.ReasonAttempts}),
	"settle back":  settleAs(driver.Settlement{Outcome: driver.OutcomeRelease}),
	"promote": func(c *costed, q string, n int) func() {
		enqueue(c.t, c.d, q, many(n, delay(time.Millisecond))...)
		con := consume(c.t, c.d, q, time.Hour)
		return func() { receive(c.t, con, n) }
	},
	"recover": func(c *costed, q string, n int) func() {
		enqueue(c.t, c.d, q, many(n)...)
		h := lapsed(c, q, n)
		return func() {
			if _, first := h.recoverLapsed(time.Second, ""); !first {
				c.t.Error("another consumer recovers")
			}
			depth(c.t, c.d, q, driver.Depth{Waiting: int64(n)})
		}
	},
	"redrive": func(c *costed, q string, n int) func() {
		imported(c.t, c.d, q, entriesOf(many(n), driver.StateDead, 0))
		return func() { moved(c.t, n)(c.d.Redrive(testContext(c.t), q, driver.Selection{All: true})) }
	},
	"redrive in a group": func(c *costed, q string, n int) func() {
		imported(c.t, c.d, q, entriesOf(many(n, oneGroup), driver.StateDead, 0))
		return func() { moved(c.t, n)(c.d.Redrive(testContext(c.t), q, driver.Selection{All: true})) }
	},
	"discard": func(c *costed, q string, n int) func() {
		imported(c.t, c.d, q, entriesOf(many(n, dedup("k")), driver.StateDead, 0))
		return func() { moved(c.t, n)(c.d.Discard(testContext(c.t), q, driver.Selection{All: true})) }
	},
	"purge": func(c *costed, q string, n int) func() {
		enqueue(c.t, c.d, q, many(n)...)
		return func() { moved(c.t, n)(c.d.Purge(testContext(c.t), q)) }
	},
	"purge a group": func(c *costed, q string, n int) func() {
		enqueue(c.t, c.d, q, many(n, oneGroup)...)
		return func() { moved(c.t, n)(c.d.Purge(testContext(c.t), q)) }
	},
	"delete queue": func(c *costed, q string, n int) func() {
		enqueue(c.t, c.d, q, many(n, delay(time.Hour))...)
		return func() {
			if err := c.d.DeleteQueue(testContext(c.t), q); err != nil {
				c.t.Fatal(err)
			}
		}
	},
	"list scheduled": func(c *costed, q string, n int) func() {
		imported(c.t, c.d, q, entriesOf(many(n), driver.StateScheduled, time.Hour))
		return func() {
			list, _, err := c.d.List(testContext(c.t), q, driver.StateScheduled, "", n)
			if err != nil || len(list) != n {
				c.t.Fatal(len(list), err)
			}
		}
	},
}

// lapsed lets n jobs of a queue be received by a consumer that vanishes, as if its lease had
// passed. It returns a holder, which looks after them when it is told to, and not by itself.
func lapsed(c *costed, q string, n int) *holder {
	c.t.Helper()
	con := consume(c.t, c.d, q, time.Hour)
	receive(c.t, con, n)
	if err := con.Close(testContext(c.t)); err != nil {
		c.t.Fatal(err)
	}
	key := streamKey(c.d, q, driver.Normal)
	pending, err := c.r.XPendingExt(testContext(c.t), &goredis.XPendingExtArgs{Stream: key, Group: groupName, Start: "-", End: "+", Count: int64(n)}).Result()
	if err != nil || len(pending) != n {
		c.t.Fatal(len(pending), err)
	}
	args := []any{"xclaim", key, groupName, "gone:100", "0"}
	for _, p := range pending {
		args = append(args, p.ID)
	}
	if err := c.r.Do(testContext(c.t), append(args, "idle", "1000", "justid")...).Err(); err != nil {
		c.t.Fatal(err)
	}
	return newHolder(c.d.conn, q, c.d.names(q), time.Hour)
}

// moved checks what a call that counts returned.
func moved(t testing.TB, want int) func(int, error) {
	return func(n int, err error) {
		t.Helper()
		if n != want || err != nil {
			t.Fatalf("it moved %d of %d, %v", n, want, err)
		}
	}
}

// TestScriptsAreLinear: four times the jobs take four times the commands, and no single
// script runs more than a bounded number.
func TestScriptsAreLinear(t *testing.T) {
	t.Parallel()
	c := newCosted(t)
	for name, prepare := range costs {
		t.Run(name, func(t *testing.T) {
			c.t = t
			measured := make(map[int]commands)
			for _, n := range []int{1, 240, 960} { // the first loads the scripts
				q := queue(t, c.d)
				run := prepare(c, q, n)
				measured[n] = c.count(run)
			}
			few, lots := measured[240], measured[960]
			t.Logf("%d commands for 240 jobs, %d for 960, in %d scripts", few.all, lots.all, lots.scripts)
			if lots.all > 5*few.all+100 {
				t.Errorf("240 jobs took %d commands, and 960 took %d", few.all, lots.all)
			}
			if per := lots.all / max(lots.scripts, 1); per > 8000 {
				t.Errorf("a script ran %d commands", per)
			}
		})
	}
}

// TestRetriesShareCommands: of each retry in a call the server reads the entry and stores the
// job, which is three commands; what takes the entries out is one for all.
func TestRetriesShareCommands(t *testing.T) {
	t.Parallel()
	c := newCosted(t)
	costs["settle retry"](c, queue(t, c.d), 1)() // loads the script
	const n, fixed = 200, 50
	if got := c.count(costs["settle retry"](c, queue(t, c.d), n)); got.all > 3*n+fixed {
		t.Errorf("%d retries took %d commands", n, got.all)
	}
}

// TestScriptsStopAtBytes: large jobs are moved in as many scripts as it takes to keep
// each short.
func TestScriptsStopAtBytes(t *testing.T) {
	t.Parallel()
	c := newCosted(t)
	large := func(m *driver.Message) { m.Body = make([]byte, 256<<10) }
	for _, name := range []string{"settle retry", "settle dead", "settle back", "promote", "recover", "redrive", "discard", "purge", "purge a group", "list scheduled"} {
		t.Run(name, func(t *testing.T) {
			c.t = t
			q := queue(t, c.d)
			edit := []func(*driver.Message){large}
			if name == "purge a group" {
				edit = append(edit, oneGroup)
			}
			const n = 40 // 10 MiB
			run := largeJobs(c, q, name, many(n, edit...))
			if got := c.count(run); got.scripts < n/6 {
				t.Errorf("%d jobs of 256 KiB were moved in %d scripts", n, got.scripts)
			}
		})
	}
}

// largeJobs prepares a call for given jobs.
func largeJobs(c *costed, q, name string, list []*driver.Message) func() {
	costs := map[string]driver.Settlement{
		"settle retry": {Outcome: driver.OutcomeRetry, Delay: time.Hour, Failures: 1},
		"settle dead":  {Outcome: driver.OutcomeDead, Reason: driver.ReasonAttempts},
		"settle back":  {Outcome: driver.OutcomeRelease},
	}
	if as, ok := costs[name]; ok {
		enqueue(c.t, c.d, q, list...)
		con := consume(c.t, c.d, q, time.Hour)
		var settlements []driver.Settlement
		for _, g := range receive(c.t, con, len(list)) {
			as.Delivery = g
			settlements = append(settlements, as)
		}
		return func() { settle(c.t, con, settlements...) }
	}
	switch name {
	case "promote":
		for _, m := range list {
			m.Delay = time.Millisecond
		}
		enqueue(c.t, c.d, q, list...)
		con := consume(c.t, c.d, q, time.Hour)
		return func() { receive(c.t, con, len(list)) }
	case "recover":
		enqueue(c.t, c.d, q, list...)
		h := lapsed(c, q, len(list))
		return func() {
			eventually(c.t, "the jobs to come back", func() bool {
				h.recoverLapsed(time.Millisecond, "")
				got, err := c.d.Depth(testContext(c.t), q)
				return err == nil && got.Waiting == int64(len(list))
			})
		}
	case "redrive", "discard":
		imported(c.t, c.d, q, entriesOf(list, driver.StateDead, 0))
		if name == "redrive" {
			return func() { moved(c.t, len(list))(c.d.Redrive(testContext(c.t), q, driver.Selection{All: true})) }
		}
		return func() { moved(c.t, len(list))(c.d.Discard(testContext(c.t), q, driver.Selection{All: true})) }
	case "list scheduled":
		imported(c.t, c.d, q, entriesOf(list, driver.StateScheduled, time.Hour))
		return func() {
			for cursor := ""; ; {
				_, next, err := c.d.List(testContext(c.t), q, driver.StateScheduled, cursor, 100)
				if err != nil {
					c.t.Fatal(err)
				}
				if cursor = next; next == "" {
					return
				}
			}
		}
	default:
		enqueue(c.t, c.d, q, list...)
		return func() { moved(c.t, len(list))(c.d.Purge(testContext(c.t), q)) }
	}
}

// called is how often the server ran a command.
func (c *costed) called(command string) (n int) {
	c.t.Helper()
	info, err := c.r.Info(testContext(c.t), "commandstats").Result()
	if err != nil {
		c.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(info, "cmdstat_"+command+":calls=")
	_, _ = fmt.Sscanf(rest, "%d,", &n)
	return n
}
