package nats

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/batch-go/batch/driver"
)

// enqueuePlain stores a job that comes alone, is ready at once and has no dedup key. Its
// caller writes the message and gets the answer: the client library would hand each over to
// a goroutine of its own, which take longer than all else that the driver does.
func (d *Driver) enqueuePlain(ctx context.Context, n *names, m *driver.Message) error {
	l := d.conn.current.Load()
	box := l.mailboxes.take()
	if box == nil {
		return d.enqueueFirst(ctx, n, m)
	}
	r, err := d.conn.prepare(&requests{link: l, scope: n.job, apart: true}, 0)
	if err != nil {
		l.mailboxes.put(box)
		return err
	}
	answer, err := d.sendPlain(ctx, r, box, &job{Message: *m})
	if err == nil {
		_, err = readAck(n, answer)
	}
	return d.whyUnanswered(ctx, n, err)
}

// enqueueFirst is enqueuePlain where no mailbox is free: it makes one, if there may be more. The
// answer comes to the inbox of all requests, as the server may refuse the mailbox's subscription.
// By then it has that: the job leaves behind it, by way of the client library.
func (d *Driver) enqueueFirst(ctx context.Context, n *names, m *driver.Message) error {
	r, err := d.conn.publications([]entry{n.newJob(m, moment{}, "")}, false)
	if err != nil {
		return err
	}
	l := r.link
	box, err := l.newMailbox()
	if err != nil {
		r.forget()
		return err
	}
	r.out.direct = false
	_, errs := d.publishAs(ctx, n, r)
	err = cmp.Or(errs...)
	switch {
	case box == nil:
	case isRefusedSubscription(l.nc.LastError()):
		l.mailboxes.end()
		box.end()
	case err != nil:
		box.end()
	default:
		l.mailboxes.put(box)
	}
	return err
}

// isRefusedSubscription tells the client library's last error if that is for a subscription: there
// are as many as may be, or the user has no right to it.
func isRefusedSubscription(err error) bool {
	return errors.Is(err, natsgo.ErrMaxSubscriptionsExceeded) ||
		errors.Is(err, natsgo.ErrPermissionViolation) && strings.Contains(err.Error(), "Subscription")
}

// newMailbox makes a mailbox, or none if there are no more.
func (l *link) newMailbox() (*mailbox, error) {
	b, err := l.mailboxes.more(l.nc)
	if l.socket != nil && isClosedConn(err) {
		err = errDown
	}
	return b, err
}

// takesPlain tells whether enqueuePlain is for these messages.
func takesPlain(messages []*driver.Message) bool {
	return len(messages) == 1 && messages[0].Delay <= 0 && messages[0].DedupKey == ""
}

// sendPlain publishes a job and returns the answer.
func (d *Driver) sendPlain(ctx context.Context, r *requests, box *mailbox, j *job) (*natsgo.Msg, error) {
	defer d.conn.forget(r.id)
	l := r.link
	if err := l.publishPlain(box, r.scope, j); err != nil {
		box.end()
		return nil, err
	}
	answer, err := r.waitPlain(ctx, box)
	if err != nil {
		box.end() // the answer may come yet
		return nil, err
	}
	l.mailboxes.put(box)
	return answer, nil
}

// plainSize is up to how many bytes of a body a message is written by its caller. What a
// larger one takes is in the copying.
const plainSize = 32 << 10

// publishPlain publishes a job whose answer comes to a mailbox. An error says that it was not
// sent.
func (l *link) publishPlain(box *mailbox, subject string, j *job) error {
	box.header = j.append(box.header[:0].begin()).end()
	// The library refuses what is too large by now: the server would end the connection for that.
	if size := len(box.header) + len(j.Body); !l.open || len(j.Body) > plainSize || int64(size) > l.payload {
		return l.publish(subject, string(box.subject), box.header, j.Body)
	}
	box.message = appendMessage(box.message[:0], subject, box.subject, box.header, j.Body)
	l.write(box.message)
	return nil
}

// waitPlain waits for the answer to a request that has a mailbox. Without one it returns why.
func (r *requests) waitPlain(ctx context.Context, box *mailbox) (*natsgo.Msg, error) {
	var look <-chan time.Time // no timer where ctx ends before
	if end, ok := ctx.Deadline(); !ok || time.Until(end) > 2*silence {
		timer := time.NewTimer(2 * silence)
		defer timer.Stop()
		look = timer.C
	}
	for waits := true; waits; {
		waits = false
		select {
		case m := <-box.answers:
			if m.Subject == string(box.subject) {
				return m, nil
			}
			waits = true
		case <-r.done:
		case <-ctx.Done():
			r.fail(ctx.Err())
		case <-look:
			r.fail(errSilent)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return nil, r.broken
}
