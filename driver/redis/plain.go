package redis

import (
	"context"
	"slices"
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

	exists, copy onceInt
	existsArgs   [2]any
	copyArgs     [3]any
	adds         []plainAdd
	text         []byte // the fields job
	strings      argStrings
}

// plainAdd is one XADD.
type plainAdd struct {
	command onceString
	args    []any // of the command
}

// newPlain is one that is used again, or a new one.
func (d *Driver) newPlain() *plain {
	if p, ok := d.plains.Get().(*plain); ok {
		return p
	}
	p := &plain{pipe: d.conn.client.Pipeline(), ctx: d.conn.ctx}
	p.exists = onceInt{goredis.NewIntCmd(p.ctx, p.existsArgs[:]...)}
	p.copy = onceInt{goredis.NewIntCmd(p.ctx, p.copyArgs[:]...)}
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
	p.exists.SetVal(0)
	p.exists.SetErr(nil)
	p.copy.SetErr(nil)
	p.commands = append(p.commands[:0], p.exists)
	for len(p.adds) < len(messages) {
		p.adds = append(p.adds, plainAdd{})
	}
	for i, m := range messages {
		p.commands = append(p.commands, p.add(&p.adds[i], n, m))
	}
	p.commands = append(p.commands, p.copy)
}

// add makes the command that adds one message.
func (p *plain) add(a *plainAdd, n *names, m *driver.Message) onceString {
	from := len(p.text)
	p.text = appendJob(p.text, m)
	args := append(a.args[:0], "xadd", n.shared[streamOf(m.Level)-1], "nomkstream", "*",
		fieldJob, p.strings.add(unsafeString(p.text[from:])), fieldBody, p.strings.add(unsafeString(m.Body)))
	args = appendOptional(args, &p.strings, m)
	same := len(args) == len(a.args) && &args[0] == &a.args[0]
	a.args = args
	if !same {
		a.command = onceString{goredis.NewStringCmd(p.ctx, args...)}
	}
	a.command.SetVal("")
	a.command.SetErr(nil)
	return a.command
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
		// A reply that is no command's is one to AUTH, on a connection that was made for this.
		if _, answered := err.(goredis.Error); !answered || !slices.ContainsFunc(p.commands, hasError) {
			p.broken = c.unlessCut(err)
		}
		return nil, nil
	})
	if err == nil && p.broken != nil && ctx.Err() != nil {
		p.broken = ctx.Err()
	}
	return err
}

// hasError tells whether a command has an error.
func hasError(c goredis.Cmder) bool { return c.Err() != nil }

// found tells whether the queue existed when the commands came to the server.
func (p *plain) found() bool { return p.exists.Val() == 1 }

// outcome is what became of the message i: stored, or not and an error. With neither the script
// is to store it: it makes a stream that is not there, and has the client library learn of
// another server that is the one to ask.
func (p *plain) outcome(i int) (stored bool, err error) {
	command := p.adds[i].command
	reply, ok := command.Err().(goredis.Error)
	switch {
	case command.Val() != "": // its error may be that of what broke behind it
		return true, nil
	case !ok:
		return false, p.missing(i)
	case reply == goredis.Nil || misdirected(serverError(reply.Error())):
		return false, nil
	}
	if refused := serverError(reply.Error()); isWrongType(refused) || isForbidden(refused) {
		return false, fault.NotSent{Err: refused} // of a script these may come half-way, and this is one command
	}
	return false, serverError(reply.Error())
}

// missing is the error of a message without a reply. Behind what the server does not read it
// has run nothing.
func (p *plain) missing(i int) error {
	if p.broken == nil {
		return errReply
	}
	if p.unread(i) {
		return fault.NotSent{Err: p.broken}
	}
	return p.broken
}

// unread tells whether one of the first n messages was such that the server read no further.
func (p *plain) unread(n int) bool {
	return slices.ContainsFunc(p.adds[:n], func(a plainAdd) bool {
		err := a.command.Err()
		return err != nil && strings.HasPrefix(err.Error(), "ERR Protocol error")
	})
}
