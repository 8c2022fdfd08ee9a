package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/batch-go/batch/internal/brokers/launch"
)

// A launcher has the methods that the test binary calls. Those with other signatures than net/rpc's are
// not exported.
type launcher struct {
	calls  calls
	engine func() (*engine, error) // opens it at the first call

	mu sync.Mutex
	// guards following
	opened  *engine
	brokers map[string]broker
	servers map[string]*server
}

// A broker is what tests ask for: a server or several that belong together.
type broker interface {
	id() string
	members() []*server
	remove(context.Context) error
}

func newLauncher(ctx context.Context) *launcher {
	l := &launcher{
		calls:   calls{all: ctx},
		brokers: make(map[string]broker),
		servers: make(map[string]*server),
	}
	l.engine = sync.OnceValues(func() (*engine, error) {
		e, err := open(ctx)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.opened = e
		return e, err
	})
	return l
}

// close removes every container that was started.
func (l *launcher) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.opened == nil {
		return nil
	}
	return l.opened.close()
}

// Connect finds the engine. An error says why there is none.
func (l *launcher) Connect(launch.Call, *launch.Nothing) error {
	_, err := l.engine()
	return err
}

// Cancel ends the call of a number early, with an error.
func (l *launcher) Cancel(c launch.Call, _ *launch.Nothing) error {
	l.calls.cancel(c.Number)
	return nil
}

// Launch starts a broker and returns when it is ready for work.
func (l *launcher) Launch(b *launch.Broker, result *launch.Launched) error {
	ctx, end := l.calls.begin(b.Number)
	defer end()
	e, err := l.engine()
	if err != nil {
		return err
	}
	started, err := startBroker(ctx, e, *b)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	result.ID = started.id()
	l.brokers[result.ID] = started
	for _, s := range started.members() {
		l.servers[s.ID] = s
		result.Servers = append(result.Servers, s.Server)
	}
	return nil
}

func startBroker(ctx context.Context, e *engine, b launch.Broker) (broker, error) {
	switch b.Kind {
	case launch.OneRedis:
		return startRedis(ctx, e, b)
	case launch.RedisCluster:
		return startRedisCluster(ctx, e, b.Image)
	case launch.RedisSentinel:
		return startRedisSentinel(ctx, e, b.Image)
	case launch.OneRabbitMQ:
		return startRabbitMQ(ctx, e, b)
	case launch.OneNATS:
		return startNATS(ctx, e, b)
	case launch.NATSCluster:
		return startNATSCluster(ctx, e, b.Image)
	case launch.OneSQS:
		return startSQS(ctx, e, b)
	case launch.OnePostgreSQL:
		return startPostgreSQL(ctx, e, b)
	case launch.PostgreSQLs:
		return startPostgreSQLReplica(ctx, e, b)
	case launch.PgBouncer:
		return startPgBouncer(ctx, e, b)
	case launch.OneMariaDB:
		return startMariaDB(ctx, e, b)
	}
	return nil, fmt.Errorf("nothing is called %q", b.Kind)
}

// greetings are those of servers that can do all that is expected of their protocol.
var greetings = map[launch.Protocol]greeting{
	launch.Redis:    greetRedis,
	launch.RabbitMQ: greetRabbitMQ,
	launch.NATS:     greetJetStream,
	launch.SQS:      greetSQS,

	launch.PostgreSQL: greetPostgreSQL,
	launch.MariaDB:    greetMariaDB,
}

// Identify asks a server that runs already for its name and version.
func (l *launcher) Identify(g *launch.Given, result *launch.Server) error {
	ctx, end := l.calls.begin(g.Number)
	defer end()
	s := server{Server: g.Server, greet: greetings[g.Server.Protocol]}
	if s.greet == nil {
		return fmt.Errorf("no protocol is called %q", g.Server.Protocol)
	}
	err := s.identify(ctx)
	*result = s.Server
	return err
}

// Remove removes a broker and its data for good.
func (l *launcher) Remove(target *launch.Target, _ *launch.Nothing) error {
	return withBroker(l, target, broker.remove)
}

// Await returns when the servers of a cluster work together.
func (l *launcher) Await(target *launch.Target, _ *launch.Nothing) error {
	return withBroker(l, target, func(c interface{ formed(context.Context) error }, ctx context.Context) error {
		return await(ctx, c.formed)
	})
}

// Master asks a sentinel for the address of the present master.
func (l *launcher) Master(target *launch.Target, addr *string) error {
	return withBroker(l, target, func(s *sentinel, ctx context.Context) (err error) {
		*addr, err = s.masterAddr(ctx)
		return err
	})
}

// withBroker does something with the broker that a call is about.
func withBroker[B any](l *launcher, target *launch.Target, do func(B, context.Context) error) error {
	ctx, end := l.calls.begin(target.Number)
	defer end()
	l.mu.Lock()
	b, ok := l.brokers[target.ID].(B)
	l.mu.Unlock()
	if !ok {
		return errors.New("there is no such broker")
	}
	return do(b, ctx)
}

// Stop asks a server to shut down and returns when it has.
func (l *launcher) Stop(target *launch.Target, _ *launch.Nothing) error {
	return l.withServer(target, (*server).stop)
}

// Start starts a server that was stopped or killed, and returns when it answers.
func (l *launcher) Start(target *launch.Target, _ *launch.Nothing) error {
	return l.withServer(target, (*server).start)
}

// Kill ends a server with SIGKILL and returns when it is gone.
func (l *launcher) Kill(target *launch.Target, _ *launch.Nothing) error {
	return l.withServer(target, (*server).kill)
}

// Pause freezes a server.
func (l *launcher) Pause(target *launch.Target, _ *launch.Nothing) error {
	return l.withServer(target, (*server).pause)
}

// Unpause lets a frozen server go on.
func (l *launcher) Unpause(target *launch.Target, _ *launch.Nothing) error {
	return l.withServer(target, (*server).unpause)
}

// Exec runs a command inside a server's container, and returns what it printed.
func (l *launcher) Exec(command *launch.Command, output *string) error {
	return l.withServer(&command.Target, func(s *server, ctx context.Context) (err error) {
		*output, err = s.exec(ctx, command.Args)
		return err
	})
}

// withServer does something with the server that a call is about.
func (l *launcher) withServer(target *launch.Target, do func(*server, context.Context) error) error {
	ctx, end := l.calls.begin(target.Number)
	defer end()
	l.mu.Lock()
	s := l.servers[target.ID]
	l.mu.Unlock()
	if s == nil {
		return errors.New("there is no such server")
	}
	return do(s, ctx)
}
