package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// idlePoll is how often a driver looks for what no notification tells. One that is lost costs
	// that much.
	idlePoll = 500 * time.Millisecond
	// restPoll is how often a consumer looks by itself that is left to idlePoll.
	restPoll = 30 * time.Second
	// busyPoll is how soon a queue is looked at again that had jobs a moment ago. Where jobs come one
	// after the other, not each rings.
	busyPoll = 25 * time.Millisecond
	// muteFor is how long a process does not ring when the server takes no notifications: its queue of them is
	// full, as a session that listens has a transaction open. Jobs are found without, a little later.
	muteFor = 10 * time.Second
)

// roomToRing holds while there is room for notifications. When there is none, the commit of every transaction that
// notifies fails, also of the application's, of which the driver does not learn. So nothing rings from half on, where the
// server begins to warn: the rest is for transactions that are under way.
const roomToRing = `pg_notification_queue_usage() < 0.5`

// ringAll wakes those who wait for jobs of a queue, in all processes.
var ringAll = newStatement(`SELECT pg_notify($1::text, $2::text) WHERE ` + roomToRing)

// waker wakes the Receive calls of a consumer.
type waker struct {
	queue string

	mu    sync.Mutex // guards following
	bells chan struct{}
	quiet time.Duration // how long to wait at most before the next look
}

// newWaker makes one for a queue.
func newWaker(queue string) *waker {
	return &waker{queue: queue, bells: make(chan struct{}), quiet: busyPoll}
}

// signal is closed when there may be jobs from now on.
func (w *waker) signal() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.bells
}

// ring wakes those that wait.
func (w *waker) ring() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.bells)
	w.bells = make(chan struct{})
}

// busy says that there were jobs just now.
func (w *waker) busy() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.quiet = busyPoll
}

// pause is how long to wait for a signal before the next look, at most next. It doubles as long as
// nothing comes.
func (w *waker) pause(next time.Duration) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := min(next, w.quiet)
	if w.quiet *= 2; w.quiet > idlePoll {
		w.quiet = restPoll
	}
	return d
}

// bell tells a driver's consumers of new jobs, by one connection that listens.
type bell struct {
	config *pgx.ConnConfig // nil: nothing can be listened to
	schema string
	done   chan struct{}
	poll   func() // looks from time to time, until done
	forget func() // removes what is over from time to time, until done
	ended  sync.WaitGroup
	inTx   *txRings

	mu     sync.Mutex // guards following
	wakers map[string]map[*waker]struct{}
	rang   map[string]time.Time
	muted  time.Time // until when nothing rings
	over   bool
	begun  bool
}

// newBell makes one that listens from its first consumer on.
func newBell(config *pgx.ConnConfig, schema string) *bell {
	return &bell{config: config, schema: schema, done: make(chan struct{}), wakers: make(map[string]map[*waker]struct{}), rang: make(map[string]time.Time), inTx: newTxRings()}
}

// join takes a waker in.
func (b *bell) join(w *waker) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.wakers[w.queue] == nil {
		b.wakers[w.queue] = make(map[*waker]struct{})
	}
	b.wakers[w.queue][w] = struct{}{}
	if b.begun || b.over {
		return
	}
	b.begun = true
	b.ended.Go(b.poll)
	b.ended.Go(b.forget)
	if b.config != nil {
		b.ended.Go(b.listen)
	}
}

// leave lets a waker go.
func (b *bell) leave(w *waker) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.wakers[w.queue], w)
	if len(b.wakers[w.queue]) == 0 {
		delete(b.wakers, w.queue)
	}
}

// local wakes the consumers of this driver.
func (b *bell) local(queue string) {
	b.mu.Lock()
	var all []*waker
	for w := range b.wakers[queue] {
		all = append(all, w)
	}
	b.mu.Unlock()
	for _, w := range all {
		w.ring()
	}
}

// rings tells whether an enqueue is to ring.
func (b *bell) rings(queue string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if now.Before(b.muted) || now.Sub(b.rang[queue]) < ringGap {
		return false
	}
	b.rang[queue] = now
	return true
}

// mute lets nothing ring for a while.
func (b *bell) mute() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.muted = time.Now().Add(muteFor)
}

// audible tells whether the server takes notifications, as far as is known.
func (b *bell) audible() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !time.Now().Before(b.muted)
}

// close ends listening.
func (b *bell) close() {
	b.mu.Lock()
	if !b.over {
		b.over = true
		close(b.done)
	}
	b.mu.Unlock()
	b.inTx.close()
	b.ended.Wait()
}

// listen passes notifications on until close. Without a connection the consumers look by themselves.
func (b *bell) listen() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	b.ended.Go(func() {
		<-b.done
		cancel()
	})
	for ctx.Err() == nil {
		b.listenOnce(ctx)
		timer := time.NewTimer(idlePoll)
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// listenOnce passes on what one connection tells.
func (b *bell) listenOnce(ctx context.Context) {
	conn, err := pgx.ConnectConfig(ctx, b.config)
	if err != nil {
		return
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{b.schema}.Sanitize()); err != nil {
		return
	}
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return
		}
		b.local(n.Payload)
	}
}
