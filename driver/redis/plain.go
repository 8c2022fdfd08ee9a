package redis

import (
	"context"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
)

// plain is what one enqueuePlain sends. It is used again, with its commands: as long as jobs
// have as many fields as those before, they take no others.
type plain struct {
	pipe     goredis.Pipeliner
	ctx      context.Context // of the commands, which do not look at it
	commands []goredis.Cmder // EXISTS, the XADDs and COPY
	broken   error           // what ended the reading of the replies, or nil

	exists, copy once
	existsArgs   [2]any
	copyArgs     [3]any
	adds         []plainAdd
	text         []byte // the fields job
	strings      argStrings
}

// plainAdd is one XADD.
type plainAdd struct {
	command once
	args    []any // of the command
}

// newPlain is one that is used again, or a new one.
func (d *Driver) newPlain() *plain {
	if p, ok := d.plains.Get().(*plain); ok {
		return p
	}
	p := &plain{pipe: d.conn.client.Pipeline(), ctx: d.conn.ctx}
	p.exists, p.copy = newOnce(p.ctx, p.existsArgs[:]...), newOnce(p.ctx, p.copyArgs[:]...)
	return p
}

// reuse keeps a plain, without what it was used for.
func (d *Driver) reuse(p *plain) {
	p.broken, p.text = nil, p.text[:0]
	for i := range len(p.commands) - 2 {
		clear(p.adds[i].args)
	}
	clear(p.strings.strings)
	p.strings.strings = p.strings.strings[:0]
	d.plains.Put(p)
}

// fill makes the commands for messages.
func (p *plain) fill(n *names, messages []*driver.Message) {
	p.existsArgs, p.copyArgs = n.existsMeta, n.copyToken
	p.commands = append(p.commands[:0], p.exists.again())
	for len(p.adds) < len(messages) {
		p.adds = append(p.adds, plainAdd{})
	}
	for i, m := range messages {
		p.commands = append(p.commands, p.add(&p.adds[i], n, m))
	}
	p.commands = append(p.commands, p.copy.again())
}

// add makes the command that adds one message.
func (p *plain) add(a *plainAdd, n *names, m *driver.Message) once {
	from := len(p.text)
	p.text = appendJob(p.text, m)
	args := append(a.args[:0], "xadd", n.shared[streamOf(m.Level)-1], "nomkstream", "*",
		fieldJob, p.strings.add(unsafeString(p.text[from:])), fieldBody, p.strings.add(unsafeString(m.Body)))
	args = appendOptional(args, &p.strings, m)
	same := len(args) == len(a.args) && &args[0] == &a.args[0]
	a.args = args
	if !same {
		a.command = newOnce(p.ctx, args...)
	}
	return a.command.again()
}

// send sends the commands. Without an error there are as many replies as came, and broken is what
// ended that.
func (p *plain) send(ctx context.Context, c *connection) error {
	if err := c.life.Begin(ctx); err != nil {
		return err
	}
	_, err := c.here(ctx, func(inner context.Context) ([]byte, error) {
		_ = p.pipe.BatchProcess(inner, p.commands...) // queues them; Exec reports
		_, err := p.pipe.Exec(inner)
		p.broken = c.unlessCut(err)
		return nil, nil
	})
	if err == nil && p.broken != nil && ctx.Err() != nil {
		p.broken = ctx.Err()
	}
	return err
}

// found tells whether the queue existed when the commands came to the server.
func (p *plain) found() bool {
	r := reader{buf: p.commands[0].(once).Val()}
	return r.int() == 1 && r.err == nil
}

// last is the reply of the last command, or nil if that did not come.
func (p *plain) last() []byte {
	if reply := p.commands[len(p.commands)-1].(once).Val(); isWhole(reply) {
		return reply
	}
	return nil
}

// outcome is what became of the message i: stored, or not and an error. With neither the script
// is to store it: it makes a stream that is not there, and has the client library learn of
// another server that is the one to ask.
func (p *plain) outcome(i int) (stored bool, err error) {
	reply := p.commands[1+i].(once).Val()
	if !isWhole(reply) {
		return false, p.missing(i)
	}
	r := reader{buf: reply}
	id := r.bytes()
	if se, ok := r.err.(serverError); ok && misdirected(se) {
		return false, nil
	}
	return id != nil, r.err
}

// missing is the error of a message without a reply. Behind what the server does not read it
// has run nothing.
func (p *plain) missing(i int) error {
	if p.broken == nil {
		return errReply
	}
	if i > 0 {
		before := p.commands[i].(once).Val()
		if strings.HasPrefix(unsafeString(before), "-ERR Protocol error") {
			return fault.NotSent{Err: p.broken}
		}
	}
	return p.broken
}
