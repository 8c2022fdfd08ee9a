package redis

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"

	goredis "github.com/redis/go-redis/v9"

	"github.com/batch-go/batch/driver"
)

var _ driver.Examiner = (*Driver)(nil)

// nearlyFull is the share of a bound, in percent, from which on somebody should know.
const nearlyFull = 90

// Examine looks at the settings and the state of the server, or of each primary of a
// cluster: by INFO, and by CONFIG GET where the user has the right to it.
func (d *Driver) Examine(ctx context.Context) ([]driver.Finding, error) {
	var mu sync.Mutex
	byNode := make(map[string][]driver.Finding)
	err := d.conn.onPrimaries(ctx, func(ctx context.Context, c goredis.UniversalClient) error {
		text, err := c.Info(ctx, "everything").Result()
		if err != nil {
			return err
		}
		s := state{info: fieldsOf(text), config: configOf(ctx, c), durability: d.conn.durability}
		mu.Lock()
		defer mu.Unlock()
		byNode[nodeOf(c)] = s.findings()
		return nil
	})
	nodes := make([]string, 0, len(byNode))
	for node := range byNode {
		nodes = append(nodes, node)
	}
	slices.Sort(nodes)
	var all []driver.Finding
	for _, node := range nodes {
		for _, f := range byNode[node] {
			if len(nodes) > 1 {
				f.Detail = node + ": " + f.Detail
			}
			all = append(all, f)
		}
	}
	return all, fail("examine", "", err)
}

// nodeOf is the address of the server of a client.
func nodeOf(c goredis.UniversalClient) string {
	if one, ok := c.(*goredis.Client); ok {
		return one.Options().Addr
	}
	return ""
}

// settings are the configuration parameters that decide what becomes of jobs and that INFO
// does not have.
var settings = []string{"appendfsync", "save"}

// configOf reads the settings, or nothing where the server does not tell: managed ones have
// no CONFIG, and users may lack the right to it.
func configOf(ctx context.Context, c goredis.UniversalClient) map[string]string {
	config := make(map[string]string)
	for _, name := range settings {
		values, err := c.ConfigGet(ctx, name).Result()
		if value, ok := values[name]; err == nil && ok {
			config[name] = value
		}
	}
	return config
}

// state is what a server says of itself.
type state struct {
	info, config map[string]string
	durability   durability
}

// number is a number of INFO, or zero.
func (s *state) number(name string) int64 {
	n, err := strconv.ParseInt(s.info[name], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// findings looks at everything.
func (s *state) findings() []driver.Finding {
	return []driver.Finding{s.eviction(), s.memory(), s.persistence(), s.writes(), s.replication(), s.clients()}
}

// finding makes one.
func finding(subject string, grade driver.Grade, remedy, format string, args ...any) driver.Finding {
	return driver.Finding{Subject: subject, Grade: grade, Detail: fmt.Sprintf(format, args...), Remedy: remedy}
}

// eviction is whether the server drops jobs when it has no memory left. It is refused by an
// open, unless the options allow it.
func (s *state) eviction() driver.Finding {
	if err := (server{eviction: s.info["maxmemory_policy"], maxMemory: s.info["maxmemory"] != "0"}).evicts(); err != nil {
		return finding("eviction", driver.GradeFail, "set maxmemory-policy noeviction", "%v", err)
	}
	return finding("eviction", driver.GradeOK, "", "maxmemory-policy %s: a server without memory refuses jobs, and drops none", s.info["maxmemory_policy"])
}

// memory is how much there is left of it.
func (s *state) memory() driver.Finding {
	used, most, of := s.number("used_memory"), s.number("maxmemory"), "maxmemory is used"
	if most == 0 {
		most, of = s.number("total_system_memory"), "the machine's memory is used, and there is no maxmemory"
	}
	if most == 0 {
		return finding("memory", driver.GradeUnknown, "look at the server's INFO memory", "the server does not tell how much memory it may use")
	}
	share := int(float64(used) / float64(most) * 100)
	if share >= nearlyFull {
		return finding("memory", driver.GradeWarn, "give the server more memory, or let workers catch up: jobs are refused when it is full",
			"%d%% of %s", share, of)
	}
	return finding("memory", driver.GradeOK, "", "%d%% of %s", share, of)
}

// persistence is what is left of jobs when the server or its machine ends.
func (s *state) persistence() driver.Finding {
	const subject = "persistence"
	if s.info["aof_enabled"] != "1" {
		save, known := s.config["save"]
		switch {
		case !known && s.info["rdb_last_save_time"] == "":
			return finding(subject, driver.GradeUnknown, "give the user +config|get", "there is no append-only file, and the server does not tell whether it makes snapshots")
		case known && save == "":
			return finding(subject, driver.GradeFail, "set appendonly yes", "the server keeps jobs in memory only: all are lost when it ends")
		}
		return finding(subject, driver.GradeFail, "set appendonly yes", "the server has snapshots and no append-only file: when it ends, the jobs since the last snapshot are lost")
	}
	switch fsync := s.config["appendfsync"]; fsync {
	case "always":
		return finding(subject, driver.GradeOK, "", "appendonly, with appendfsync always: no confirmed job is lost with the machine")
	case "everysec":
		return finding(subject, driver.GradeWarn, "set appendfsync always, or wait for a replica with wait_replicas=1, if no job may be lost with the machine",
			"appendonly, with appendfsync everysec: a machine that dies takes about a second of confirmed jobs with it")
	case "":
		return finding(subject, driver.GradeUnknown, "give the user +config|get", "appendonly, and the server does not tell how often it syncs that")
	default:
		return finding(subject, driver.GradeWarn, "set appendfsync everysec or always",
			"appendonly, with appendfsync %s: a machine that dies takes half a minute of confirmed jobs with it", fsync)
	}
}

// writes is whether the server takes any.
func (s *state) writes() driver.Finding {
	const subject = "writes"
	save, known := s.config["save"]
	switch {
	case s.info["role"] == "slave":
		return finding(subject, driver.GradeFail, "name the primary in the URL, or use redis+sentinel://", "the server is a replica, and takes no jobs")
	case s.info["loading"] == "1":
		return finding(subject, driver.GradeFail, "wait until the server has loaded its data", "the server is loading its data")
	case s.info["aof_enabled"] == "1" && s.info["aof_last_write_status"] == "err":
		return finding(subject, driver.GradeFail, "make room on the server's disk", "the last write to the append-only file failed, and jobs are refused")
	case s.info["rdb_last_bgsave_status"] == "err" && (save != "" || !known):
		return finding(subject, driver.GradeFail, "make room on the server's disk and for its fork, and see its log", "the last snapshot failed, upon which the server refuses jobs unless stop-writes-on-bgsave-error is no")
	}
	return finding(subject, driver.GradeOK, "", "the server takes jobs")
}

// replication is what a failover loses.
func (s *state) replication() driver.Finding {
	const subject = "replication"
	n := s.number("connected_slaves")
	switch want := s.durability.replicas; {
	case int(n) < want:
		return finding(subject, driver.GradeFail, "connect the replicas, or lower wait_replicas", "the server has %d replicas, and enqueues wait for %d", n, want)
	case n == 0:
		return finding(subject, driver.GradeOK, "", "the server has no replicas")
	case want == 0:
		return finding(subject, driver.GradeWarn, "add wait_replicas=1 to the URL, if no job may be lost in a failover",
			"the server has %d replicas, and enqueues wait for none: a failover loses what the replica had not received", n)
	default:
		return finding(subject, driver.GradeOK, "", "the server has %d replicas, and enqueues wait for %d", n, want)
	}
}

// clients is whether connections are running out.
func (s *state) clients() driver.Finding {
	n, most := s.number("connected_clients"), s.number("maxclients")
	if most == 0 {
		return finding("clients", driver.GradeUnknown, "look at the server's INFO clients", "the server does not tell how many clients it takes")
	}
	if n*100 >= most*nearlyFull {
		return finding("clients", driver.GradeWarn, "raise maxclients, or lower pool_size in the URL", "%d of %d clients are connected", n, most)
	}
	return finding("clients", driver.GradeOK, "", "%d of %d clients are connected", n, most)
}
