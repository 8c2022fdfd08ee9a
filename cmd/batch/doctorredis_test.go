package main

import (
	"strings"
	"testing"

	"github.com/batch-go/batch/internal/brokers"
)

// TestDoctorOnRedis sets a server up wrongly in every way that doctor knows of.
func TestDoctorOnRedis(t *testing.T) {
	t.Parallel()
	server := brokers.NewRedis(t, brokers.Redis8)
	url := server.URL()
	cli := func(args ...string) {
		t.Helper()
		if out, err := server.Exec(testContext(t), append([]string{"redis-cli"}, args...)...); err != nil || strings.Contains(out, "ERR") {
			t.Fatalf("redis-cli %q: %v %s", args, err, out)
		}
	}
	set := func(name, value string) { t.Helper(); cli("config", "set", name, value) }
	diagnose(t, url, nil, finding{"persistence", "ok", "appendfsync always", ""}, finding{"eviction", "ok", "noeviction", ""},
		finding{"replication", "ok", "no replicas", ""}, finding{"writes", "ok", "", ""}, finding{"exercise", "ok", "", ""})

	seed(t, open(t, url), "emails")
	away(t, url, "pause", "emails").want(t, exitOK)
	diagnose(t, url, nil, finding{"queues", "warn", "queue emails is paused", "batch resume emails"})
	away(t, url, "resume", "emails").want(t, exitOK)
	diagnose(t, url, []string{"emails"}, finding{"queues", "ok", "1 of 1", ""})
	diagnose(t, url, []string{"nowhere"}, finding{"queues", "fail", "not found", "enqueue a job or start a worker"})
	cli("set", "batch:{broken}:meta", "x")
	diagnose(t, url, []string{"broken"}, finding{"queues", "fail", "broken", ""})
	cli("del", "batch:{broken}:meta")

	set("appendfsync", "everysec")
	diagnose(t, url, nil, finding{"persistence", "warn", "about a second", "wait_replicas=1"})
	set("appendfsync", "no")
	diagnose(t, url, nil, finding{"persistence", "warn", "half a minute", "appendfsync everysec"})
	set("appendonly", "no")
	diagnose(t, url, nil, finding{"persistence", "fail", "in memory only", "appendonly yes"})
	set("save", "3600 1")
	diagnose(t, url, nil, finding{"persistence", "fail", "since the last snapshot", "appendonly yes"})
	set("save", "")
	set("appendonly", "yes")
	set("appendfsync", "always")

	set("maxmemory", "100mb")
	set("maxmemory-policy", "allkeys-lru")
	diagnose(t, url, nil, finding{"connection", "fail", "allkeys-lru", "noeviction"}, finding{"eviction", "fail", "drops jobs", "noeviction"},
		finding{"exercise", "ok", "", ""})
	set("maxmemory-policy", "noeviction")
	set("maxmemory", "1")
	diagnose(t, url, nil, finding{"memory", "warn", "of maxmemory", "more memory"}, finding{"exercise", "fail", "", ""})
	set("maxmemory", "0")

	cli("acl", "setuser", "few", "on", ">word", "~batch:*", "+@all", "-xadd", "-config", "-@admin")
	few := strings.Replace(url, "redis://", "redis://few:word@", 1)
	diagnose(t, few, nil, finding{"exercise", "fail", "xadd", ""}, finding{"persistence", "unknown", "", "+config|get"})
	diagnose(t, strings.Replace(url, "redis://", "redis://few:wrong@", 1), nil, finding{"connection", "fail", "not authorized", ""})
	diagnose(t, few, []string{"--read-only"}, finding{"persistence", "unknown", "", ""})

	cli("replicaof", "192.0.2.1", "6379")
	diagnose(t, url, []string{"--read-only"}, finding{"writes", "fail", "is a replica", "primary"})
	cli("replicaof", "no", "one")
}

// TestDoctorOnSentinel: a failover may lose jobs if nobody waits for the replica.
func TestDoctorOnSentinel(t *testing.T) {
	t.Parallel()
	s := brokers.RedisSentinel(t, brokers.Redis8)
	url := "redis+sentinel://" + s.Addrs()[0] + "?master=" + s.MasterName
	diagnose(t, url, nil, finding{"replication", "warn", "1 replicas", "wait_replicas=1"})
	diagnose(t, url+"&wait_replicas=1", nil, finding{"replication", "ok", "wait for 1", ""})
	diagnose(t, url+"&wait_replicas=2", nil, finding{"replication", "fail", "wait for 2", "lower wait_replicas"}, finding{"exercise", "fail", "1 of 2 replicas", ""})
}
