package amqp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/driver"
)

// The errors that the driver makes itself, for classify to give a kind.
var (
	// errClosed: Close was called.
	errClosed = errors.New("closed")
	// errReturned: the broker returned a message as unroutable, so that it is
	// not stored. Its queue does not exist.
	errReturned = errors.New("the broker returned the message: no such queue")
	// errNacked: the broker refused a message by basic.nack. Of a quorum queue
	// that is its overflow policy: https://www.rabbitmq.com/docs/maxlength
	errNacked = errors.New("the queue refused the message: it is at its maximum length")
	// errLost: the channel on which a delivery came is gone, or it was settled.
	errLost = errors.New("the delivery is not held any more")
	// errCancelled: the broker ended a consumer by basic.cancel.
	errCancelled = errors.New("the broker cancelled the consumer: its queue was deleted, moved or has no leader")
	// errUnconfirmed: a connection or channel ended before the confirm came.
	errUnconfirmed = errors.New("the connection ended before the broker confirmed")
	// errUnanswered: a connection ended during the login, too soon to be refused.
	errUnanswered = errors.New("the connection ended during the login")
	// errDown: a connection or channel that is needed is gone, and nothing was
	// sent on it.
	errDown = errors.New("the connection is gone")
)

// notSent marks an error before which nothing was sent.
type notSent struct{ error }

// Unwrap makes the cause reachable.
func (e notSent) Unwrap() error { return e.error }

// fail makes a driver error of what an operation ended with.
func fail(op, queue string, err error) error {
	if err == nil {
		return nil
	}
	var done *driver.Error
	if errors.As(err, &done) {
		return err
	}
	fate, hint, kind := classify(err)
	if kind == err || err == errClosed || err == errLost {
		err = nil
	}
	return &driver.Error{Driver: Name, Op: op, Queue: queue, Kind: kind, Fate: fate, Err: err, Hint: hint}
}

// failed is fail for each of n items.
func failed(n int, op, queue string, err error) []error {
	e := fail(op, queue, err)
	errs := make([]error, n)
	for i := range errs {
		errs[i] = e
	}
	return errs
}

// classify says what an error of the client library, the broker or this package
// means. Each branch says why; errors_test.go has a row for each.
func classify(err error) (fate driver.Fate, hint string, kind error) {
	var before notSent
	if errors.As(err, &before) {
		_, hint, kind = classify(before.error)
		return driver.FateNotStored, hint, kind
	}
	switch {
	case errors.Is(err, errClosed):
		return driver.FateNotStored, "", driver.ErrClosed
	case errors.Is(err, errReturned):
		return driver.FateNotStored, "declare the queue first", driver.ErrNotFound
	case errors.Is(err, errNacked):
		return driver.FateNotStored, "see the policies that apply to the queue", driver.ErrFull
	case errors.Is(err, errLost):
		return driver.FateNotStored, "", driver.ErrLeaseLost
	case errors.Is(err, errCancelled), errors.Is(err, errUnconfirmed), errors.Is(err, errUnanswered):
		return driver.FateUnknown, "", driver.ErrUnavailable
	case errors.Is(err, errDown):
		return driver.FateNotStored, "", driver.ErrUnavailable
	case errors.Is(err, context.Canceled):
		return driver.FateUnknown, "", context.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return driver.FateUnknown, "", context.DeadlineExceeded
	case errors.Is(err, amqp091.ErrCredentials):
		return driver.FateNotStored, "see the user and the password", driver.ErrUnauthorized
	case errors.Is(err, amqp091.ErrSASL):
		return driver.FateNotStored, "the broker offers none of the mechanisms: see auth", driver.ErrUnauthorized
	}
	var reply *amqp091.Error
	if errors.As(err, &reply) {
		return classifyReply(reply)
	}

	var verify *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	if errors.As(err, &verify) || errors.As(err, &record) || errors.As(err, &alert) || errors.As(err, &unknown) || errors.As(err, &host) {
		// The handshake failed, before any method.
		return driver.FateNotStored, "the TLS handshake failed: see tls_ca, tls_cert, tls_server_name and the scheme", driver.ErrUnavailable
	}
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return driver.FateNotStored, "the broker's name cannot be resolved", driver.ErrUnavailable
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return driver.FateNotStored, "is the broker running, and the address right?", driver.ErrUnavailable
	}
	// What nobody thought of: a connection was there, and how far it came cannot
	// be known.
	return driver.FateUnknown, "", driver.ErrUnavailable
}

// classifyReply says what a reply code means. Those that refuse a method come
// before it had an effect; the publisher, which has many messages under way on
// one channel, tells for itself which of them a closed channel leaves unknown.
// The codes are listed in https://www.rabbitmq.com/amqp-0-9-1-reference#constants
func classifyReply(e *amqp091.Error) (fate driver.Fate, hint string, kind error) {
	if !e.Server {
		// Made by the library: the socket failed, the channel is closed, or, as
		// ErrVhost, the socket was closed in the handshake without a word.
		// RabbitMQ gives its reasons in words.
		return driver.FateUnknown, "", driver.ErrUnavailable
	}
	has := func(part string) bool { return strings.Contains(e.Reason, part) }
	switch e.Code {
	case amqp091.ContentTooLarge:
		return driver.FateNotStored, "", driver.ErrTooLarge
	case amqp091.ConnectionForced:
		return driver.FateUnknown, "the broker is shutting down, or an operator closed the connection", driver.ErrUnavailable
	case amqp091.AccessRefused:
		if has("exclusive") {
			return driver.FateNotStored, "another consumer has the queue for itself", driver.ErrConflict
		}
		return driver.FateNotStored, "see the user, the password and its permissions; the driver needs configure, write and read on ^batch\\., and write on the default exchange", driver.ErrUnauthorized
	case amqp091.NotFound:
		if has("home node") || has("down") || has("unavailable") {
			// "home node of durable queue is down or inaccessible", and quorum
			// queues without a leader.
			return driver.FateNotStored, "the queue's node is down", driver.ErrUnavailable
		}
		return driver.FateNotStored, "declare the queue first", driver.ErrNotFound
	case amqp091.ResourceLocked:
		return driver.FateNotStored, "another connection has the queue for itself", driver.ErrConflict
	case amqp091.PreconditionFailed:
		switch {
		case has("message size"):
			return driver.FateNotStored, "see max_message_size of the broker", driver.ErrTooLarge
		case has("inequivalent arg"):
			return driver.FateNotStored, "the queue exists with this argument set otherwise; delete it or use another name", driver.ErrConflict
		case has("delivery acknowledgement"):
			return driver.FateUnknown, "the broker's consumer_timeout ended the channel", driver.ErrUnavailable
		case has("unknown delivery tag"):
			return driver.FateNotStored, "", driver.ErrLeaseLost
		}
		return driver.FateNotStored, "", driver.ErrBroker
	case amqp091.NotAllowed:
		if has("limit") && has("reached") {
			return driver.FateNotStored, "a limit of connections is reached", driver.ErrUnavailable
		}
		return driver.FateNotStored, "the vhost does not exist or the user has no access to it: the URL's path names it, and / is the default one", driver.ErrUnauthorized
	case amqp091.ResourceError:
		return driver.FateUnknown, "the broker is short of resources", driver.ErrUnavailable
	case amqp091.NotImplemented:
		return driver.FateNotStored, "", driver.ErrUnsupported
	case amqp091.InternalError:
		// Of quorum queues without a leader, such as just after a restart.
		return driver.FateUnknown, "the queue may have no leader", driver.ErrUnavailable
	}
	return driver.FateUnknown, "", driver.ErrBroker
}

// isGone tells whether err says that a queue does not exist.
func isGone(err error) bool {
	var reply *amqp091.Error
	return errors.As(err, &reply) && reply.Code == amqp091.NotFound
}

// isLocked tells whether err says that another connection has the queue.
func isLocked(err error) bool {
	var reply *amqp091.Error
	return errors.As(err, &reply) && reply.Code == amqp091.ResourceLocked
}
