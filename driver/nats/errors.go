package nats

import (
	"context"
	"errors"
	"strings"

	natsgo "github.com/nats-io/nats.go"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
)

var (
	// errLost ends requests and pulls when the connection breaks: what they sent
	// may have arrived.
	errLost = errors.New("the connection was lost before the answer came")
	// errUnsent is errLost where nothing of what was asked had left the process.
	errUnsent = errors.New("the connection was lost before anything was sent")
	// errDown refuses requests while there is no connection.
	errDown = errors.New("not connected")
	// errUnread refuses requests while the server does not read those before.
	errUnread = errors.New("the server does not read what is sent to it")
	// errCut ends requests and pulls when the driver is closed.
	errCut = errors.New("the driver was closed before the answer came")
	// errSilent ends requests that nobody answers, although the connection stands.
	// A server of a cluster that has just lost a stream, or its leader, may drop a
	// request and not say so.
	errSilent = errors.New("the server does not answer")

	// errBehind is for an answer of a server that has no part of a consumer yet.
	errBehind = errors.New("a server of the cluster answered that is behind the consumer's leader")
	// errDeaf ends requests whose answers the server refuses to send: what was asked may
	// have been done.
	errDeaf = errors.New("the answers are refused")
	// errAnswer marks an answer that cannot be read.
	errAnswer = errors.New("the answer cannot be read")
	// errForbidden marks the server's refusal of a permission.
	errForbidden = errors.New("permission refused")

	// errNoQueue is the error of a queue whose stream or consumer is missing.
	errNoQueue = errors.New("the queue does not exist")
	// errRemoved ends pulls when the queue's consumer on the server was removed, with the
	// queue or alone.
	errRemoved = errors.New("the queue's consumer on the server was removed")
	// errNoJob is the error of a job that is not waiting, scheduled or dead.
	errNoJob = errors.New("no job with this ID is waiting, scheduled or dead")
	// errChanging is the error of a keyed enqueue that met another one of the
	// same key again and again.
	errChanging = errors.New("the dedup keys are being changed by others")

	// errBounds is the error of what is outside the bounds that the SPI sets.
	errBounds = errors.New("out of bounds")
	// errKeyKept is the error of a job that was removed, and its dedup key was not.
	errKeyKept = errors.New("the dedup key could not be freed")

	// errTaken says that a message was not there any more when it was to be removed.
	errTaken = errors.New("the entry is gone")
	// errLapsed is the error of a delivery that is not held any more.
	errLapsed = errors.New("the lease ended, or it was settled before")
	// errForeign is the error of a delivery that cannot be settled here.
	errForeign = errors.New("the delivery is not one of this driver and queue")
)

// isUnanswered tells that no server listens for what was asked, or none answers.
func isUnanswered(err error) bool {
	if err == nil {
		return false
	}
	_, nobody := errors.AsType[*noResponders](err)
	return nobody || errors.Is(err, errSilent) || errors.Is(err, errRemoved)
}

// isNoQueue tells that the queue's stream or consumer is missing.
func isNoQueue(err error) bool {
	return errors.Is(err, errNoQueue) || isCode(err, codeStreamNotFound, codeConsumerNotFound)
}

// isFull tells the server's refusal to store for want of room.
func isFull(err error) bool { return err != nil && faults.Verdict(err).Kind == driver.ErrFull }

// faults makes the driver's errors.
var faults = fault.Maker{Driver: Name, Classify: classify}

// fail makes a driver error of what an operation ended with.
func fail(op, queue string, err error) error { return faults.Fail(op, queue, err) }

// closed is the error of an operation after Close.
func closed(op, queue string) error { return faults.Closed(op, queue) }

// invalid is the error of a URL or option that cannot be.
func invalid(err error) error { return faults.Invalid(err) }

// hintRights is what to do about a permission that is refused.
const hintRights = "the user needs to publish and subscribe as docs/wire-nats.md lists"

// classify says what an error of the client library, the server or the driver
// means. Each branch says why; errors_test.go has a row for each.
func classify(err error) fault.Verdict {
	var api *apiError
	var nobody *noResponders
	switch {
	case errors.Is(err, errKeyKept) && errors.Is(err, errForbidden):
		return fault.Unknown(driver.ErrUnauthorized, "the job was removed, and its key is free when its time is over")
	case errors.Is(err, errKeyKept):
		return fault.Unknown(driver.ErrUnavailable, "the job was removed, and its key is free when its time is over")
	case err == context.Canceled || err == context.DeadlineExceeded:
		// The caller's ctx ended while the answer was awaited.
		return fault.Unknown(err, "")
	case errors.Is(err, errCut):
		return fault.Unknown(driver.ErrClosed, "")
	case errors.Is(err, natsgo.ErrConnectionClosed) || errors.Is(err, natsgo.ErrConnectionDraining):
		// Publishing is refused before anything is written.
		return fault.NotStored(driver.ErrClosed, "the connection was closed")
	case errors.Is(err, errDown) || errors.Is(err, errUnsent) || errors.Is(err, natsgo.ErrReconnectBufExceeded):
		// Nothing is buffered while the connection is down.
		return fault.NotStored(driver.ErrUnavailable, "the connection is lost and is being made again")
	case errors.Is(err, errLost) || errors.Is(err, errSilent) || errors.Is(err, errBehind):
		return fault.Unknown(driver.ErrUnavailable, "")
	case errors.Is(err, errTaken) || errors.Is(err, errLapsed):
		return fault.Verdict{Kind: driver.ErrLeaseLost, Fate: driver.FateNotStored, Bare: true}
	case errors.Is(err, errForeign) || errors.Is(err, errBounds):
		return fault.NotStored(driver.ErrConfig, "")
	case errors.Is(err, errNoJob) || errors.Is(err, errNoQueue):
		return fault.NotStored(driver.ErrNotFound, "")
	case errors.Is(err, errRemoved):
		// The question why has made it again.
		return fault.NotStored(driver.ErrUnavailable, "it was made again")
	case errors.Is(err, errChanging) || errors.Is(err, errUnread):
		return fault.NotStored(driver.ErrUnavailable, "")
	case errors.Is(err, errDeaf):
		return fault.Unknown(driver.ErrUnauthorized, hintRights)
	case errors.Is(err, errForbidden):
		return fault.NotStored(driver.ErrUnauthorized, hintRights)
	case errors.Is(err, natsgo.ErrMaxSubscriptionsExceeded):
		// What comes to an inbox is refused, and of that the server has removed nothing.
		return fault.NotStored(driver.ErrFull, "raise the subscriptions that the server or the account allows: each worker needs a few for each of its queues")
	case errors.Is(err, natsgo.ErrMaxPayload):
		return fault.NotStored(driver.ErrTooLarge, "raise max_payload of the server")
	case errors.As(err, &api):
		return classifyAPI(api)
	case errors.As(err, &nobody):
		// Nobody took the message: a stream without leader, a server that starts.
		return fault.NotStored(driver.ErrUnavailable, "JetStream is not ready")
	case isAuth(err):
		return fault.NotStored(driver.ErrUnauthorized, "the server refused the user, password, token, key or credentials")
	case isTLS(err):
		// The handshake failed, before anything else.
		return fault.NotStored(driver.ErrUnavailable, "the TLS handshake failed: see the scheme, tls_ca, tls_cert and tls_key")
	case errors.Is(err, natsgo.ErrNoServers) || fault.IsDial(err) || fault.IsName(err):
		// There was never a connection, so nothing was sent.
		return fault.NotStored(driver.ErrUnavailable, "is the server running, and the address right?")
	case errors.Is(err, errAnswer):
		return fault.Unknown(driver.ErrBroker, "")
	}
	// Any other error: how far it came cannot be known.
	return fault.Unknown(driver.ErrUnavailable, "")
}

// classifyAPI says what an error of the JetStream API means. The server answers
// with an error only when it did not do what was asked, so none was stored.
func classifyAPI(e *apiError) fault.Verdict {
	switch e.ErrCode {
	case codeStreamNotFound, codeConsumerNotFound:
		return fault.NotStored(driver.ErrNotFound, "the queue does not exist")
	case codeMessageNotFound, codeSequenceNotFound:
		return fault.NotStored(driver.ErrNotFound, "")
	case codeStreamExists, codeConsumerExists:
		return fault.NotStored(driver.ErrConflict, "a stream or consumer of that name was made by something else")
	case 10076, 10039:
		// Not enabled, not enabled for the account.
		return fault.NotStored(driver.ErrUnsupported, "switch JetStream on, for the server and the account")
	case 10054, 10097:
		// Message or header over what the stream takes.
		return fault.NotStored(driver.ErrTooLarge, "")
	case 10002, 10023, 10047, 10028, 10026, 10027, 10077:
		// Resources of account, server, memory, storage; consumers, streams; the
		// store refused: max_bytes of the stream, or a full disk.
		return fault.NotStored(driver.ErrFull, "the server, the account or the stream is at its limit")
	case 10113, 10122:
		// The account demands max_bytes, or bounds it.
		return fault.NotStored(driver.ErrUnsupported, "the account demands max_bytes of its streams, and such a stream drops its oldest jobs when it is full: lift max_bytes_required and the limits for one stream")
	case codeNoPeers, codeReplicasNeedMore:
		return fault.NotStored(driver.ErrUnsupported, "there are not enough servers for the replicas: see the parameter replicas")
	case 10049:
		// The store of a stream could not be made. The server removes the directory
		// of an account with its last stream, also while a new one is being made in
		// it (stream.stop in server/stream.go).
		return fault.NotStored(driver.ErrUnavailable, "the server could not make the stream's files")
	case 10008, 10009, 10151, codeTooManyBatches, codeConflictInFlight:
		// No quorum or leader, not the leader, too many batches or changes at once.
		return fault.NotStored(driver.ErrUnavailable, "")
	}
	if e.Code == 503 {
		return fault.NotStored(driver.ErrUnavailable, "")
	}
	return fault.NotStored(driver.ErrBroker, "")
}

// isAuth tells errors of the credentials.
func isAuth(err error) bool {
	for _, is := range []error{natsgo.ErrAuthorization, natsgo.ErrAuthExpired, natsgo.ErrAuthRevoked, natsgo.ErrAccountAuthExpired, natsgo.ErrNkeysNotSupported} {
		if errors.Is(err, is) {
			return true
		}
	}
	return strings.Contains(strings.ToLower(err.Error()), "authorization violation")
}

// isTLS tells errors of the handshake.
func isTLS(err error) bool {
	return fault.IsTLS(err) || errors.Is(err, natsgo.ErrSecureConnRequired) || errors.Is(err, natsgo.ErrSecureConnWanted)
}
