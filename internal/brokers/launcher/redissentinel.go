package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/testcontainers/testcontainers-go"

	"github.com/batch-go/batch/internal/brokers/launch"
)

// A sentinel is a Redis master with one replica and one sentinel, which makes the replica the master
// when the master is gone for more than a second. Its pod has them in this order.
type sentinel struct {
	*pod
	master, replica, monitor *server
}

func startRedisSentinel(ctx context.Context, e *engine, i launch.Image) (*sentinel, error) {
	s := &sentinel{}
	p, err := startPod(ctx, e, i, 3, s.build)
	if err != nil {
		return nil, fmt.Errorf("start a sentinel: %w", err)
	}
	s.pod = p
	return s, nil
}

// masterAddr asks the sentinel for the address of the present master.
func (s *sentinel) masterAddr(ctx context.Context) (string, error) {
	reply, err := askRedis(ctx, &s.monitor.Server, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", launch.SentinelMaster)
	if err != nil {
		return "", err
	}
	host, port, ok := strings.Cut(reply, "\n")
	if !ok {
		return "", fmt.Errorf("the sentinel knows no master %q", launch.SentinelMaster)
	}
	return host + ":" + port, nil
}

// build starts the three in turn. The sentinel comes when the replica follows the master: it asks the
// master for replicas at once, and not again for ten seconds.
func (s *sentinel) build(ctx context.Context, p *pod, ports []int) (err error) {
	master, replica, monitor := ports[0], ports[1], ports[2]
	// By default a master waits five seconds for further replicas before it sends its data to the first.
	atOnce := []string{"--repl-diskless-sync-delay", "0"}
	if s.master, err = p.addRedis(ctx, master, redisOptions{args: atOnce}); err != nil {
		return err
	}
	replicaOf := slices.Concat(atOnce, []string{"--replicaof", loopback.String(), strconv.Itoa(master)})
	if s.replica, err = p.addRedis(ctx, replica, redisOptions{args: replicaOf}); err != nil {
		return err
	}
	if err := await(ctx, s.following); err != nil {
		return err
	}
	if s.monitor, err = p.addRedis(ctx, monitor, sentinelOptions(p.command, master)); err != nil {
		return err
	}
	return await(ctx, s.watching)
}

// sentinelOptions makes a sentinel of the server that command runs. It keeps its state in its configuration, so
// that must be a file, which it rewrites.
func sentinelOptions(command []string, master int) redisOptions {
	const path = "/data/sentinel.conf"
	// One vote decides. A second of silence is short enough for a test and longer than any pause that a
	// busy machine makes.
	configuration := fmt.Sprintf(`protected-mode no
sentinel monitor %[1]s %[2]s %[3]d 1
sentinel down-after-milliseconds %[1]s 1000
sentinel failover-timeout %[1]s 5000
`, launch.SentinelMaster, loopback, master)
	return redisOptions{
		command: []string{command[0], path, "--sentinel"},
		files: []testcontainers.ContainerFile{{
			Reader:            strings.NewReader(configuration),
			ContainerFilePath: path,
			FileMode:          0o666,
		}},
	}
}

// following returns nil when the replica follows the master.
func (s *sentinel) following(ctx context.Context) error {
	info, err := askRedis(ctx, &s.replica.Server, "INFO", "replication")
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
func (s *sentinel) watching(ctx context.Context) error {
	info, err := askRedis(ctx, &s.monitor.Server, "INFO", "sentinel")
	if err != nil {
		return err
	}
	watched := infoField(info, "master0")
	if !strings.Contains(watched, "status=ok,") || !strings.Contains(watched, "slaves=1,") {
		return fmt.Errorf("the sentinel watches %q", watched)
	}
	return nil
}
