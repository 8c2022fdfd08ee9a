package redis

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/batch-go/batch/internal/lifecycle"
)

// connection is the live link to the server, or to the nodes of a cluster.
type connection struct {
	client goredis.UniversalClient
	dialer *dialer // nil if the client is not ours to close
	// ctx is that of the commands. It ends when the connections of a client of ours are
	// cut, as the client library sleeps before it asks a cluster once more.
	ctx context.Context
	// durability is what jobs that are stored must have reached.
	durability durability
	// places has one for each fetch that may be under way, so that a worker that begins with a
	// thousand queues does not open as many connections. A cluster has no such bound but the
	// pools of its nodes: one that does not answer would take the places of all.
	places places

	life lifecycle.Handle
}

// places bound the fetches of a driver that are under way. Nil is no bound.
type places chan struct{}

// take waits for a place. False says that the call ended first.
func (p places) take(callEnded <-chan struct{}) bool {
	if p == nil {
		return true
	}
	select {
	case p <- struct{}{}:
		return true
	case <-callEnded:
		return false
	}
}

// free frees one.
func (p places) free() {
	if p != nil {
		<-p
	}
}

// close ends the consumers and the calls, as Driver.Close documents.
func (c *connection) close(ctx context.Context) error {
	return c.life.Close(ctx, func() bool {
		if c.dialer == nil {
			return false
		}
		// This closes connections in use as well, so that their calls end. The client
		// could wait for one.
		c.dialer.close()
		_ = c.client.Close()
		return true
	})
}

// eval runs a script and returns its reply, or the error of the server or of the
// client library. It returns when the reply is there or ctx ends; then the
// command goes on until its own timeout.
func (c *connection) eval(ctx context.Context, s *script, args []any) ([]byte, error) {
	if err := c.life.Begin(ctx); err != nil {
		return nil, err
	}
	return c.aside(ctx, func(inner context.Context) ([]byte, error) { return c.evalNow(inner, s, args) })
}

// here runs what takes a context of the client library's on the caller's goroutine, and
// returns when ctx ends at the latest: then it is interrupted. A call is to be counted as
// under way, until here ends that.
func (c *connection) here(ctx context.Context, run func(context.Context) ([]byte, error)) ([]byte, error) {
	if !c.interrupts() {
		return c.aside(ctx, run)
	}
	defer c.life.End()
	one := c.dialer.calls.begin(ctx, c.ctx)
	defer c.dialer.calls.end(one)
	raw, err := run(one)
	if err != nil && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return raw, err
}

// interrupts tells whether here uses no other goroutine.
func (c *connection) interrupts() bool { return c.dialer != nil && c.dialer.calls != nil }

// aside is here with a goroutine, which goes on when ctx has ended, until the timeout of its
// command. A ctx that never ends needs none.
func (c *connection) aside(ctx context.Context, run func(context.Context) ([]byte, error)) ([]byte, error) {
	if ctx.Done() == nil {
		defer c.life.End()
		return run(c.ctx)
	}
	// The client library looks at ctx only between its steps: a server that
	// does not answer holds it up until its read timeout.
	type outcome struct {
		raw []byte
		err error
	}
	done := make(chan outcome, 1)
	go func() {
		defer c.life.End()
		raw, err := run(c.ctx)
		done <- outcome{raw, err}
	}()
	select {
	case o := <-done:
		return o.raw, o.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// onPrimaries calls f for the server, or for each primary of a cluster, several at
// once. It returns when f has, or ctx ends; then what f has begun goes on until its
// own timeout.
func (c *connection) onPrimaries(ctx context.Context, f func(context.Context, goredis.UniversalClient) error) error {
	if err := c.life.Begin(ctx); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() {
		defer c.life.End()
		ctx, cancel := context.WithCancel(hush(ctx))
		defer cancel()
		defer context.AfterFunc(c.ctx, cancel)()
		done <- c.unlessCut(eachPrimary(ctx, c.client, f))
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// rawReply sends one command on a client, once, and returns the reply, or the error
// of the server or of the client library.
func rawReply(ctx context.Context, c goredis.UniversalClient, args ...any) ([]byte, error) {
	cmd := newOnce(ctx, args...)
	if err := c.Process(ctx, cmd); err != nil {
		return nil, err
	}
	return cmd.Val(), errorOf(cmd.Val())
}

// evalNow runs a script with a context of the client library's.
func (c *connection) evalNow(ctx context.Context, s *script, args []any) ([]byte, error) {
	raw, err := c.process(ctx, args)
	if se, ok := err.(serverError); ok && strings.HasPrefix(string(se), "NOSCRIPT") {
		// The server restarted or flushed its scripts: nothing ran.
		whole := append([]any(nil), args...)
		whole[0], whole[1] = "eval", s.source
		return c.process(ctx, whole)
	}
	return raw, err
}

// process sends one command, once.
func (c *connection) process(ctx context.Context, args []any) ([]byte, error) {
	raw, err := rawReply(ctx, c.client, args...)
	if se, ok := err.(serverError); !ok || !misdirected(se) {
		return raw, c.unlessCut(err)
	}
	// The command went to a server that did not run it. The client library
	// follows redirections, and drops connections to a former primary, only if
	// it reads the error itself. In raw replies it does not.
	parsed := onceParsed{goredis.NewCmd(ctx, args...)}
	if err := c.client.Process(ctx, parsed); err != nil && err != goredis.Nil {
		if re, ok := err.(goredis.Error); ok {
			return nil, serverError(re.Error())
		}
		return nil, c.unlessCut(err)
	}
	return encodeReply(nil, parsed.Val()), nil
}

// unlessCut is an error of a command, or that of a connection that was cut in place of
// the end of the context by which it was.
func (c *connection) unlessCut(err error) error {
	if err != nil && c.ctx.Err() != nil {
		return net.ErrClosed
	}
	return err
}

// pipeline sends commands one after the other on one connection, once, and
// returns the reply of each, the errors of single ones among them. The replies are to
// come within patience, if the client library looks at that: those of a client passed to
// New may not, and then have its read timeout.
func (c *connection) pipeline(patience time.Duration, commands ...[]any) ([][]byte, error) {
	ctx, cancel := context.WithTimeout(c.ctx, patience)
	defer cancel()
	return c.execute(ctx, c.client.Pipeline(), commands)
}

// send sends commands by a pipeline, and gives them their replies. If there is an error they have
// those that came before it; begun tells whether anything was sent.
func send[T goredis.Cmder](ctx context.Context, c *connection, pipe goredis.Pipeliner, commands []T) (begun bool, err error) {
	if err := c.life.Begin(ctx); err != nil {
		return false, err
	}
	defer c.life.End()
	for _, command := range commands {
		_ = pipe.Process(ctx, command) // queues it; Exec reports
	}
	_, err = pipe.Exec(ctx)
	return true, c.unlessCut(err)
}

// newOnces makes commands.
func newOnces(ctx context.Context, commands [][]any) []once {
	all := make([]once, len(commands))
	for i, args := range commands {
		all[i] = newOnce(ctx, args...)
	}
	return all
}

// execute sends commands by a pipeline, and returns their replies.
func (c *connection) execute(ctx context.Context, pipe goredis.Pipeliner, commands [][]any) ([][]byte, error) {
	sent := newOnces(ctx, commands)
	if _, err := send(ctx, c, pipe, sent); err != nil {
		return nil, err
	}
	replies := make([][]byte, len(sent))
	for i := range sent {
		replies[i] = sent[i].Val()
	}
	return replies, nil
}

// each is execute for commands that have nothing to do with each other: on a cluster the replies
// of some nodes may be there where others cannot be reached. Each has its reply, or an error.
func (c *connection) each(patience time.Duration, commands [][]any) (replies [][]byte, errs []error) {
	replies, errs = make([][]byte, len(commands)), make([]error, len(commands))
	ctx, cancel := context.WithTimeout(c.ctx, patience)
	defer cancel()
	sent := newOnces(ctx, commands)
	begun, err := send(ctx, c, c.client.Pipeline(), sent)
	if !begun {
		for i := range errs {
			errs[i] = err
		}
		return replies, errs
	}
	for i := range sent {
		// A command with a whole reply may have the error of another.
		if replies[i] = sent[i].Val(); !bytes.HasSuffix(replies[i], []byte("\r\n")) {
			replies[i], errs[i] = nil, impatient(c.unlessCut(cmp.Or(sent[i].Err(), err, errReply)))
		}
	}
	return replies, errs
}

// impatient is an error of a wait. If its time ended, that was the patience with the server, and
// not that of a caller.
func impatient(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return os.ErrDeadlineExceeded
	}
	return err
}

// once is a command that the client library never sends a second time, whatever
// its options: an enqueue that is sent twice stores its jobs twice.
type once struct{ *goredis.RawCmd }

// newOnce makes a command.
func newOnce(ctx context.Context, args ...any) once { return once{goredis.NewRawCmd(ctx, args...)} }

// NoRetry says so.
func (once) NoRetry() bool { return true }

// onceInt is once with a number for a reply.
type onceInt struct{ *goredis.IntCmd }

// NoRetry says so.
func (onceInt) NoRetry() bool { return true }

// onceString is once with a string for a reply.
type onceString struct{ *goredis.StringCmd }

// NoRetry says so.
func (onceString) NoRetry() bool { return true }

// onceParsed is once with a parsed reply.
type onceParsed struct{ *goredis.Cmd }

// NoRetry says so.
func (onceParsed) NoRetry() bool { return true }

// misdirected tells whether an error says that another server would have run the
// command. The first two are those of a cluster:
// https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/
// A former primary answers READONLY after a failover.
func misdirected(err serverError) bool {
	for _, prefix := range [...]string{"MOVED ", "ASK ", "READONLY "} {
		if strings.HasPrefix(string(err), prefix) {
			return true
		}
	}
	return false
}
