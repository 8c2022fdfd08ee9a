package amqp

import (
	"context"
	"errors"
	"strings"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
)

// The errors that the driver makes itself, for classify to give a kind.
var (
	// errReturned: the broker returned a message as unroutable, so that it is
	// not stored. Its queue does not exist.
	errReturned = errors.New("the broker returned the message as unroutable")
	// errNacked: the broker refused a message by basic.nack. Of a quorum queue
	// that is its overflow policy: https://www.rabbitmq.com/docs/maxlength
	errNacked = errors.New("the queue refused the message: it is at its maximum length")
	// errLost: the channel on which a delivery came is gone, or it was settled.
	errLost = errors.New("the delivery is not held any more")
	// errCancelled: the broker ended a consumer by basic.cancel.
	errCancelled = errors.New("the broker cancelled the consumer: its queue was deleted, moved or has no leader")
	// errUnconfirmed: a connection or channel ended before the confirm came.
	errUnconfirmed = errors.New("the connection ended before the broker confirmed")
	// errForbidden: the broker ended a channel because the user may not publish, and
	// which of the messages under way came before that is not known.
	errForbidden = errors.New("the broker refuses the user's messages")
	// errUnanswered: a connection ended during the login, too soon to be refused.
	errUnanswered = errors.New("the connection ended during the login")
	// errDown: a connection or channel that is needed is gone, and nothing was
	// sent on it.
	errDown = errors.New("the connection is gone")
)

// sizeError is a message that is larger than the broker takes.
type sizeError struct {
	err  error
	hint string
}

// Error is the text of the sizes.
func (e *sizeError) Error() string { return e.err.Error() }

// Is makes it a driver.ErrTooLarge.
func (e *sizeError) Is(target error) bool { return target == driver.ErrTooLarge }

// missing says of an operation that it found no queue.
const missing = "the queue does not exist"

// rights says what a user needs.
const rights = `see the user, the password and the permissions: the driver needs configure "^batch\.", write "^(batch\.|amq\.default$)", read "^batch\."`

// faults makes the driver's errors.
var faults = fault.Maker{Driver: Name, Classify: classify}

// fail makes a driver error of what an operation ended with.
func fail(op, queue string, err error) error { return faults.Fail(op, queue, err) }

// closed is the error of an operation after Close.
func closed(op, queue string) error { return faults.Closed(op, queue) }

// invalid is the error of a URL that cannot be.
func invalid(err error) error { return faults.Invalid(err) }

// classify says what an error of the client library, the broker or this package
// means. Each branch says why; errors_test.go has a row for each.
func classify(err error) fault.Verdict {
	switch {
	case errors.Is(err, driver.ErrClosed):
		return fault.NotStored(driver.ErrClosed, "")
	case errors.Is(err, errLost):
		v := fault.NotStored(driver.ErrLeaseLost, "")
		v.Bare = err == errLost
		return v
	case errors.Is(err, errReturned):
		return fault.NotStored(driver.ErrNotFound, missing)
	case errors.Is(err, errNacked):
		return fault.NotStored(driver.ErrFull, "see the policies that apply to the queue")
	case errors.Is(err, errForbidden):
		return fault.Unknown(driver.ErrUnauthorized, rights)
	case errors.Is(err, errCancelled), errors.Is(err, errUnconfirmed), errors.Is(err, errUnanswered):
		return fault.Unknown(driver.ErrUnavailable, "")
	case errors.Is(err, errDown):
		return fault.NotStored(driver.ErrUnavailable, "")
	case errors.Is(err, context.Canceled):
		return fault.Unknown(context.Canceled, "")
	case errors.Is(err, context.DeadlineExceeded):
		return fault.Unknown(context.DeadlineExceeded, "")
	case errors.Is(err, amqp091.ErrCredentials):
		return fault.NotStored(driver.ErrUnauthorized, "see the user and the password; RabbitMQ lets the user guest connect only from its own host")
	case errors.Is(err, amqp091.ErrSASL):
		return fault.NotStored(driver.ErrUnauthorized, "the broker offers none of the mechanisms: see auth")
	}
	var size *sizeError
	if errors.As(err, &size) {
		return fault.NotStored(driver.ErrTooLarge, size.hint)
	}
	var reply *amqp091.Error
	if errors.As(err, &reply) {
		return classifyReply(reply)
	}
	switch {
	case fault.IsTLS(err): // the handshake failed, before any method
		return fault.NotStored(driver.ErrUnavailable, "the TLS handshake failed: see tls_ca, tls_cert, tls_server_name and the scheme")
	case fault.IsName(err):
		return fault.NotStored(driver.ErrUnavailable, "the broker's name cannot be resolved")
	case fault.IsDial(err):
		return fault.NotStored(driver.ErrUnavailable, "is the broker running, and the address right?")
	}
	// What nobody thought of: a connection was there, and how far it came cannot
	// be known.
	return fault.Unknown(driver.ErrUnavailable, "")
}

// classifyReply says what a reply code means. Those that refuse a method come
// before it had an effect; the publisher, which has many messages under way on
// one channel, tells for itself which of them a closed channel leaves unknown.
// The codes are listed in https://www.rabbitmq.com/amqp-0-9-1-reference#constants
func classifyReply(e *amqp091.Error) fault.Verdict {
	if !e.Server {
		// Made by the library: the socket failed, the channel is closed, or, as
		// ErrVhost, the socket was closed in the handshake without a word.
		// RabbitMQ gives its reasons in words.
		return fault.Unknown(driver.ErrUnavailable, "")
	}
	has := func(part string) bool { return strings.Contains(e.Reason, part) }
	switch e.Code {
	case amqp091.ContentTooLarge:
		return fault.NotStored(driver.ErrTooLarge, "")
	case amqp091.ConnectionForced:
		return fault.Unknown(driver.ErrUnavailable, "the broker is shutting down, or an operator closed the connection")
	case amqp091.AccessRefused:
		if has("exclusive") {
			return fault.NotStored(driver.ErrConflict, "another consumer has the queue for itself")
		}
		return fault.NotStored(driver.ErrUnauthorized, rights)
	case amqp091.NotFound:
		if has("home node") || has("down") || has("unavailable") {
			// "home node of durable queue is down or inaccessible", and quorum
			// queues without a leader.
			return fault.NotStored(driver.ErrUnavailable, "the queue's node is down")
		}
		return fault.NotStored(driver.ErrNotFound, missing)
	case amqp091.ResourceLocked:
		return fault.NotStored(driver.ErrConflict, "another connection has the queue for itself")
	case amqp091.PreconditionFailed:
		switch {
		case has("message size"):
			return fault.NotStored(driver.ErrTooLarge, "see max_message_size of the broker")
		case has("inequivalent arg"):
			return fault.NotStored(driver.ErrConflict, "the queue exists with this argument set otherwise; delete it or use another name")
		case has("delivery acknowledgement"):
			return fault.Unknown(driver.ErrUnavailable, "the broker's consumer_timeout ended the channel")
		case has("unknown delivery tag"):
			return fault.NotStored(driver.ErrLeaseLost, "")
		}
		return fault.NotStored(driver.ErrBroker, "")
	case amqp091.NotAllowed:
		if has("limit") && has("reached") {
			return fault.NotStored(driver.ErrUnavailable, "a limit of connections is reached")
		}
		return fault.NotStored(driver.ErrUnauthorized, "the vhost does not exist or the user has no access to it: the URL's path names it, and / is the default one")
	case amqp091.ResourceError:
		return fault.Unknown(driver.ErrUnavailable, "the broker is short of resources")
	case amqp091.NotImplemented:
		return fault.NotStored(driver.ErrUnsupported, "")
	case amqp091.InternalError:
		// Of quorum queues without a leader, such as just after a restart.
		return fault.Unknown(driver.ErrUnavailable, "the queue may have no leader")
	}
	return fault.Unknown(driver.ErrBroker, "")
}

// isRefused tells whether err says that the user has not the right to do something.
func isRefused(err error) bool {
	var reply *amqp091.Error
	return errors.As(err, &reply) && reply.Server && reply.Code == amqp091.AccessRefused
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
