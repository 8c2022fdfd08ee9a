package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/batch-go/batch/driver"
)

// puller pulls jobs for one consumer, with one pull under way for each of its
// Receive calls.
type puller struct {
	conn    *connection
	subject string        // of pull requests
	expires time.Duration // how long a pull waits
	near    bool          // the server connected to is the one that serves the pulls
	// giveBack takes jobs that came and that no Receive returns. It is called with
	// mu held and must not block.
	giveBack func([]*natsgo.Msg)
	done     chan struct{} // closed when shut is called

	mu      sync.Mutex // guards following, and what it says below
	closed  bool
	inboxes []*inbox
	strays  map[*inbox]*time.Timer // what ends those whose pulls were taken for lost
}

// inbox is where the jobs of one pull at a time come to. They come under the
// subject that they were published to, so that of several pulls in one inbox
// nobody could tell which job is whose.
type inbox struct {
	puller  *puller
	link    *link
	subject string
	sub     *natsgo.Subscription

	// puller.mu guards following.

	busy bool // a Receive uses it
	pull *pull
	rest []*natsgo.Msg // what came after the consumer was closed
	// stray is when a pull has ended at the latest that was taken for lost: the server
	// may still have it. Nothing else is pulled to this inbox: when a job was handed out
	// could not be told then.
	stray time.Time
}

// pull is one request for jobs, and what came for it.
type pull struct {
	batch int
	sent  time.Time
	done  chan struct{} // closed when nothing more comes

	// puller.mu guards following.

	got  []*natsgo.Msg
	over bool
	end  error
}

// pullRequest asks for what there is, at most batch, and waits for the first if
// there is nothing: "one-shot" in processNextMsgRequest of server/consumer.go.
type pullRequest struct {
	Batch   int           `json:"batch"`
	Expires time.Duration `json:"expires"`
	NoWait  bool          `json:"no_wait,omitempty"`
}

// pullSubject is where pull requests go.
func (d *Driver) pullSubject(n *names) string {
	return d.apiRoot + "CONSUMER.MSG.NEXT." + n.stream + "." + consumerJobs
}

// fetch makes one pull for at most max jobs, or takes over one under way, and
// returns what came and when it was asked for. It returns none and errEmpty when
// the pull's time is over. inTurn asks for one job, behind the pulls that wait.
func (p *puller) fetch(ctx context.Context, max int, inTurn bool) ([]*natsgo.Msg, time.Time, error) {
	in, err := p.takeInbox()
	if err != nil {
		return nil, time.Time{}, err
	}
	pull, err := in.request(max, inTurn)
	if err != nil {
		p.putInbox(in)
		return nil, time.Time{}, err
	}
	// The server ends the pull in time; this is for a request or an end that got lost:
	// the server's machine is frozen, or the network is cut. It is asked anew then.
	late := time.NewTimer(time.Until(pull.sent.Add(p.expires + lateTime)))
	defer late.Stop()
	var why error
	select {
	case <-pull.done:
	case <-late.C:
		why = errEmpty
	case <-p.done:
		why = driver.ErrClosed
	case <-ctx.Done():
		why = ctx.Err()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	in.busy = false
	if !pull.over && why == errEmpty {
		p.retire(in, errEmpty)
	}
	if !pull.over {
		// The pull goes on; the next fetch takes it over.
		p.giveBack(pull.got)
		pull.batch -= len(pull.got)
		pull.got = nil
		return nil, time.Time{}, why
	}
	got := pull.got
	if len(got) > max { // it was taken over from a call that asked for more
		p.giveBack(got[max:])
		got = got[:max]
	}
	return got, pull.sent, pull.end
}

// lateTime is how long after its time the end of a pull is awaited.
const lateTime = 2 * time.Second

// takeInbox takes an inbox that no Receive uses, one with a pull under way if
// there is one.
func (p *puller) takeInbox() (*inbox, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var free *inbox
	for _, in := range p.inboxes {
		if in.busy {
			continue
		}
		if free = in; in.pull != nil {
			break
		}
	}
	if free == nil {
		if err := p.conn.ready(); err != nil {
			return nil, err
		}
		l := p.conn.current.Load()
		free = &inbox{puller: p, link: l, subject: l.nc.NewInbox()}
		sub, err := l.nc.Subscribe(free.subject, free.arrive)
		if l.socket != nil && isClosedConn(err) {
			return nil, errDown
		}
		if err != nil {
			return nil, err
		}
		// No more comes than was asked for.
		_ = sub.SetPendingLimits(-1, -1)
		free.sub = sub
		p.inboxes = append(p.inboxes, free)
	}
	free.busy = true
	return free, nil
}

// putInbox gives an inbox back.
func (p *puller) putInbox(in *inbox) {
	p.mu.Lock()
	defer p.mu.Unlock()
	in.busy = false
}

// request sends a request for jobs, unless one is under way.
func (in *inbox) request(max int, inTurn bool) (*pull, error) {
	p := in.puller
	p.mu.Lock()
	defer p.mu.Unlock()
	if in.pull != nil {
		return in.pull, nil
	}
	if err := p.conn.ready(); err != nil {
		return nil, err
	}
	request := pullRequest{Batch: max, Expires: p.expires, NoWait: true}
	if inTurn {
		request.Batch, request.NoWait = 1, false
	}
	data, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	sent := time.Now()
	if err := in.link.publish(p.subject, in.subject, nil, data); err != nil {
		return nil, err
	}
	in.pull = &pull{batch: request.Batch, sent: sent, done: make(chan struct{})}
	return in.pull, nil
}

// arrive takes what comes to the inbox: jobs, and the ends of pulls.
func (in *inbox) arrive(m *natsgo.Msg) {
	p := in.puller
	p.mu.Lock()
	defer p.mu.Unlock()
	if !strings.HasPrefix(m.Reply, "$JS.ACK.") {
		if end := pullEnd(m); end != nil {
			in.finish(end)
		}
		return
	}
	pull := in.pull
	switch {
	case p.closed && !in.busy:
		in.rest = append(in.rest, m)
		if pull != nil {
			if pull.batch--; pull.batch == 0 {
				in.finish(nil)
			}
		}
	case pull == nil:
		// It is for a pull that was taken for lost.
		p.giveBack([]*natsgo.Msg{m})
	case in.busy:
		if pull.got = append(pull.got, m); len(pull.got) == pull.batch {
			in.finish(nil)
		}
	default:
		// Nobody waits for it: it is not kept here until the next Receive, but given
		// back. The pull itself cannot be taken back: if its inbox went away, the
		// server would drop it, with what it is about to deliver to it.
		p.giveBack([]*natsgo.Msg{m})
		if pull.batch--; pull.batch == 0 {
			in.finish(nil)
		}
	}
}

// finish ends the pull of an inbox. puller.mu must be held.
func (in *inbox) finish(end error) {
	pull := in.pull
	if pull == nil {
		return
	}
	in.pull = nil
	pull.over, pull.end = true, end
	close(pull.done)
}

// The ends of a pull that are no error.
var (
	errEmpty   = errors.New("no more jobs")
	errCrowded = errors.New("other pulls wait for all the jobs there are")
)

// pullEnd says why a pull ended, or nil if it has not.
func pullEnd(m *natsgo.Msg) error {
	code, text := m.Header.Get("Status"), m.Header.Get("Description")
	switch {
	case code == "404":
		return errEmpty
	case code == "408" && text == "Requests Pending":
		return errCrowded
	case code == "408":
		return errEmpty
	case code == "503":
		return &noResponders{m.Subject}
	case code == "409" && text == "Consumer Deleted":
		return errRemoved
	case code == "409" && (text == "Leadership Change" || text == "Server Shutdown"):
		return fmt.Errorf("%w: %s", errLost, text)
	case code == "100" || code == "":
		return nil
	}
	return &apiError{Description: "the pull was refused: " + code + " " + text}
}

// lost ends all pulls, as their requests or answers may have been lost.
func (p *puller) lost(why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.endAll(why)
}

// endAll ends all pulls. p.mu must be held.
func (p *puller) endAll(why error) {
	for _, in := range slices.Clone(p.inboxes) {
		p.retire(in, why)
	}
}

// forbidden ends all pulls if the server refuses them, or their inboxes.
func (p *puller) forbidden(subject string, why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if subject == p.subject || slices.ContainsFunc(p.inboxes, func(in *inbox) bool { return in.subject == subject }) {
		p.endAll(why)
	}
}

// retire takes an inbox out of use whose pull may be lost, and ends that. What comes
// to it yet is given back. p.mu must be held.
func (p *puller) retire(in *inbox, why error) {
	i := slices.Index(p.inboxes, in)
	if i < 0 {
		return
	}
	p.inboxes = slices.Delete(p.inboxes, i, i+1)
	in.finish(why)
	if why == errCut || why != errEmpty && in.link.socket != nil {
		// Nothing comes any more, or is wanted.
		_ = in.sub.Unsubscribe() // it fails if the connection is closed
		return
	}
	longest := p.expires + lateTime
	in.stray = time.Now().Add(longest)
	if p.strays == nil {
		p.strays = make(map[*inbox]*time.Timer)
	}
	p.strays[in] = time.AfterFunc(longest, func() {
		_ = in.sub.Unsubscribe() // as above
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.strays, in)
	})
}

// shut ends the fetches under way. What comes later is for drain. A second one is
// a no-op.
func (p *puller) shut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.closed = true
		close(p.done)
	}
}
