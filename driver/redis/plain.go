package redis

import (
	"context"

	goredis "github.com/redis/go-redis/v9"

	"github.com/batch-go/batch/driver"
)

// enqueuePlain stores a job that is ready at once and needs no bookkeeping, by two commands in
// one round trip, which take the server a third of the time of a script. XADD stores it, in a
// stream that is there: with DeleteQueue the streams are gone. COPY makes the token in wake of
// that in token, if there is none, so that a consumer looks. False says that nothing is stored
// yet, and that a script is to.
func (d *Driver) enqueuePlain(ctx context.Context, queue string, m *driver.Message) (stored bool, err error) {
	n := d.names(queue)
	p := d.newPlain()
	p.job = appendJob(p.job[:0], m)
	s := argStrings{strings: p.strings[:0]}
	add := append(p.args[:0], "xadd", n.shared[streamOf(m.Level)-1], "nomkstream", "*",
		fieldJob, s.add(unsafeString(p.job)), fieldBody, s.add(unsafeString(m.Body)))
	reply, woken, err := p.send(ctx, d.conn, appendOptional(add, &s, m), n.copyToken[:])
	if d.conn.interrupts() { // otherwise another goroutine may still use it
		*p = plain{pipe: p.pipe, job: p.job}
		d.plains.Put(p)
	}
	if err != nil {
		return false, err
	}
	r := reader{buf: reply}
	id := r.bytes()
	if se, ok := r.err.(serverError); ok && misdirected(se) {
		return false, nil // eval sees to it that the client library learns of that
	}
	if r.err != nil || id == nil {
		return false, r.err
	}
	if errorOf(woken) != nil {
		// The user lacks the right to COPY, which older versions did not use. A token too many
		// costs a consumer an empty look, and without one the job waits for the next look.
		d.noCopy.Store(true)
		_, _, _ = d.newPlain().send(ctx, d.conn, []any{"rpush", n.wake, "1"}, []any{"pexpire", n.wake, "3600000"})
	}
	return true, nil
}

// takesPlain tells whether enqueuePlain is for these messages, which need no bookkeeping. On a
// cluster, and to wait for replicas, a script is one command for one server.
func (d *Driver) takesPlain(messages []*driver.Message) bool {
	_, single := d.conn.client.(*goredis.Client)
	return single && len(messages) == 1 && !d.conn.durability.wanted() && !d.noCopy.Load()
}

// plain is what one enqueuePlain needs. It is used again.
type plain struct {
	pipe    goredis.Pipeliner
	job     []byte
	strings [4]string
	args    [12]any
	woken   []byte
}

// newPlain is one that is used again, or a new one.
func (d *Driver) newPlain() *plain {
	if p, ok := d.plains.Get().(*plain); ok {
		return p
	}
	return &plain{pipe: d.conn.client.Pipeline()}
}

// send sends a command that stores and one that wakes, and returns their replies. If the first
// came and the second did not, as the connection broke or ctx ended, that is nil.
func (p *plain) send(ctx context.Context, c *connection, store, wake []any) (stored, woken []byte, err error) {
	if err := c.life.Begin(ctx); err != nil {
		return nil, nil, err
	}
	stored, err = c.here(ctx, func(inner context.Context) ([]byte, error) {
		first, second := once{goredis.NewRawCmd(inner, store...)}, once{goredis.NewRawCmd(inner, wake...)}
		_ = p.pipe.BatchProcess(inner, first, second) // queues them; Exec reports
		_, err := p.pipe.Exec(inner)
		if err = c.unlessCut(err); err != nil && !isWhole(first.Val()) {
			return nil, err
		}
		p.woken = second.Val()
		return first.Val(), nil
	})
	if err != nil {
		return nil, nil, err
	}
	return stored, p.woken, nil
}
