package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/batch-go/batch/internal/brokers/launch"
)

// postgresqlBackup makes the data of a standby from those of the primary, and notes there how to follow it.
const postgresqlBackup = `PGPASSWORD=` + postgresqlPassword + ` pg_basebackup --no-sync --checkpoint=fast --wal-method=stream \
	--write-recovery-conf --pgdata="$PGDATA" --host=127.0.0.1 --port=%d
`

// A postgresqlReplica is a server of PostgreSQL with a hot standby. Its pod has them in this order.
type postgresqlReplica struct {
	*pod
	primary, standby *server
}

func startPostgreSQLReplica(ctx context.Context, e *engine, b launch.Broker) (*postgresqlReplica, error) {
	r, o := &postgresqlReplica{}, newPostgreSQLOptions(b)
	// When the primary has been away, the standby would look for it every five seconds.
	o.settings = "wal_retrieve_retry_interval = 100ms\n" + o.settings
	p, err := startPod(ctx, e, b.Image, 2, func(ctx context.Context, p *pod, ports []int) error {
		return r.build(ctx, p, o, ports[0], ports[1])
	})
	if err != nil {
		return nil, fmt.Errorf("start a primary with a standby: %w", err)
	}
	r.pod = p
	return r, nil
}

// build starts the primary and then the standby, at these ports.
func (r *postgresqlReplica) build(ctx context.Context, p *pod, o postgresqlOptions, primary, standby int) (err error) {
	if r.primary, err = p.addPostgreSQL(ctx, primary, o); err != nil {
		return err
	}
	o.init = fmt.Sprintf(postgresqlBackup, primary)
	if r.standby, err = p.addPostgreSQL(ctx, standby, o); err != nil {
		return err
	}
	return await(ctx, r.formed)
}

// addPostgreSQL starts a server of PostgreSQL in the pod.
func (p *pod) addPostgreSQL(ctx context.Context, port int, o postgresqlOptions) (*server, error) {
	o.port = port
	return p.add(ctx, o.server(port), o.request())
}

// formed returns nil when queries of the standby see all that the primary has committed before now.
func (r *postgresqlReplica) formed(ctx context.Context) error {
	position, err := askPostgreSQL(ctx, &r.primary.Server, "SELECT pg_current_wal_flush_lsn()")
	if err != nil {
		return err
	}
	// It is null in a server that is no standby.
	there, err := askPostgreSQL(ctx, &r.standby.Server, fmt.Sprintf("SELECT pg_last_wal_replay_lsn() >= '%s'", position))
	if err != nil {
		return err
	}
	if there != "t" {
		return errors.New("the standby is behind the primary, or does not follow it")
	}
	return nil
}
