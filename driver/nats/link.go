package nats

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	natsgo "github.com/nats-io/nats.go"
)

// link is a connection with one inbox for the answers to everything that the
// driver asks. The client library's own requests are not used: they know only
// one answer for one question and take a timer each, and the answers to a
// thousand messages are to be awaited as one.
type link struct {
	nc    *natsgo.Conn
	inbox string // ends with a dot
	sub   *natsgo.Subscription
	// losses counts how often the connection was lost. What was handed out
	// before a loss may have been forgotten by a server that crashed.
	losses atomic.Uint64

	statuses chan natsgo.Status
	watched  chan struct{} // closed when watch has ended

	mu      sync.Mutex // guards following
	flights map[uint64]*flight
	pullers map[*consumer]struct{}
	next    uint64
	cut     error // not nil once nothing is sent any more
}

var (
	// errLost breaks flights when the connection breaks: their questions may
	// have arrived.
	errLost = errors.New("the connection was lost before the answer came")
	// errDown refuses flights while there is no connection.
	errDown = errors.New("not connected")
	// errCut breaks flights when the driver is closed.
	errCut = errors.New("the driver was closed before the answer came")
	// errSilent breaks flights that nobody answers, although the connection stands.
	// A server of a cluster that has just lost a stream, or its leader, may let a
	// question fall and not say so.
	errSilent = errors.New("the server does not answer")
)

// silence is for how long at least no answer came to any question of a flight
// that is broken for it. It is twice what the client library waits by default, as
// what was asked may have been done.
const silence = 10 * time.Second

func newLink(nc *natsgo.Conn) (*link, error) {
	l := &link{nc: nc, inbox: nc.NewInbox() + ".", flights: make(map[uint64]*flight), pullers: make(map[*consumer]struct{}), watched: make(chan struct{})}
	// Registered before the first flight, so that no loss goes unseen.
	l.statuses = nc.StatusChanged(natsgo.DISCONNECTED, natsgo.RECONNECTING, natsgo.CLOSED)
	sub, err := nc.Subscribe(l.inbox+">", l.answer)
	if err != nil {
		nc.RemoveStatusListener(l.statuses)
		return nil, err
	}
	// As many answers come as there are questions, so that they are bounded.
	_ = sub.SetPendingLimits(-1, -1)
	l.sub = sub
	go l.watch()
	return l, nil
}

// watch breaks what waits for an answer when the connection is lost.
func (l *link) watch() {
	defer close(l.watched)
	for range l.statuses {
		l.losses.Add(1)
		l.breakAll(errLost)
	}
}

// breakAll ends all flights and pulls under way.
func (l *link) breakAll(why error) {
	l.mu.Lock()
	flights := make([]*flight, 0, len(l.flights))
	for _, f := range l.flights {
		flights = append(flights, f)
	}
	pullers := make([]*consumer, 0, len(l.pullers))
	for c := range l.pullers {
		pullers = append(pullers, c)
	}
	l.mu.Unlock()
	for _, f := range flights {
		f.fail(why)
	}
	for _, c := range pullers {
		c.lost(why)
	}
}

// forbid ends the flights that sent to a subject for which the server refused
// the permission. It says so on the side and not by an answer.
func (l *link) forbid(subject string, why error) {
	l.mu.Lock()
	var hit []*flight
	for _, f := range l.flights {
		if strings.HasPrefix(subject, f.scope) {
			hit = append(hit, f)
		}
	}
	l.mu.Unlock()
	for _, f := range hit {
		f.fail(why)
	}
}

// close ends everything under way and everything to come.
func (l *link) close() {
	l.mu.Lock()
	l.cut = errCut
	l.mu.Unlock()
	l.breakAll(errCut)
	_ = l.sub.Unsubscribe()
	l.nc.RemoveStatusListener(l.statuses)
	<-l.watched
}

func (l *link) addPuller(c *consumer) {
	l.mu.Lock()
	l.pullers[c] = struct{}{}
	l.mu.Unlock()
}

func (l *link) removePuller(c *consumer) {
	l.mu.Lock()
	delete(l.pullers, c)
	l.mu.Unlock()
}

// flight is a number of questions whose answers are awaited together.
type flight struct {
	link  *link
	id    uint64
	scope string // what the subjects of all questions begin with
	reply string // the subject of the answers, without the number
	done  chan struct{}

	mu      sync.Mutex // guards following
	answers []*natsgo.Msg
	left    int
	many    bool // answers come until one ends them
	broken  error
	over    bool
}

// fly begins a flight of n questions.
func (l *link) fly(n int, scope string) (*flight, error) {
	f := &flight{link: l, scope: scope, done: make(chan struct{}), answers: make([]*natsgo.Msg, n), left: n}
	if !l.nc.IsConnected() {
		if l.nc.IsClosed() {
			return nil, natsgo.ErrConnectionClosed
		}
		return nil, errDown
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut != nil {
		return nil, l.cut
	}
	l.next++
	f.id = l.next
	l.flights[f.id] = f
	f.reply = l.inbox + strconv.FormatUint(f.id, 36) + "."
	return f, nil
}

// ask sends question i. An error says that it was not sent.
func (f *flight) ask(i int, subject string, header natsgo.Header, data []byte) error {
	m := natsgo.Msg{Subject: subject, Reply: f.reply + strconv.Itoa(i), Header: header, Data: data}
	err := f.link.nc.PublishMsg(&m)
	if err != nil {
		f.drop(i)
	}
	return err
}

// send sends what has no answer.
func (l *link) send(e *entry) error {
	return l.nc.PublishMsg(&natsgo.Msg{Subject: e.subject, Header: e.header, Data: e.data})
}

// drop gives up the answer to question i, which was not sent.
func (f *flight) drop(i int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.over && f.answers[i] == nil {
		f.answers[i] = notSent
		f.count()
	}
}

// notSent stands for the answer to what was not sent.
var notSent = &natsgo.Msg{}

// count counts an answer. f.mu must be held.
func (f *flight) count() {
	if f.left--; f.left == 0 {
		f.over = true
		close(f.done)
	}
}

// wait waits for all answers. It returns nil if all came, else why it gave up;
// what came until then is in the answers. They are the caller's then.
func (f *flight) wait(ctx context.Context) error {
	f.await(ctx)
	f.link.mu.Lock()
	delete(f.link.flights, f.id)
	f.link.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.broken
}

// await returns when the flight is over.
func (f *flight) await(ctx context.Context) {
	look := time.NewTicker(silence)
	defer look.Stop()
	for before := -1; ; {
		select {
		case <-f.done:
			return
		case <-ctx.Done():
			f.fail(ctx.Err())
			return
		case <-look.C:
		}
		came := f.came()
		if came == before {
			f.fail(errSilent)
			return
		}
		before = came
	}
}

// came is how many answers there are.
func (f *flight) came() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.many {
		return len(f.answers)
	}
	return len(f.answers) - f.left
}

// fail ends the flight without the answers that are missing.
func (f *flight) fail(why error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.over {
		f.over, f.broken = true, why
		close(f.done)
	}
}

// answer takes the answer to a question to its flight.
func (l *link) answer(m *natsgo.Msg) {
	id, number, ok := strings.Cut(m.Subject[min(len(l.inbox), len(m.Subject)):], ".")
	if !ok {
		return
	}
	n, err := strconv.ParseUint(id, 36, 64)
	if err != nil {
		return
	}
	i, err := strconv.Atoi(number)
	if err != nil {
		return
	}
	l.mu.Lock()
	f := l.flights[n]
	l.mu.Unlock()
	if f == nil {
		return // given up
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over {
		return
	}
	if f.many {
		f.answers = append(f.answers, m)
		if m.Header.Get(natsSequence) == "" { // it is no message of the stream
			f.over = true
			close(f.done)
		}
		return
	}
	if i < 0 || i >= len(f.answers) || f.answers[i] != nil {
		return
	}
	f.answers[i] = m
	f.count()
}
