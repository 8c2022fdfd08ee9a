package redis

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"
)

// listener waits for the tokens of several consumers with one BLPOP, on one connection, as
// long as a Receive of one of them waits.
//
// With one consumer it sends the fetch behind the BLPOP: the server holds it back while that
// connection is blocked, and runs it as soon as the token comes. So a job is picked up from an
// idle queue in one round trip, and yet the one script that hands out jobs decides everything:
// the pause, priorities, what is due. With several it has the consumer whose token came fetch,
// in another round trip.
//
// The BLPOP also names the key of a consumer that only this one waits on: what is pushed to it
// ends the BLPOP, as others are to be named. So that this is rare, a consumer that was served
// is named on: it mostly waits again a moment later. If its next token comes before it does, the
// token is passed on, and the consumer not named until it waits.
type listener struct {
	conn     *connection
	block    time.Duration // how long one BLPOP waits
	patience time.Duration // how much longer its answer may take
	// ask is what it does in place of a BLPOP, or nil.
	ask func(*listener, *round)
	// over is closed when it has no members any more.
	over chan struct{}

	mu      sync.Mutex // guards following
	members []*member  // in the order in which the server looks for a token
	running bool       // the goroutine that waits runs
	round   *round     // what is under way, or nil
}

// member is a consumer as its listener knows it.
type member struct {
	*waker
	listener *listener
	idle     bool // it is not named: it does not wait, and a token came
}

// round is one BLPOP.
type round struct {
	members []*member
	poke    string // the key of ours that ends it
	poked   bool
	max     int // how many jobs its one member asks for; 0 with several
}

// pollEvery is how often tokens are asked for that no BLPOP waits for.
const pollEvery = 500 * time.Millisecond

// errUnblocked ends the waiting of a consumer that stops.
var errUnblocked = errors.New("the consumer was stopped")

// has tells whether the round is for a member.
func (r *round) has(m *member) bool {
	for _, other := range r.members {
		if other == m {
			return true
		}
	}
	return false
}

// begin sees to it that a token of a member is waited for, from when its Receive begins to wait.
func (m *member) begin() {
	l := m.listener
	l.mu.Lock()
	defer l.mu.Unlock()
	m.idle = false
	switch r := l.round; {
	case !l.running:
		l.running = true
		go l.serve()
	case r != nil && l.ask == nil && !r.poked && !r.has(m):
		r.poked = true
		go func() { _ = m.poke(context.Background(), r.poke) }() // if it fails, the round ends in time
	}
}

// leave takes out a member that stops. If a round goes on for nobody else, it is ended: its
// error is that of the attempt.
func (m *member) leave(ctx context.Context) error {
	l := m.listener
	l.mu.Lock()
	for i, other := range l.members {
		if other == m {
			l.members = append(l.members[:i:i], l.members[i+1:]...)
			break
		}
	}
	r := l.round
	end := r != nil && r.has(m) && (len(r.members) == 1 || len(l.members) == 0)
	l.mu.Unlock()
	if !end || l.ask != nil {
		return nil
	}
	return m.poke(ctx, r.poke)
}

// poke pushes to a list of ours that a BLPOP waits on: that works through proxies, in a cluster
// and without the permission for CLIENT, and cuts no connection.
func (m *member) poke(ctx context.Context, key string) error {
	_, err := m.conn.eval(ctx, unblockScript, unblockScript.args(m.names, 0, key))
	return err
}

// serve waits for tokens, until no Receive waits.
func (l *listener) serve() {
	for {
		r := l.next()
		switch {
		case r == nil:
			return
		case l.ask != nil:
			l.ask(l, r)
		case r.max > 0:
			l.waitForOne(r)
		default:
			l.waitForSeveral(r)
		}
	}
}

// next makes the next round. If no Receive waits, it is nil, and ends the goroutine that asks.
func (l *listener) next() *round {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := &round{members: make([]*member, 0, len(l.members))}
	waits := false
	for _, m := range l.members {
		max, ok := m.first()
		waits = waits || ok
		if ok || !m.idle {
			r.members = append(r.members, m)
			r.max = max
		}
	}
	l.round = nil
	if !waits {
		l.running = false
		return nil
	}
	if len(r.members) > 1 {
		r.max = 0
	}
	r.poke = r.members[0].names.unblock(r.members[0].name)
	l.round = r
	return r
}

// pop is the command that waits.
func (l *listener) pop(r *round) []any {
	args := make([]any, 0, len(r.members)+3)
	args = append(args, "blpop")
	for _, m := range r.members {
		args = append(args, m.names.shared[wakeIndex])
	}
	return append(args, r.poke, strconv.FormatFloat(l.block.Seconds(), 'f', 3, 64))
}

// waitForSeveral is one BLPOP for several members.
func (l *listener) waitForSeveral(r *round) {
	replies, err := l.conn.pipeline(l.block+l.patience, l.pop(r))
	var key string // empty if the time has passed
	if err == nil {
		token := reader{buf: replies[0]}
		if token.array() == 2 {
			key = token.string()
		}
		err = token.err
	}
	switch {
	case isWrongType(err):
		// Nobody can tell whose key is no list, but the fetches of that consumer.
		for _, m := range r.members {
			m.wakeAll(nil)
		}
		l.rest()
	case err != nil:
		l.fail(r, err)
	case key != "" && key != r.poke:
		l.serveToken(r, key)
	}
}

// rest waits until it is time to ask again, or there are no members any more.
func (l *listener) rest() {
	timer := time.NewTimer(pollEvery)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.over:
	}
}

// serveToken has a member fetch whose key gave a token, or passes that on.
func (l *listener) serveToken(r *round, key string) {
	var taker *member
	var passed *waker
	l.mu.Lock()
	for _, m := range r.members {
		if m.names.wake != key {
			continue
		}
		if m.wake(served{token: true}) {
			taker = m
			break
		}
		m.idle, passed = true, m.waker
	}
	// The next round begins with the others: the server looks for tokens in this order.
	for i, m := range l.members {
		if m == taker {
			l.members = append(append(l.members[:i:i], l.members[i+1:]...), m)
			break
		}
	}
	l.mu.Unlock()
	if taker == nil && passed != nil {
		go passed.passOn()
	}
}

// waitForOne sends the BLPOP of one member with its fetch behind. Until its reply is there, it
// counts as the consumer's.
func (l *listener) waitForOne(r *round) {
	m := r.members[0]
	if !m.receiving.Enter() {
		m.wakeAll(errUnblocked)
		return
	}
	defer m.receiving.Exit()
	switch f, woken := l.fetchBehind(m, r); {
	case f.err != nil:
		m.wakeAll(f.err)
	case !woken || m.wake(f):
	case f.token:
		m.passOn()
	default:
		m.giveBack(f.jobs)
	}
}

// fetchBehind sends the BLPOP and the fetch. woken says that there is something for a
// waiter: jobs, or that it is to fetch again itself, as this fetch was refused.
func (l *listener) fetchBehind(m *member, r *round) (f served, woken bool) {
	ctx, cancel := context.WithTimeout(l.conn.ctx, l.block+l.patience)
	defer cancel()
	chunk := m.chunk()
	replies, err := l.conn.executeFor(ctx, l.conn.client.Pipeline(), int(m.textPerJob.Load()), l.pop(r), m.receiveArgs(r.max, chunk))
	if err != nil {
		m.emptied.Store(false)
		return served{err: impatient(err)}, false
	}
	token := replies[0].reader()
	token.array()
	if token.err != nil {
		return served{err: token.err}, false
	}
	got, err := m.read(replies[1], min(r.max, chunk))
	if _, refused := err.(serverError); refused && !isMissing(err) {
		// The script is not loaded, or the server has changed its role: fetch
		// knows what to do.
		return served{token: true}, true
	}
	if err != nil {
		return served{err: err}, false
	}
	if err := m.accept(min(r.max, chunk), got); err != nil {
		return served{err: err}, false
	}
	if m.stopped() {
		m.giveBack(got.jobs)
		return served{err: errUnblocked}, false
	}
	return served{jobs: got.jobs}, len(got.jobs) > 0
}

// size is how many members the listener has.
func (l *listener) size() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.members)
}

// tellsSoon tells whether the member hears of a token as soon as by a fetch of its own: no other
// consumer waits on its listener, which asks by BLPOP.
func (m *member) tellsSoon() bool { return m.listener.ask == nil && m.listener.size() == 1 }

// fail ends the waiting of all members with an error.
func (l *listener) fail(r *round, err error) {
	for _, m := range r.members {
		m.wakeAll(impatient(err))
	}
}
