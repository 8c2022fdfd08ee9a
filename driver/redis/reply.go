package redis

import (
	"context"
	"io"
	"strconv"
	"strings"

	goredis "github.com/redis/go-redis/v9"
)

// reply is where the client library writes a reply that may have many jobs. Its own buffer of
// a raw reply grows by a quarter at a time, which allocates five times what the reply has. This
// one grows once, by what is known of the jobs before, and each large string gets memory of its own.
type reply struct {
	// perJob is how many bytes of text a job takes, or 0 if that is unknown.
	perJob int
	// text is the reply without the large strings: of these it has the line with their length.
	text []byte
	// large are those strings, in their order.
	large [][]byte
}

const (
	// manyElements is the length from which on an array counts as one of jobs.
	manyElements = 16
	// smallReply is what a reply without jobs fits into.
	smallReply = 64
	// mostAhead is how much memory is taken for what has not come.
	mostAhead = 1 << 20
)

// command makes the command whose reply it takes. The client library never sends it twice.
func (r *reply) command(ctx context.Context, args []any) goredis.Cmder {
	return goredis.NewRawWriteToCmd(ctx, r, args...)
}

// reader reads it.
func (r *reply) reader() reader { return reader{buf: r.text, large: r.large} }

// size is how many bytes it has.
func (r *reply) size() int {
	n := len(r.text)
	for _, s := range r.large {
		n += len(s)
	}
	return n
}

// Write takes a line, or what ends one. The client library writes no string so.
func (r *reply) Write(line []byte) (int, error) {
	more := len(line)
	if more > 1 && line[0] == '*' {
		if n, _ := strconv.Atoi(unsafeString(line[1:])); n >= manyElements {
			more += len("\r\n") + min(min(n, batchSize)*(r.perJob+r.perJob/16), mostAhead)
		}
	}
	r.room(more)
	r.text = append(r.text, line...)
	return len(line), nil
}

// ReadFrom takes a string and the end of its line. The client library limits from to its length.
func (r *reply) ReadFrom(from io.Reader) (int64, error) {
	limited, ok := from.(*io.LimitedReader)
	if !ok {
		return 0, errReply
	}
	size := limited.N - int64(len("\r\n"))
	if size < largeString {
		r.room(int(limited.N))
		text := r.text
		n, err := io.ReadFull(limited, text[len(text):len(text)+int(limited.N)])
		r.text = text[:len(text)+n]
		return int64(n), cut(err)
	}
	var s []byte
	for limited.N > 0 {
		// What a length says is believed when that much has come.
		at := len(s)
		s = append(make([]byte, 0, at+int(min(limited.N, max(mostAhead, int64(at))))), s...)
		n, err := io.ReadFull(limited, s[at:cap(s)])
		if s = s[:at+n]; err != nil {
			return int64(len(s)), cut(err)
		}
	}
	r.large = append(r.large, s[:size:size])
	return int64(len(s)), nil
}

// cut is the error of a string that ended early, for [io.CopyN], which makes its own of the end.
func cut(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return nil
	}
	return err
}

// room makes room for n bytes.
func (r *reply) room(n int) {
	if cap(r.text)-len(r.text) < n {
		r.text = append(make([]byte, 0, max(smallReply, 2*cap(r.text), len(r.text)+n)), r.text...)
	}
}

// receive runs a script that hands out jobs.
func (c *connection) receive(s *script, args []any, perJob int) (reply, error) {
	if err := c.life.Begin(context.Background()); err != nil {
		return reply{}, err
	}
	defer c.life.End()
	r := reply{perJob: perJob}
	if err := c.client.Process(c.ctx, r.command(c.ctx, args)); err != nil {
		return reply{}, c.unlessCut(err)
	}
	err := errorOf(r.text)
	if refused, ok := err.(serverError); ok && (strings.HasPrefix(string(refused), "NOSCRIPT") || misdirected(refused)) {
		r.large = nil
		r.text, err = c.evalNow(c.ctx, s, args) // nothing ran
	}
	return r, err
}

// executeFor sends commands by a pipeline, and returns their replies, which may have jobs.
func (c *connection) executeFor(ctx context.Context, pipe goredis.Pipeliner, perJob int, commands ...[]any) ([]reply, error) {
	replies, sent := make([]reply, len(commands)), make([]goredis.Cmder, len(commands))
	for i, args := range commands {
		replies[i].perJob = perJob
		sent[i] = replies[i].command(ctx, args)
	}
	if _, err := send(ctx, c, pipe, sent); err != nil {
		return nil, err
	}
	return replies, nil
}
