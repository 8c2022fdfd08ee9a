package redis

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"

	goredis "github.com/redis/go-redis/v9"
)

// init replaces the logger of go-redis, which all clients of a process share and which
// nobody can ask for. It does so before main begins, so that a logger which the
// application sets then stays.
func init() { goredis.SetLogger(newLogger(os.Stderr)) }

// logger leaves out what go-redis says of this driver's clients and commands: the
// driver reports that in its errors. What it says of the application's own clients is
// written as go-redis itself would.
type logger struct{ rest *log.Logger }

// newLogger makes a logger that writes to w. The form is that of go-redis.
func newLogger(w io.Writer) logger {
	return logger{log.New(w, "redis: ", log.LstdFlags|log.Lshortfile)}
}

// callDepth is how many calls above log.Output the line is written that is logged: this
// logger, and what go-redis has in front of it.
const callDepth = 3

// Printf writes a line, unless it is about the driver's.
func (l logger) Printf(ctx context.Context, format string, values ...any) {
	if ctx.Value(ours{}) != nil {
		return
	}
	for _, v := range values {
		if err, ok := v.(error); ok && errors.As(err, new(dialError)) {
			return
		}
	}
	_ = l.rest.Output(callDepth, fmt.Sprintf(format, values...))
}

// ours marks contexts of the driver.
type ours struct{}

// hush marks a context.
func hush(ctx context.Context) context.Context { return context.WithValue(ctx, ours{}, true) }

// quiet is the context of the driver's commands.
var quiet = hush(context.Background())

// dialError marks an error of a dial by one of the driver's clients, as most lines that
// go-redis logs of an outage come with a context of its own.
type dialError struct{ error }

// Unwrap makes the error of the dial reachable.
func (e dialError) Unwrap() error { return e.error }

// dialFunc is how go-redis makes a connection.
type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// quietly makes a dial of one whose errors are marked.
func quietly(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, dialError{err}
		}
		return conn, nil
	}
}

// quietDials marks the context and the errors of a client's dials as a whole: as a part
// of them, the client asks Sentinel for the primary, and logs what that says.
type quietDials struct{}

// DialHook marks them.
func (quietDials) DialHook(next goredis.DialHook) goredis.DialHook {
	dial := quietly(dialFunc(next))
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		return dial(hush(ctx), network, address)
	}
}

// ProcessHook changes nothing.
func (quietDials) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook { return next }

// ProcessPipelineHook changes nothing.
func (quietDials) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return next
}
