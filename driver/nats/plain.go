package nats

import (
	"context"
	"strconv"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/batch-go/batch/driver"
)

// enqueuePlain stores a job that comes alone, is ready at once and has no dedup key. Its
// caller writes the message and gets the answer: the client library would hand each over to
// a goroutine of its own, which take longer than all else that the driver does.
func (d *Driver) enqueuePlain(ctx context.Context, op string, n *names, m *driver.Message) error {
	if err := d.unfit(op, n.queue, m); err != nil {
		return err
	}
	r, err := d.conn.prepare(&requests{scope: n.job, apart: true}, 0)
	if err != nil {
		return err
	}
	answer, err := d.sendPlain(ctx, r, &job{Message: *m})
	if err == nil {
		_, err = readAck(n, answer)
	}
	return d.whyUnanswered(ctx, n, err)
}

// takesPlain tells whether enqueuePlain is for these messages.
func takesPlain(messages []*driver.Message) bool {
	return len(messages) == 1 && messages[0].Delay <= 0 && messages[0].DedupKey == ""
}

// sendPlain publishes a job and returns the answer.
func (d *Driver) sendPlain(ctx context.Context, r *requests, j *job) (*natsgo.Msg, error) {
	defer r.conn.forget(r.id)
	p, err := r.link.takePlain()
	if err != nil {
		return nil, err
	}
	if err := p.publish(r.scope, j); err != nil {
		p.end()
		return nil, err
	}
	answer, err := p.wait(ctx, r)
	if err != nil {
		p.end() // the answer may come yet
		return nil, err
	}
	r.link.putPlain(p)
	return answer, nil
}

// plain is what one enqueuePlain at a time needs: an inbox of its own, whose answers the
// client library gives to the one who waits. It is used again.
type plain struct {
	link    *link
	inbox   string
	sub     *natsgo.Subscription
	answers chan *natsgo.Msg
	heard   bool   // the server knows of the inbox
	header  []byte // of a message, and all of it
	message []byte
}

const (
	// mostPlains is how many plains a connection keeps.
	mostPlains = 64
	// plainSize is up to how many bytes of a body a message is written by its caller. What a
	// larger one takes is in the copying.
	plainSize = 32 << 10
)

// takePlain takes one that is used again, or a new one.
func (l *link) takePlain() (*plain, error) {
	l.mu.Lock()
	if last := len(l.plains) - 1; last >= 0 {
		p := l.plains[last]
		l.plains = l.plains[:last]
		l.mu.Unlock()
		return p, nil
	}
	l.mu.Unlock()
	p := &plain{link: l, inbox: l.nc.NewInbox(), answers: make(chan *natsgo.Msg, 1)}
	var err error
	p.sub, err = l.nc.ChanSubscribe(p.inbox, p.answers)
	if l.socket != nil && isClosedConn(err) {
		err = errDown
	}
	return p, err
}

// putPlain keeps one whose answer came, unless the driver is closed.
func (l *link) putPlain(p *plain) {
	p.heard = true
	l.mu.Lock()
	kept := !l.ended && len(l.plains) < mostPlains
	if kept {
		l.plains = append(l.plains, p)
	}
	l.mu.Unlock()
	if !kept {
		p.end()
	}
}

// endPlains ends those that are kept, and keeps no more.
func (l *link) endPlains() {
	l.mu.Lock()
	all := l.plains
	l.plains, l.ended = nil, true
	l.mu.Unlock()
	for _, p := range all {
		p.end()
	}
}

// end ends one whose answer may come yet, or that is not needed any more.
func (p *plain) end() { _ = p.sub.Unsubscribe() } // it fails if the connection is closed

// publish publishes a job. An error says that it was not sent.
func (p *plain) publish(subject string, j *job) error {
	// The first comes behind the subscription, which the library writes.
	if !p.heard || !p.link.open || len(j.Body) > plainSize {
		return p.link.publish(&natsgo.Msg{Subject: subject, Reply: p.inbox, Header: j.header(), Data: j.Body})
	}
	p.header = j.appendHeader(p.header[:0])
	b := append(p.message[:0], "HPUB "...)
	b = append(append(b, subject...), ' ')
	b = append(append(b, p.inbox...), ' ')
	b = append(strconv.AppendInt(b, int64(len(p.header)), 10), ' ')
	b = append(strconv.AppendInt(b, int64(len(p.header)+len(j.Body)), 10), "\r\n"...)
	b = append(append(append(b, p.header...), j.Body...), "\r\n"...)
	p.message = b
	if _, err := p.link.socket.Write(b); err != nil {
		// The library sees by that that the connection is lost, and who waits is told how
		// much may have left.
		_ = p.link.socket.Close()
	}
	return nil
}

// appendHeader appends the headers of a job as they are on the wire.
func (j *job) appendHeader(b []byte) []byte {
	b = append(b, "NATS/1.0\r\n"...)
	put := func(name, value string) {
		b = append(append(b, name...), ": "...)
		b = append(append(b, value...), "\r\n"...)
	}
	j.putFields(put)
	for name, value := range j.Headers {
		put(headerOwn+name, encode(value))
	}
	return append(b, "\r\n"...)
}

// wait waits for the answer. Without one it returns why.
func (p *plain) wait(ctx context.Context, r *requests) (*natsgo.Msg, error) {
	var look <-chan time.Time // no timer where ctx ends before
	if end, ok := ctx.Deadline(); !ok || time.Until(end) > 2*silence {
		timer := time.NewTimer(2 * silence)
		defer timer.Stop()
		look = timer.C
	}
	select {
	case m := <-p.answers:
		return m, nil
	case <-r.done:
	case <-ctx.Done():
		r.fail(ctx.Err())
	case <-look:
		r.fail(errSilent)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return nil, r.broken
}
