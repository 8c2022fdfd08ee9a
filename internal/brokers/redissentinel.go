package brokers

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/testcontainers/testcontainers-go"
)

// sentinelMaster is the name by which clients ask the sentinel for the master.
const sentinelMaster = "batch"

// A Sentinel is a Redis master with one replica and one sentinel, which makes the replica the master
// when the master is gone for more than a second. One sentinel is no model for production: it is the
// fewest that can decide alone.
type Sentinel struct {
	MasterName string    // what to ask the sentinel for
	Master     *Instance // the master at the start; who it is now, the sentinel knows
	Replica    *Instance // the replica at the start
	Monitor    *Instance // the sentinel itself

	pod *pod
}

// RedisSentinel returns a master, a replica and a sentinel of version v that all tests of the binary
// share.
func RedisSentinel(t testing.TB, v Version) *Sentinel {
	t.Helper()
	return share(t, "redis sentinel "+string(v), func(e *engine) (*Sentinel, error) {
		return startRedisSentinel(e, v)
	}, nil)
}

// NewRedisSentinel starts them for this test alone, which may stop or freeze each.
func NewRedisSentinel(t testing.TB, v Version) *Sentinel {
	t.Helper()
	return own(t, func(e *engine) (*Sentinel, error) { return startRedisSentinel(e, v) })
}

// Addrs returns the addresses of the sentinels, as clients take them.
func (s *Sentinel) Addrs() []string {
	return []string{s.Monitor.Addr}
}

// MasterAddr asks the sentinel for the address of the present master.
func (s *Sentinel) MasterAddr(ctx context.Context) (string, error) {
	reply, err := s.Monitor.ask(ctx, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", s.MasterName)
	if err != nil {
		return "", err
	}
	host, port, ok := strings.Cut(reply, "\n")
	if !ok {
		return "", fmt.Errorf("the sentinel knows no master %q", s.MasterName)
	}
	return host + ":" + port, nil
}

// String says what it is, in the form of the report.
func (s *Sentinel) String() string {
	return s.pod.describe("master, replica and sentinel")
}

func (s *Sentinel) remove(ctx context.Context) error {
	return s.pod.remove(ctx)
}

func startRedisSentinel(e *engine, v Version) (*Sentinel, error) {
	s := &Sentinel{MasterName: sentinelMaster}
	p, err := startPod(e, v, 3, s.build)
	if err != nil {
		return nil, fmt.Errorf("start a sentinel: %w", err)
	}
	s.pod = p
	return s, nil
}

// build starts the three in turn. The sentinel comes when the replica follows the master: it asks the
// master for replicas at once, and not again for ten seconds.
func (s *Sentinel) build(ctx context.Context, p *pod, ports []int) (err error) {
	master, replica, monitor := ports[0], ports[1], ports[2]
	// By default a master waits five seconds for further replicas before it sends its data to the first.
	atOnce := []string{"--repl-diskless-sync-delay", "0"}
	if s.Master, err = p.addRedis(ctx, master, redisOptions{args: atOnce}); err != nil {
		return err
	}
	replicaOf := slices.Concat(atOnce, []string{"--replicaof", loopback.String(), strconv.Itoa(master)})
	if s.Replica, err = p.addRedis(ctx, replica, redisOptions{args: replicaOf}); err != nil {
		return err
	}
	if err := await(ctx, s.following); err != nil {
		return err
	}
	if s.Monitor, err = p.addRedis(ctx, monitor, sentinelOptions(p.row, master)); err != nil {
		return err
	}
	return await(ctx, s.watching)
}

// sentinelOptions makes a sentinel of the row's server. It keeps its state in its configuration, so
// that must be a file, which it rewrites.
func sentinelOptions(r row, master int) redisOptions {
	const path = "/data/sentinel.conf"
	// One vote decides. A second of silence is short enough for a test and longer than any pause that a
	// busy machine makes.
	configuration := fmt.Sprintf(`protected-mode no
sentinel monitor %[1]s %[2]s %[3]d 1
sentinel down-after-milliseconds %[1]s 1000
sentinel failover-timeout %[1]s 5000
`, sentinelMaster, loopback, master)
	return redisOptions{
		command: []string{r.command[0], path, "--sentinel"},
		files: []testcontainers.ContainerFile{{
			Reader:            strings.NewReader(configuration),
			ContainerFilePath: path,
			FileMode:          0o666,
		}},
	}
}

// following returns nil when the replica follows the master.
func (s *Sentinel) following(ctx context.Context) error {
	info, err := s.Replica.ask(ctx, "INFO", "replication")
	if err != nil {
		return err
	}
	if link := infoField(info, "master_link_status"); link != "up" {
		return fmt.Errorf("the replica's link is %q", link)
	}
	return nil
}

// watching returns nil when the sentinel knows of the master and its replica: before, the loss of the
// master would be final.
func (s *Sentinel) watching(ctx context.Context) error {
	info, err := s.Monitor.ask(ctx, "INFO", "sentinel")
	if err != nil {
		return err
	}
	watched := infoField(info, "master0")
	if !strings.Contains(watched, "status=ok,") || !strings.Contains(watched, "slaves=1,") {
		return fmt.Errorf("the sentinel watches %q", watched)
	}
	return nil
}
