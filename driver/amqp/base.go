package amqp

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
	"github.com/batch-go/batch/internal/lifecycle"
)

// base is what both driver types are: two connections, one for publishing and
// one for all else. RabbitMQ stops reading from a connection that publishes when
// it is short of memory or disk, and acknowledgements, which are what helps it
// then, must not wait behind that.
type base struct {
	config *config
	info   driver.Info
	// replacesReturned tells that a message that comes back after its holder was lost
	// is replaced by a new one: classic queues do not count how often it was handed
	// out, and quorum queues hand out first what came back, whatever its priority.
	replacesReturned bool
	// replacesGivenBack tells the same of what is released, or was pushed and never
	// received: before 4.3 quorum queues count what is returned as a lost holder.
	replacesGivenBack bool
	// hasTimeout tells that the waiting queue has a consumer timeout: classic ones
	// have none as of 4.3, and refuse the argument.
	hasTimeout bool

	// lookPause is that of the constant, unless a test is in a hurry.
	lookPause time.Duration
	// room is how many bytes the properties of a message can have.
	room int

	publishing *connector
	consuming  *connector
	// consumers are the connections of consumers; that of consuming is the first.
	consumers *connectors

	queues   sync.Map // queue to *names
	delays   sync.Map // queue to *delayQueues
	watches  sync.Map // queue to *watch, of those with a consumer
	browsing sync.Map // queue to a channel that holds a token while a call browses

	publisher atomic.Pointer[publisher]
	making    chan struct{} // holds a token while a task makes a publisher
	sizes     sizes

	calls lifecycle.Handle
	tasks sync.WaitGroup     // what calls may have left behind
	life  context.Context    // of tasks: ends when Close has waited for the calls
	end   context.CancelFunc // ends life
}

// newBase makes a base that has not connected yet.
func newBase(c *config) *base {
	b := &base{config: c, lookPause: lookPause, making: make(chan struct{}, 1)}
	b.life, b.end = context.WithCancel(context.Background())
	b.publishing = newConnector(c, purposePublishing)
	b.consuming = newConnector(c, purposeConsuming)
	b.consumers = newConnectors(c, b.consuming)
	return b
}

// names returns the broker's names of a queue.
func (b *base) names(queue string) *names {
	if n, ok := b.queues.Load(queue); ok {
		return n.(*names)
	}
	n, _ := b.queues.LoadOrStore(queue, newNames(queue))
	return n.(*names)
}

// within is ctx until Close cuts the calls off.
func (b *base) within(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(b.life, cancel)
	return ctx, func() { stop(); cancel() }
}

// outlive is a ctx that ends some time after ctx does, or when Close cuts the calls off.
func (b *base) outlive(ctx context.Context, by time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(b.life)
	stop := context.AfterFunc(ctx, func() {
		_ = lifecycle.Sleep(longer, by)
		cancel()
	})
	return longer, func() { stop(); cancel() }
}

// await runs do on a goroutine, and returns before it has ended if ctx ends: the
// library's calls have no ctx, and end with their reply or the connection.
func (b *base) await(ctx context.Context, do func() error) error {
	done := make(chan error, 1)
	b.tasks.Go(func() { done <- do() })
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// call awaits do on a channel of its own, on the consuming connection, which the
// broker does not block when it is short of memory.
func (b *base) call(ctx context.Context, do func(ch *amqp091.Channel) error) error {
	conn, err := b.consuming.connection(ctx)
	if err != nil {
		return err
	}
	return b.await(ctx, func() error {
		ch, err := conn.client.Channel()
		if err != nil {
			return conn.explain(err)
		}
		err = conn.explain(do(ch))
		_ = ch.Close() // the error closed it, or nothing depends on it any more
		return err
	})
}

// isBlocked tells whether the broker takes no messages, as far as is known.
func (b *base) isBlocked() bool {
	p := b.publisher.Load()
	return p != nil && p.alive() && p.conn.isBlocked()
}

// awaitFlow waits while the broker takes no messages, and tells whether it did.
func (b *base) awaitFlow(ctx context.Context) (waited bool) {
	if !b.isBlocked() {
		return false
	}
	conn := b.publisher.Load().conn
	flowing, _ := conn.flow()
	select {
	case <-flowing:
	case <-conn.ended:
	case <-ctx.Done():
	}
	return true
}

// livePublisher returns a publisher that lives, or makes one, once.
func (b *base) livePublisher(ctx context.Context) (*publisher, error) {
	if p := b.publisher.Load(); p != nil && p.alive() && p.conn.isFit() {
		return p, nil
	}
	var p *publisher
	err := b.await(ctx, func() error {
		select {
		case b.making <- struct{}{}:
			defer func() { <-b.making }()
		case <-ctx.Done():
			return ctx.Err()
		}
		if p = b.publisher.Load(); p != nil && p.alive() && p.conn.revive() {
			return nil
		}
		conn, err := b.publishing.connection(ctx)
		if err != nil {
			return err
		}
		fresh, err := newPublisher(conn)
		if err != nil {
			return conn.explain(err)
		}
		b.publisher.Store(fresh)
		p = fresh
		return nil
	})
	if err != nil {
		return nil, fault.NotSent{Err: err}
	}
	return p, nil
}
