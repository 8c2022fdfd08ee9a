package load

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	goredis "github.com/redis/go-redis/v9"

	"github.com/batch-go/batch/internal/fsyncs"
)

// A Cost is what jobs have cost, in all.
type Cost struct {
	CPU           time.Duration // of this process
	Allocs, Bytes uint64        // of this process
	Broker        time.Duration // CPU of the broker's container
	Wire, Packets uint64        // bytes and packets in and out of the broker's container
	Commands      uint64        // that Redis has run, those in scripts included
	WAL           uint64        `json:",omitempty"` // bytes that PostgreSQL wrote to its write-ahead log
	// Fsyncs is how often this process and the broker's container synced a file to the disk, of a
	// measurement that counts them.
	Fsyncs uint64 `json:",omitempty"`
}

// meter reads what was used so far.
type meter struct {
	process string          // a PID in the broker's container; empty if there is none
	redis   *goredis.Client // nil if the broker is none
	sql     string          // the URL of PostgreSQL; empty if the broker is none
	start   Cost
	counts  bool            // whether syncs are counted
	fsyncs  *fsyncs.Counter // nil while they are not
	failed  error           // why they were not
}

// newMeter makes one for a broker.
func newMeter(b Broker) *meter {
	m := &meter{process: b.Process, sql: b.SQL, counts: b.Fsyncs}
	if b.Redis != "" {
		m.redis = goredis.NewClient(&goredis.Options{Addr: b.Redis})
	}
	return m
}

// groupFile reads a file of the container's control group: of version 1 by its controller and name, or of
// version 2 by its name.
func (m *meter) groupFile(controller, v1, v2 string) string {
	text, err := os.ReadFile("/proc/" + m.process + "/cgroup")
	if err != nil {
		return ""
	}
	path := ""
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		if strings.Contains(","+parts[1]+",", ","+controller+",") {
			path = filepath.Join("/sys/fs/cgroup", controller, parts[2], v1)
			break
		}
		if parts[1] == "" {
			path = filepath.Join("/sys/fs/cgroup", parts[2], v2)
		}
	}
	text, err = os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(text)
}

// number is what follows a name in text.
func number(text, name string) uint64 {
	_, rest, found := strings.Cut("\n"+text, "\n"+name)
	f := strings.Fields(rest)
	if !found || len(f) == 0 {
		return 0
	}
	n, _ := strconv.ParseUint(f[0], 10, 64) // what is no number counts as zero
	return n
}

// brokerCPU is the CPU time of the container. Where the system does not tell it is zero.
func (m *meter) brokerCPU() time.Duration {
	text := m.groupFile("cpuacct", "cpuacct.usage", "cpu.stat")
	if n := number(text, "usage_usec"); n > 0 {
		return time.Duration(n) * time.Microsecond
	}
	return time.Duration(number(text, ""))
}

// wire is what has gone over the network of the container.
func (m *meter) wire() (bytes, packets uint64) {
	text, err := os.ReadFile("/proc/" + m.process + "/net/dev")
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(text)) {
		name, numbers, ok := strings.Cut(line, ":")
		if f := strings.Fields(numbers); ok && strings.TrimSpace(name) != "lo" && len(f) >= 10 {
			for i, to := range map[int]*uint64{0: &bytes, 1: &packets, 8: &bytes, 9: &packets} {
				n, _ := strconv.ParseUint(f[i], 10, 64)
				*to += n
			}
		}
	}
	return bytes, packets
}

// info is a number of Redis's INFO.
func (m *meter) info(section, name string) uint64 {
	if m.redis == nil {
		return 0
	}
	text, err := m.redis.Info(context.Background(), section).Result()
	if err != nil {
		return 0
	}
	return number(strings.ReplaceAll(text, "\r", ""), name+":")
}

// ask is a number that PostgreSQL answers with, or zero.
func (m *meter) ask(query string) uint64 {
	if m.sql == "" {
		return 0
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, m.sql)
	if err != nil {
		return 0
	}
	defer func() { _ = conn.Close(ctx) }() // it was asked
	var n int64
	if conn.QueryRow(ctx, query).Scan(&n) != nil {
		return 0
	}
	return uint64(max(0, n))
}

// now is what was used so far.
func (m *meter) now() Cost {
	var c Cost
	var use syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &use) == nil {
		c.CPU = time.Duration(use.Utime.Nano() + use.Stime.Nano())
	}
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	c.Allocs, c.Bytes = memory.Mallocs, memory.TotalAlloc
	if m.process != "" {
		c.Broker = m.brokerCPU()
		c.Wire, c.Packets = m.wire()
	}
	c.Commands = m.info("stats", "total_commands_processed")
	c.WAL = m.ask("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint")
	return c
}

// threads are those of this process and of the broker's container.
func (m *meter) threads() ([]int, error) {
	all, err := fsyncs.Own()
	if err != nil || m.process == "" {
		return all, err
	}
	theirs := strings.Fields(m.groupFile("cpuacct", "tasks", "cgroup.threads"))
	if len(theirs) == 0 {
		return nil, errors.New("the threads of the broker's container are not known")
	}
	for _, text := range theirs {
		t, err := strconv.Atoi(text)
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return all, nil
}

// begin notes what was used before.
func (m *meter) begin() {
	if m.counts {
		m.fsyncs, m.failed = fsyncs.Start(m.threads)
	}
	m.start = m.now()
}

// end returns what was used since begin.
func (m *meter) end() Cost {
	c, s := m.now(), m.start
	used := Cost{
		CPU: c.CPU - s.CPU, Allocs: c.Allocs - s.Allocs, Bytes: c.Bytes - s.Bytes, Broker: c.Broker - s.Broker,
		Wire: c.Wire - s.Wire, Packets: c.Packets - s.Packets, Commands: c.Commands - s.Commands, WAL: c.WAL - s.WAL,
	}
	if m.fsyncs != nil {
		used.Fsyncs, m.failed = m.fsyncs.Stop()
		m.fsyncs = nil
	}
	return used
}

// memory is that of the broker: what Redis has allocated, the size of PostgreSQL's database, and of others the anonymous memory of the container.
func (m *meter) memory() uint64 {
	if n := m.info("memory", "used_memory"); n > 0 {
		return n
	}
	if n := m.ask("SELECT pg_database_size(current_database())"); n > 0 {
		return n
	}
	text := m.groupFile("memory", "memory.stat", "memory.stat")
	if n := number(text, "total_rss"); n > 0 {
		return n
	}
	return number(text, "anon")
}

// connections counts the sockets of this process.
func connections() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	n := 0
	for _, e := range entries {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.HasPrefix(to, "socket:") {
			n++
		}
	}
	return n
}
