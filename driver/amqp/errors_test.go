package amqp

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"testing"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
)

func reply(code int, reason string) error {
	return &amqp091.Error{Code: code, Reason: reason, Server: true}
}

func TestClassify(t *testing.T) {
	const unknown, not = driver.FateUnknown, driver.FateNotStored
	for _, c := range []struct {
		name string
		err  error
		kind error
		fate driver.Fate
	}{
		{"closed", driver.ErrClosed, driver.ErrClosed, not},
		{"returned", errReturned, driver.ErrNotFound, not},
		{"nacked", errNacked, driver.ErrFull, not},
		{"lost", fmt.Errorf("%w: %w", errLost, errCancelled), driver.ErrLeaseLost, not},
		{"lost, and the queue too", fmt.Errorf("%w: %w", errLost, errReturned), driver.ErrLeaseLost, not},
		{"cancelled", errCancelled, driver.ErrUnavailable, unknown},
		{"unconfirmed", fmt.Errorf("%w: %w", errUnconfirmed, reply(320, "CONNECTION_FORCED")), driver.ErrUnavailable, unknown},
		{"down", fault.NotSent{Err: fmt.Errorf("%w: %w", errDown, reply(320, "CONNECTION_FORCED"))}, driver.ErrUnavailable, not},
		{"canceled", context.Canceled, context.Canceled, unknown},
		{"deadline", fmt.Errorf("%w: blocked", context.DeadlineExceeded), context.DeadlineExceeded, unknown},
		{"deadline before", fault.NotSent{Err: context.DeadlineExceeded}, context.DeadlineExceeded, not},
		{"no mechanism", amqp091.ErrSASL, driver.ErrUnauthorized, not},
		{"login refused without a word", amqp091.ErrCredentials, driver.ErrUnauthorized, not},
		{"login unanswered", fault.NotSent{Err: errUnanswered}, driver.ErrUnavailable, not},
		{"socket closed in the handshake, before", fault.NotSent{Err: amqp091.ErrVhost}, driver.ErrUnavailable, not},
		{"channel closed", amqp091.ErrClosed, driver.ErrUnavailable, unknown},
		{"socket broken", &amqp091.Error{Code: 501, Reason: "EOF"}, driver.ErrUnavailable, unknown},
		{"content too large", reply(311, "CONTENT_TOO_LARGE"), driver.ErrTooLarge, not},
		{"shutdown", reply(320, "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'"), driver.ErrUnavailable, unknown},
		{"login", reply(403, "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN."), driver.ErrUnauthorized, not},
		{"permission", reply(403, "ACCESS_REFUSED - configure access to queue 'batch.q' in vhost '/' refused for user 'u'"), driver.ErrUnauthorized, not},
		{"exclusive consumer", reply(403, "ACCESS_REFUSED - queue 'batch.q' in vhost '/' in exclusive use"), driver.ErrConflict, not},
		{"no queue", reply(404, "NOT_FOUND - no queue 'batch.q' in vhost '/'"), driver.ErrNotFound, not},
		{"node down", reply(404, "NOT_FOUND - queue 'batch.q' in vhost '/' process is stopped by supervisor: home node is down"), driver.ErrUnavailable, not},
		{"locked", reply(405, "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue"), driver.ErrConflict, not},
		{"other argument", reply(406, "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'batch.q' in vhost '/'"), driver.ErrConflict, not},
		{"message size", reply(406, "PRECONDITION_FAILED - message size 11 is larger than configured max size 10"), driver.ErrTooLarge, not},
		{"consumer timeout", reply(406, "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out"), driver.ErrUnavailable, unknown},
		{"stale tag", reply(406, "PRECONDITION_FAILED - unknown delivery tag 7"), driver.ErrLeaseLost, not},
		{"other precondition", reply(406, "PRECONDITION_FAILED - fast reply consumer does not exist"), driver.ErrBroker, not},
		{"no vhost", reply(530, "NOT_ALLOWED - vhost v not found"), driver.ErrUnauthorized, not},
		{"no access", reply(530, "NOT_ALLOWED - access to vhost 'v' refused for user 'u'"), driver.ErrUnauthorized, not},
		{"connection limit", reply(530, "NOT_ALLOWED - access to vhost 'v' refused for user 'u': connection limit (1) is reached"), driver.ErrUnavailable, not},
		{"resources", reply(506, "RESOURCE_ERROR"), driver.ErrUnavailable, unknown},
		{"not implemented", reply(540, "NOT_IMPLEMENTED"), driver.ErrUnsupported, not},
		{"internal", reply(541, "INTERNAL_ERROR"), driver.ErrUnavailable, unknown},
		{"unexpected", reply(505, "UNEXPECTED_FRAME"), driver.ErrBroker, unknown},
		{"refused", &net.OpError{Op: "dial", Err: errors.New("connection refused")}, driver.ErrUnavailable, not},
		{"name", &net.DNSError{Err: "no such host"}, driver.ErrUnavailable, not},
		{"certificate", x509.UnknownAuthorityError{}, driver.ErrUnavailable, not},
		{"else", errors.New("anything"), driver.ErrUnavailable, unknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := faults.Verdict(c.err)
			if v.Kind != c.kind || v.Fate != c.fate {
				t.Errorf("the verdict on %v is %v, %v; want %v, %v", c.err, v.Kind, v.Fate, c.kind, c.fate)
			}
			if err := fail("op", "q", c.err); !errors.Is(err, c.kind) || driver.FateOf(err) != c.fate {
				t.Errorf("fail(%v) = %v", c.err, err)
			}
		})
	}
}
