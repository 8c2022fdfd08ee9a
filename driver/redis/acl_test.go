package redis

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/brokers"
)

// LeastRights is leastRights for the tests of the package from outside.
var LeastRights = leastRights

// leastRights reads the rights that the package documentation asks for.
func leastRights(t testing.TB) []string {
	t.Helper()
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "ACL SETUSER batch on >password ")
	if !ok {
		t.Fatal("doc.go has no rights")
	}
	var rights []string
	for line := range strings.Lines(rest) {
		line, inside := strings.CutPrefix("//\t"+strings.TrimPrefix(line, "//\t"), "//\t")
		if strings.TrimSpace(strings.TrimPrefix(line, "//")) == "" || !inside {
			break
		}
		rights = append(rights, strings.Fields(line)...)
	}
	return rights
}

// TestMissingRightIsNamed: without one of the rights a call is refused at once, by an error
// that names it, and every right is needed.
func TestMissingRightIsNamed(t *testing.T) {
	t.Parallel()
	server := brokers.NewRedis(t, brokers.Redis8)
	admin := rawAt(t, server.URL()).(*goredis.Client)
	address := strings.Replace(server.URL(), "redis://", "redis://batch:password@", 1)
	grant := func(rights ...string) {
		t.Helper()
		args := []any{"acl", "setuser", "batch", "reset", "on", ">password"}
		for _, r := range rights {
			args = append(args, r)
		}
		if err := admin.Do(testContext(t), args...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	all := leastRights(t)
	if len(all) < 30 {
		t.Fatalf("doc.go has the rights %q", all)
	}
	grant(all...)
	d := openAt(t, address)
	if err := touchEverything(t, d); err != nil {
		t.Fatalf("with all rights: %v", err)
	}
	for i, right := range all {
		name, isCommand := strings.CutPrefix(right, "+")
		if !isCommand || elsewhere[name] {
			continue
		}
		rest := append(append([]string(nil), all[:i]...), all[i+1:]...)
		grant(rest...)
		err := touchEverything(t, d)
		if !errors.Is(err, driver.ErrUnauthorized) || !strings.Contains(err.Error(), "'"+name+"'") {
			t.Errorf("without %s: %v", right, err)
		}
	}
	grant(append([]string{"~other:*"}, all[1:]...)...)
	if err := touchEverything(t, d); !errors.Is(err, driver.ErrUnauthorized) || !strings.Contains(err.Error(), "~batch:*") {
		t.Errorf("without the keys: %v", err)
	}
}

// elsewhere are the commands that one server without its own databases, opened before, does
// not need, or that fail without harm.
var elsewhere = map[string]bool{
	"cluster|slots": true, "wait": true, "waitaof": true, "readonly": true, "select": true, "info": true, "hello": true, "auth": true, "ping": true,
	"client|setinfo": true, "hrandfield": true, "xtrim": true, "xinfo|consumers": true, "xclaim": true, "rename": true, "xreadgroup": true, "blpop": true,
	"copy": true, "exec": true, "eval": true, "xgroup|delconsumer": true, "pexpire": true, "zrank": true, "hscan": true, "hlen": true, "zscore": true,
}

// receiveInBulk receives so many jobs at a time that the driver uses MULTI.
func receiveInBulk(ctx context.Context, d *Driver) error {
	const q, n = "acl-bulk", 2 * bulkMin
	if err := d.Declare(ctx, q); err != nil {
		return err
	}
	if err := firstError(d.Enqueue(ctx, q, many(2*n))); err != nil {
		return err
	}
	c, err := d.Consume(ctx, q, driver.ConsumeOptions{Lease: time.Minute, Prefetch: 2 * n})
	for range 2 {
		if err != nil {
			return err
		}
		_, err = c.Receive(ctx, n)
	}
	if err != nil {
		return err
	}
	return d.DeleteQueue(ctx, q)
}

// touchEverything calls everything once, and returns the first error.
func touchEverything(t *testing.T, d *Driver) (failed error) {
	t.Helper()
	ctx := testContext(t)
	q := "acl"
	note := func(err error) {
		if failed == nil && err != nil && !errors.Is(err, driver.ErrNotFound) {
			failed = err
		}
	}
	note(d.DeleteQueue(ctx, q))
	note(d.Declare(ctx, q))
	note(firstError(d.Enqueue(ctx, q, []*driver.Message{message("a")})))
	for _, m := range []*driver.Message{message("a", delay(time.Millisecond), dedup("k")), message("b", group("g")), message("c", group("g"))} {
		note(firstError(d.Enqueue(ctx, q, []*driver.Message{m})))
	}
	note(d.EnqueueAtomic(ctx, q, many(2)))
	note(receiveInBulk(ctx, d))
	_, err := d.Depth(ctx, q)
	note(err)
	c := consume(t, d, q, time.Minute)
	got, err := c.Receive(ctx, 4)
	note(err)
	if err == nil {
		for _, err := range append(c.Extend(ctx, got), c.Settle(ctx, []driver.Settlement{{Delivery: got[0], Outcome: driver.OutcomeRetry, Delay: time.Hour}})...) {
			note(err)
		}
		for i, as := range []driver.Outcome{driver.OutcomeDead, driver.OutcomeRelease, driver.OutcomeDone} {
			if i+1 < len(got) {
				for _, err := range c.Settle(ctx, []driver.Settlement{{Delivery: got[i+1], Outcome: as}}) {
					note(err)
				}
			}
		}
	}
	note(c.Close(ctx))
	for _, state := range []driver.State{driver.StateWaiting, driver.StateScheduled, driver.StateDead} {
		_, _, err := d.List(ctx, q, state, "", 1)
		note(err)
	}
	_, err = d.Redrive(ctx, q, driver.Selection{All: true})
	note(err)
	note(d.Pause(ctx, q))
	note(d.Resume(ctx, q))
	_, err = d.ListQueues(ctx)
	note(err)
	note(d.Delete(ctx, q, "c"))
	_, err = d.Purge(ctx, q)
	note(err)
	return failed
}

// TestMissingRightToRecover: a user who may receive and lacks a right to look after leases
// hears of it from Receive.
func TestMissingRightToRecover(t *testing.T) {
	t.Parallel()
	server := brokers.NewRedis(t, brokers.Redis8)
	admin := rawAt(t, server.URL()).(*goredis.Client)
	if err := admin.Do(testContext(t), "acl", "setuser", "batch", "on", ">password", "~batch:*", "+@all", "-xinfo").Err(); err != nil {
		t.Fatal(err)
	}
	d := openAt(t, strings.Replace(server.URL(), "redis://", "redis://batch:password@", 1))
	q := queue(t, d)
	c := consume(t, d, q, minLease)
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	if _, err := c.Receive(ctx, 1); !errors.Is(err, driver.ErrUnauthorized) || !strings.Contains(err.Error(), "xinfo") {
		t.Errorf("received %v", err)
	}
}

// TestMissingRightToRecoverJobs: so does one who lacks a right to store anew what lapsed.
func TestMissingRightToRecoverJobs(t *testing.T) {
	t.Parallel()
	server := brokers.NewRedis(t, brokers.Redis8)
	admin := rawAt(t, server.URL()).(*goredis.Client)
	if err := admin.Do(testContext(t), "acl", "setuser", "batch", "on", ">password", "~batch:*", "+@all", "-xadd").Err(); err != nil {
		t.Fatal(err)
	}
	other := openAt(t, server.URL())
	q := queue(t, other)
	enqueue(t, other, q, message("a"))
	d := openAt(t, strings.Replace(server.URL(), "redis://", "redis://batch:password@", 1))
	c := consume(t, d, q, minLease)
	receive(t, c, 1)
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	if _, err := c.Receive(ctx, 1); !errors.Is(err, driver.ErrUnauthorized) || !strings.Contains(err.Error(), "xadd") {
		t.Errorf("received %v", err)
	}
}

// TestBulkWithoutRightEnds: a user without the right to MULTI hears of it once, and then is
// given jobs without.
func TestBulkWithoutRightEnds(t *testing.T) {
	t.Parallel()
	server := brokers.NewRedis(t, brokers.Redis8)
	admin := rawAt(t, server.URL()).(*goredis.Client)
	if err := admin.Do(testContext(t), "acl", "setuser", "batch", "on", ">password", "~batch:*", "+@all", "-multi").Err(); err != nil {
		t.Fatal(err)
	}
	d := openAt(t, strings.Replace(server.URL(), "redis://", "redis://batch:password@", 1))
	q := queue(t, d)
	enqueue(t, d, q, many(6*bulkMin)...)
	c := consume(t, d, q, time.Minute)
	refused := 0
	for range 6 {
		got, err := c.Receive(testContext(t), bulkMin)
		switch {
		case errors.Is(err, driver.ErrUnauthorized):
			refused++
		case err != nil || len(got) != bulkMin:
			t.Errorf("received %d, %v", len(got), err)
		}
	}
	if refused != 1 {
		t.Errorf("%d of 6 calls were refused, want 1", refused)
	}
}
