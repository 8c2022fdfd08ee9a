package redis

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
)

// faults makes the driver's errors.
var faults = fault.Maker{Driver: Name, Classify: classify}

// fail makes a driver error of what an operation ended with.
func fail(op, queue string, err error) error {
	if isMissing(err) {
		return faults.Refuse(op, queue, driver.ErrNotFound, errNoQueue, "")
	}
	return faults.Fail(op, queue, err)
}

// noQueue is the code with which the scripts answer on a queue that does not exist,
// as in base.lua. They look before they write.
const noQueue = "NOQUEUE "

// errNoQueue is what that means.
var errNoQueue = errors.New("the queue does not exist")

// isMissing tells whether an error is that answer.
func isMissing(err error) bool {
	reply, ok := err.(serverError)
	return ok && strings.HasPrefix(string(reply), noQueue)
}

// isWrongType tells whether an error is the server's that a key was made by something else.
func isWrongType(err error) bool {
	reply, ok := err.(serverError)
	return ok && strings.HasPrefix(string(reply), "WRONGTYPE")
}

// notSent is the error of what was to follow something that failed as a whole, and was not
// sent for that.
func notSent(cause error) error {
	var de *driver.Error
	if !errors.As(cause, &de) {
		return fault.NotSent{Err: cause}
	}
	return faults.Refuse(de.Op, de.Queue, de.Kind, de.Err, de.Hint)
}

// closed is the error of an operation after Close.
func closed(op, queue string) error { return faults.Closed(op, queue) }

// invalid is the error of a URL or option that cannot be.
func invalid(err error) error { return faults.Invalid(err) }

// classify says what an error of the client library or the server means. Each
// branch says why; errors_test.go has a row for each.
func classify(err error) fault.Verdict {
	switch {
	case err == context.Canceled || err == context.DeadlineExceeded:
		// The caller's ctx ended while the command was under way. Commands
		// themselves run without ctx, so this is no timeout of theirs.
		return fault.Unknown(err, "")
	case errors.Is(err, goredis.ErrClosed):
		// The client was closed, and the command not begun.
		return fault.Verdict{Kind: driver.ErrClosed, Fate: driver.FateNotStored, Bare: true}
	case errors.Is(err, goredis.ErrPoolTimeout) || errors.Is(err, goredis.ErrPoolExhausted):
		// No connection became free.
		return fault.NotStored(driver.ErrUnavailable, "every connection is in use: raise pool_size")
	case errors.Is(err, errReply):
		return fault.Unknown(driver.ErrBroker, "")
	}
	if v, ok := isNotDurable(err); ok {
		return v
	}
	var server goredis.Error
	if errors.As(err, &server) {
		return classifyReply(server.Error())
	}
	return classifyNetwork(err)
}

// classifyNetwork says what an error means that is no reply.
func classifyNetwork(err error) fault.Verdict {
	switch text := err.Error(); {
	case fault.IsDial(err) && isAlert(err):
		return fault.NotStored(driver.ErrUnavailable, tlsRefused)
	case fault.IsDial(err):
		// There was never a connection.
		return fault.NotStored(driver.ErrUnavailable, "is the server running, and the address right?")
	case fault.IsName(err):
		return fault.NotStored(driver.ErrUnavailable, "the server's name cannot be resolved")
	case fault.IsTLS(err):
		// The handshake failed, before any command.
		return fault.NotStored(driver.ErrUnavailable, "the TLS handshake failed: see tls_ca, tls_server_name and the scheme")
	case strings.Contains(text, "all sentinels specified in configuration are unreachable"),
		strings.Contains(text, "cluster has no nodes"):
		// The address of a primary was not found.
		return fault.NotStored(driver.ErrUnavailable, "no sentinel or cluster node answers")
	}
	// EOF, a reset, a timeout, or what nobody thought of: there was a connection,
	// and how far the command came cannot be known.
	v := fault.Unknown(driver.ErrUnavailable, "")
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		v.Hint = "the server did not answer in time"
	case isAlert(err):
		// With TLS 1.3 the server may refuse the client's certificate only when the
		// first command is on its way.
		v.Hint = tlsRefused
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		v.Hint = "the server closed the connection"
	}
	return v
}

// tlsRefused is what to do about an alert.
const tlsRefused = "TLS was refused: see tls_cert and tls_ca"

// isAlert tells whether an error is, or wraps, an alert of TLS.
func isAlert(err error) bool {
	for op := (*net.OpError)(nil); errors.As(err, &op); err = op.Err {
		if op.Op == "remote error" || op.Op == "local error" {
			return true
		}
	}
	return false
}

// replies are the error codes of Redis that say more than that it failed. The
// code comes first in the text of an error, also in one out of a script:
// https://redis.io/docs/latest/develop/programmability/lua-api/
var replies = []struct {
	prefix string
	kind   error
	fate   driver.Fate
	hint   string
}{
	// These are answered before anything is written.
	{"LOADING", driver.ErrUnavailable, driver.FateNotStored, "the server is loading its data"},
	{"READONLY", driver.ErrUnavailable, driver.FateNotStored, "the server is a replica: a failover is under way, or the address is that of a replica"},
	{"CLUSTERDOWN", driver.ErrUnavailable, driver.FateNotStored, "the cluster does not serve this slot"},
	{"MASTERDOWN", driver.ErrUnavailable, driver.FateNotStored, "the replica lost its primary"},
	{"TRYAGAIN", driver.ErrUnavailable, driver.FateNotStored, "the slot is being moved"},
	{"MOVED", driver.ErrUnavailable, driver.FateNotStored, "the server is part of a cluster: use redis+cluster://, or the cluster is changing"},
	{"ASK", driver.ErrUnavailable, driver.FateNotStored, "the slot is being moved"},
	{"NOREPLICAS", driver.ErrUnavailable, driver.FateNotStored, "too few replicas are connected for min-replicas-to-write"},
	{"MISCONF", driver.ErrUnavailable, driver.FateNotStored, "the server cannot save to its disk"},
	{"BUSY", driver.ErrUnavailable, driver.FateNotStored, "the server is busy with a script"},
	{"ERR max number of clients reached", driver.ErrUnavailable, driver.FateNotStored, "raise maxclients of the server"},
	// The server reads no further, so it ran nothing of it.
	{"ERR Protocol error: invalid bulk length", driver.ErrTooLarge, driver.FateNotStored, "a string of the job is longer than the server's proto-max-bulk-len"},
	{"ERR Elements are too large", driver.ErrTooLarge, driver.FateNotStored, "the entry is larger than a stream takes"},
	// A script that began below the limit may finish, so this comes before its
	// first write or not at all.
	{"OOM", driver.ErrFull, driver.FateNotStored, "the server reached its maxmemory"},
	{"NOAUTH", driver.ErrUnauthorized, driver.FateNotStored, "the server wants a password"},
	{"WRONGPASS", driver.ErrUnauthorized, driver.FateNotStored, "the user or password is wrong, or the user is disabled"},
	{"ERR invalid password", driver.ErrUnauthorized, driver.FateNotStored, "the password is wrong"},
	{"ERR AUTH", driver.ErrUnauthorized, driver.FateNotStored, "the server has no password set, or needs a user"},
	// A script may have a permission for its first commands and lack that for a
	// later one.
	{"NOPERM", driver.ErrUnauthorized, driver.FateUnknown, missingRight},
	{"ERR ACL failure in script", driver.ErrUnauthorized, driver.FateUnknown, missingRight},
	// A script may meet a foreign key in the place of one of ours half-way.
	{"WRONGTYPE", driver.ErrConflict, driver.FateUnknown, "a key of the queue was made by something else"},
}

// missingRight is what to do about it. The server's text names the command.
const missingRight = "give the user what the documentation of driver/redis lists under Rights, on ~batch:*"

// isForbidden tells whether an error is for want of a right.
func isForbidden(err error) bool {
	reply, ok := err.(goredis.Error)
	return ok && errors.Is(classifyReply(reply.Error()).Kind, driver.ErrUnauthorized)
}

// classifyReply says what an error reply means.
func classifyReply(text string) fault.Verdict {
	for _, r := range replies {
		if strings.HasPrefix(text, r.prefix) {
			return fault.Verdict{Kind: r.kind, Fate: r.fate, Hint: r.hint}
		}
	}
	// A script may have stopped at any of its commands.
	return fault.Unknown(driver.ErrBroker, "")
}
