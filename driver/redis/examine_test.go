package redis

import (
	"maps"
	"strings"
	"testing"

	"github.com/batch-go/batch/driver"
)

// TestExamineState: each thing that may be wrong with a server is found, and nothing else.
func TestExamineState(t *testing.T) {
	t.Parallel()
	sound := map[string]string{
		"maxmemory": "1000", "used_memory": "100", "maxmemory_policy": "noeviction",
		"aof_enabled": "1", "aof_last_write_status": "ok", "rdb_last_bgsave_status": "ok", "rdb_last_save_time": "1",
		"role": "master", "loading": "0", "connected_slaves": "0", "connected_clients": "10", "maxclients": "100",
	}
	config := map[string]string{"appendfsync": "always", "save": "3600 1"}
	for _, test := range []struct {
		name         string
		info, config map[string]string
		durability   durability
		subject      string // of the only finding that is not ok; empty for none
		grade        driver.Grade
		detail       string
	}{
		{name: "nothing"},
		{"eviction", map[string]string{"maxmemory_policy": "allkeys-lru"}, nil, durability{}, "eviction", driver.GradeFail, "drops jobs"},
		{"eviction of keys", map[string]string{"maxmemory_policy": "volatile-ttl"}, nil, durability{}, "eviction", driver.GradeFail, "unique keys"},
		{"eviction without a bound", map[string]string{"maxmemory_policy": "allkeys-lru", "maxmemory": "0", "total_system_memory": "1000"}, nil, durability{}, "", 0, ""},
		{"memory", map[string]string{"used_memory": "900"}, nil, durability{}, "memory", driver.GradeWarn, "90% of maxmemory"},
		{"the machine's memory", map[string]string{"maxmemory": "0", "total_system_memory": "1000", "used_memory": "950"}, nil, durability{}, "memory", driver.GradeWarn, "95% of the machine's"},
		{"memory that nobody knows", map[string]string{"maxmemory": "0"}, nil, durability{}, "memory", driver.GradeUnknown, "does not tell"},
		{"everysec", nil, map[string]string{"appendfsync": "everysec"}, durability{}, "persistence", driver.GradeWarn, "about a second"},
		{"no fsync", nil, map[string]string{"appendfsync": "no"}, durability{}, "persistence", driver.GradeWarn, "appendfsync no"},
		{"fsync that nobody knows", nil, map[string]string{"appendfsync": ""}, durability{}, "persistence", driver.GradeUnknown, "how often"},
		{"snapshots", map[string]string{"aof_enabled": "0"}, nil, durability{}, "persistence", driver.GradeFail, "last snapshot"},
		{"memory only", map[string]string{"aof_enabled": "0"}, map[string]string{"save": ""}, durability{}, "persistence", driver.GradeFail, "memory only"},
		{"replica", map[string]string{"role": "slave"}, nil, durability{}, "writes", driver.GradeFail, "replica"},
		{"loading", map[string]string{"loading": "1"}, nil, durability{}, "writes", driver.GradeFail, "loading"},
		{"failed write", map[string]string{"aof_last_write_status": "err"}, nil, durability{}, "writes", driver.GradeFail, "append-only"},
		{"failed snapshot", map[string]string{"rdb_last_bgsave_status": "err"}, nil, durability{}, "writes", driver.GradeFail, "snapshot"},
		{"failed snapshot that nobody waits for", map[string]string{"rdb_last_bgsave_status": "err"}, map[string]string{"save": ""}, durability{}, "", 0, ""},
		{"failover", map[string]string{"connected_slaves": "1"}, nil, durability{}, "replication", driver.GradeWarn, "wait for none"},
		{"failover that is waited for", map[string]string{"connected_slaves": "1"}, nil, durability{replicas: 1}, "", 0, ""},
		{"replica that is away", nil, nil, durability{replicas: 1}, "replication", driver.GradeFail, "0 replicas"},
		{"clients", map[string]string{"connected_clients": "91"}, nil, durability{}, "clients", driver.GradeWarn, "91 of 100"},
		{"clients that nobody knows", map[string]string{"maxclients": ""}, nil, durability{}, "clients", driver.GradeUnknown, "does not tell"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := state{info: maps.Clone(sound), config: maps.Clone(config), durability: test.durability}
			maps.Copy(s.info, test.info)
			maps.Copy(s.config, test.config)
			var wrong []driver.Finding
			for _, f := range s.findings() {
				if (f.Grade == driver.GradeOK) != (f.Remedy == "") {
					t.Errorf("what is ok has no remedy, and all else has one: %+v", f)
				}
				if f.Grade != driver.GradeOK {
					wrong = append(wrong, f)
				}
			}
			switch {
			case test.subject == "" && len(wrong) > 0:
				t.Errorf("found %+v, want nothing", wrong)
			case test.subject != "" && (len(wrong) != 1 || wrong[0].Subject != test.subject || wrong[0].Grade != test.grade || !strings.Contains(wrong[0].Detail, test.detail)):
				t.Errorf("found %+v, want %s of %s with %q", wrong, test.grade, test.subject, test.detail)
			}
		})
	}
}
