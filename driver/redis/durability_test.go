package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/brokers"
)

// sentinelURL opens what a sentinel names.
func sentinelURL(s *brokers.Sentinel) string {
	return "redis+sentinel://" + s.Addrs()[0] + "?master=" + s.MasterName
}

// failOver kills the primary and waits until another takes writes.
func failOver(t testing.TB, s *brokers.Sentinel, before func()) *Driver {
	t.Helper()
	ctx := testContext(t)
	if err := s.Master.Kill(ctx); err != nil {
		t.Fatal(err)
	}
	before()
	var d *Driver
	eventuallyIn(t, 3*bound, "a failover", func() bool {
		addr, err := s.MasterAddr(ctx)
		if err != nil || addr == s.Master.Addr {
			return false
		}
		d, err = Open(ctx, "redis://"+addr)
		if err != nil {
			return false
		}
		if err := d.Declare(ctx, "writable"); err != nil {
			closeDriver(t, d)
			return false
		}
		return true
	})
	t.Cleanup(func() { closeDriver(t, d) })
	return d
}

// stored are the IDs of the jobs that wait in a queue.
func stored(t testing.TB, d *Driver, q string) map[string]bool {
	t.Helper()
	found := make(map[string]bool)
	for cursor := ""; ; {
		list, next, err := d.List(testContext(t), q, driver.StateWaiting, cursor, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			found[e.ID] = true
		}
		if cursor = next; next == "" {
			return found
		}
	}
}

// TestFailoverLosesNothingReplicated: with wait_replicas a failover loses no confirmed job,
// though the replica did not follow for a while. Without, it loses those of that time.
func TestFailoverLosesNothingReplicated(t *testing.T) {
	t.Parallel()
	s := brokers.NewRedisSentinel(t, brokers.Redis8)
	ctx := testContext(t)
	safe := openAt(t, sentinelURL(s)+"&wait_replicas=1&wait_timeout=300ms")
	fast := openAt(t, sentinelURL(s))
	q := queue(t, fast)
	store := func(d *Driver, from, n int, kind string) (confirmed []string) {
		for i := range n {
			id := fmt.Sprintf("%s-%d", kind, from+i)
			err := firstError(d.Enqueue(ctx, q, []*driver.Message{message(id, dedup(id))}))
			if err == nil {
				confirmed = append(confirmed, id)
			} else if !errors.Is(err, driver.ErrUnavailable) || driver.FateOf(err) != driver.FateUnknown || !strings.Contains(err.Error(), "0 of 1 replicas") {
				t.Errorf("%s: %v, %s", id, err, driver.FateOf(err))
			}
		}
		return confirmed
	}
	confirmed := store(safe, 0, 20, "safe")
	if len(confirmed) != 20 {
		t.Errorf("%d of 20 were confirmed with a replica", len(confirmed))
	}
	if err := s.Replica.Pause(ctx); err != nil {
		t.Fatal(err)
	}
	// What is in the socket of the replica would still reach it.
	primary := rawAt(t, "redis://"+s.Master.Addr)
	if err := primary.(*goredis.Client).ClientKillByFilter(ctx, "TYPE", "replica").Err(); err != nil {
		t.Fatal(err)
	}
	confirmed = append(confirmed, store(safe, 20, 2, "safe")...)
	// Stored on the primary, where the second try finds it: it is no less in doubt.
	confirmed = append(confirmed, store(safe, 20, 2, "safe")...)
	risky := store(fast, 0, 20, "fast")
	if len(confirmed) != 20 || len(risky) != 20 {
		t.Errorf("%d and %d were confirmed without a replica", len(confirmed), len(risky))
	}
	now := failOver(t, s, func() {
		if err := s.Replica.Unpause(ctx); err != nil {
			t.Fatal(err)
		}
	})
	found := stored(t, now, q)
	for _, id := range confirmed {
		if !found[id] {
			t.Errorf("%s was confirmed and is lost", id)
		}
	}
	lost := 0
	for _, id := range risky {
		if !found[id] {
			lost++
		}
	}
	if lost == 0 {
		t.Error("without wait_replicas nothing is lost: the test shows nothing")
	}
}

// TestWaitAOF: with wait_aof a job is in the file, and a server without one is refused.
func TestWaitAOF(t *testing.T) {
	t.Parallel()
	server := brokers.NewRedis(t, brokers.Redis8)
	r := rawAt(t, server.URL()).(*goredis.Client)
	d := openAt(t, withParam(t, server.URL(), "wait_aof", "true"))
	q := queue(t, d)
	enqueue(t, d, q, message("a"), message("b", delay(time.Hour)))
	r.ScriptFlush(testContext(t))
	enqueue(t, d, q, message("c"))
	imported(t, d, q, entriesOf(many(1), driver.StateDead, 0))
	if err := firstError(d.Enqueue(testContext(t), "none", many(1))); !errors.Is(err, driver.ErrNotFound) {
		t.Errorf("a queue that there is not: %v", err)
	}
	if err := r.ConfigSet(testContext(t), "appendonly", "no").Err(); err != nil {
		t.Fatal(err)
	}
	if err := firstError(d.Enqueue(testContext(t), q, many(1))); err == nil || driver.FateOf(err) != driver.FateUnknown {
		t.Errorf("without a file: %v, %s", err, driver.FateOf(err))
	}
	if _, err := Open(testContext(t), withParam(t, server.URL(), "wait_aof", "true")); !errors.Is(err, driver.ErrConfig) {
		t.Errorf("opened without a file: %v", err)
	}
	old := brokers.Redis(t, brokers.Redis7)
	if _, err := Open(testContext(t), withParam(t, old.URL(), "wait_aof", "true")); !errors.Is(err, driver.ErrUnsupported) {
		t.Errorf("opened on %s: %v", old, err)
	}
}

// TestDurableCluster: the wait goes to the node that stored the job.
func TestDurableCluster(t *testing.T) {
	cluster := brokers.RedisCluster(t, brokers.Redis8)
	d := openAt(t, clusterURL(cluster.Addrs())+"&wait_aof=true")
	for range 5 {
		q := queue(t, d)
		enqueue(t, d, q, message("a"), message("b", group("g")))
	}
	short := openAt(t, clusterURL(cluster.Addrs())+"&wait_replicas=1&wait_timeout=10ms")
	q := queue(t, short)
	if err := firstError(short.Enqueue(context.Background(), q, many(1))); !errors.Is(err, driver.ErrUnavailable) || driver.FateOf(err) != driver.FateUnknown {
		t.Errorf("without replicas: %v, %s", err, driver.FateOf(err))
	}
}
