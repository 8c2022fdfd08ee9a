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
)

// notSent marks the error of a ctx that ended before anything was sent.
type notSent struct{ error }

// Unwrap makes the error of ctx reachable.
func (e notSent) Unwrap() error { return e.error }

// fail makes a driver error of what an operation ended with.
func fail(op, queue string, err error) error {
	if err == nil {
		return nil
	}
	if done, ok := err.(*driver.Error); ok {
		return done
	}
	fate, hint, kind := classify(err)
	if kind == err || kind == driver.ErrClosed {
		err = nil
	}
	return &driver.Error{Driver: Name, Op: op, Queue: queue, Kind: kind, Fate: fate, Err: err, Hint: hint}
}

// classify says what an error of the client library or the server means. Each
// branch says why; errors_test.go has a row for each.
func classify(err error) (fate driver.Fate, hint string, kind error) {
	var before notSent
	switch {
	case errors.As(err, &before):
		// The caller's ctx had ended: eval returned before it sent anything.
		return driver.FateNotStored, "", before.error
	case err == context.Canceled || err == context.DeadlineExceeded:
		// The caller's ctx ended while the command was under way; commands
		// themselves run without ctx, so that this is no timeout of theirs.
		return driver.FateUnknown, "", err
	case errors.Is(err, goredis.ErrClosed):
		// Close was called, and the command not begun.
		return driver.FateNotStored, "", driver.ErrClosed
	case errors.Is(err, goredis.ErrPoolTimeout) || errors.Is(err, goredis.ErrPoolExhausted):
		// No connection became free: the command was not sent.
		return driver.FateNotStored, "every connection is in use: raise pool_size", driver.ErrUnavailable
	case errors.Is(err, errReply):
		return driver.FateUnknown, "", driver.ErrBroker
	}

	var server goredis.Error
	if errors.As(err, &server) {
		return classifyReply(server.Error())
	}

	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		// There was never a connection, so nothing was sent.
		return driver.FateNotStored, "is the server running, and the address right?", driver.ErrUnavailable
	}
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return driver.FateNotStored, "the server's name cannot be resolved", driver.ErrUnavailable
	}
	if isTLS(err) {
		// The handshake failed, before any command.
		return driver.FateNotStored, "the TLS handshake failed: see tls_ca, tls_server_name and the scheme", driver.ErrUnavailable
	}
	if text := err.Error(); strings.Contains(text, "all sentinels specified in configuration are unreachable") ||
		strings.Contains(text, "cluster has no nodes") {
		// The address of a primary was not found, so nothing was sent to it.
		return driver.FateNotStored, "no sentinel or cluster node answers", driver.ErrUnavailable
	}
	// EOF, a reset, a timeout, or what nobody thought of: the connection was
	// there, and how far the command came cannot be known.
	hint = ""
	if errors.Is(err, os.ErrDeadlineExceeded) {
		hint = "the server did not answer in time"
	} else if op != nil && (op.Op == "remote error" || op.Op == "local error") {
		// A TLS alert. With TLS 1.3 the server may refuse the client's certificate
		// only when the first command is on its way.
		hint = "TLS was refused: see tls_cert and tls_ca"
	} else if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		hint = "the server closed the connection"
	}
	return driver.FateUnknown, hint, driver.ErrUnavailable
}

// replies are the error codes of Redis that say more than that it failed. The
// codes come first in the text of an error, also out of a script:
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
	// A script that began below the limit may finish, so this comes before its
	// first write or not at all.
	{"OOM", driver.ErrFull, driver.FateNotStored, "the server reached its maxmemory"},
	{"NOAUTH", driver.ErrUnauthorized, driver.FateNotStored, "the server wants a password"},
	{"WRONGPASS", driver.ErrUnauthorized, driver.FateNotStored, "the user or password is wrong, or the user is disabled"},
	{"ERR invalid password", driver.ErrUnauthorized, driver.FateNotStored, "the password is wrong"},
	{"ERR AUTH", driver.ErrUnauthorized, driver.FateNotStored, "the server has no password set, or needs a user"},
	// A user may lack one command of a script whose first ones it had.
	{"NOPERM", driver.ErrUnauthorized, driver.FateUnknown, "the user needs +@all or +@stream +@sortedset +@hash +@list +@string +@keyspace +@scripting +time on ~batch:*"},
	// A foreign key in the place of one of ours may be met half-way.
	{"WRONGTYPE", driver.ErrConflict, driver.FateUnknown, "a key of the queue was made by something else"},
}

func classifyReply(text string) (fate driver.Fate, hint string, kind error) {
	for _, r := range replies {
		if strings.HasPrefix(text, r.prefix) {
			return r.fate, r.hint, r.kind
		}
	}
	// Unknown: a script may have stopped at any of its commands.
	return driver.FateUnknown, "", driver.ErrBroker
}

// closed is the error of an operation after Close.
func closed(op, queue string) error {
	return &driver.Error{Driver: Name, Op: op, Queue: queue, Kind: driver.ErrClosed, Fate: driver.FateNotStored}
}

// all repeats an error of a whole call for each of its n items.
func all(n int, err error) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}
