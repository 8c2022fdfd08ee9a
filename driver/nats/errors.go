package nats

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"

	natsgo "github.com/nats-io/nats.go"

	"github.com/batch-go/batch/driver"
)

var (
	// errAnswer marks an answer that cannot be read.
	errAnswer = errors.New("the answer cannot be read")
	// errNoQueue is the error of a queue whose stream or consumer is missing.
	errNoQueue = errors.New("the queue does not exist")
	// errChanging is the error of a keyed enqueue that met another one of the
	// same key again and again.
	errChanging = errors.New("the dedup keys are being changed by others")
	// errForbidden marks the server's refusal of a permission.
	errForbidden = errors.New("permission refused")
)

// notBegun marks the error of a ctx that ended before anything was sent.
type notBegun struct{ error }

// Unwrap makes the error of ctx reachable.
func (e notBegun) Unwrap() error { return e.error }

// fail makes a driver error of what an operation ended with.
func fail(op, queue string, err error) error {
	if err == nil {
		return nil
	}
	var done *driver.Error
	if errors.As(err, &done) {
		return err
	}
	kind, fate, hint := classify(err)
	if kind == err {
		err = nil
	}
	return &driver.Error{Driver: Name, Op: op, Queue: queue, Kind: kind, Fate: fate, Err: err, Hint: hint}
}

// classify says what an error of the client library or the server means. Each
// branch says why; errors_test.go has a row for each.
func classify(err error) (kind error, fate driver.Fate, hint string) {
	var before notBegun
	var api *apiError
	var nobody *noResponders
	switch {
	case errors.As(err, &before):
		// The caller's ctx had ended before anything was sent.
		return before.error, driver.FateNotStored, ""
	case err == context.Canceled || err == context.DeadlineExceeded:
		// The caller's ctx ended while the answer was awaited.
		return err, driver.FateUnknown, ""
	case errors.Is(err, errCut):
		return driver.ErrClosed, driver.FateUnknown, ""
	case errors.Is(err, natsgo.ErrConnectionClosed) || errors.Is(err, natsgo.ErrConnectionDraining):
		// Publishing is refused before anything is written. The connection is not
		// closed by the driver before its own Close, so its owner did.
		return driver.ErrClosed, driver.FateNotStored, "the connection was closed"
	case errors.Is(err, errDown) || errors.Is(err, natsgo.ErrReconnectBufExceeded):
		// Nothing is buffered while the connection is down.
		return driver.ErrUnavailable, driver.FateNotStored, "the connection is lost and is being made again"
	case errors.Is(err, errLost):
		return driver.ErrUnavailable, driver.FateUnknown, ""
	case errors.Is(err, errNoQueue) || errors.Is(err, errNoJob):
		return driver.ErrNotFound, driver.FateNotStored, "declare the queue first"
	case errors.Is(err, errChanging):
		return driver.ErrUnavailable, driver.FateNotStored, ""
	case errors.Is(err, errForbidden):
		return driver.ErrUnauthorized, driver.FateNotStored, "the user needs to publish and subscribe as docs/wire-nats.md lists"
	case errors.Is(err, natsgo.ErrMaxPayload):
		return driver.ErrTooLarge, driver.FateNotStored, "raise max_payload of the server"
	case errors.As(err, &api):
		return classifyAPI(api)
	case errors.As(err, &nobody):
		// Nobody took the message: a stream without leader, a server that starts.
		return driver.ErrUnavailable, driver.FateNotStored, "JetStream is not ready"
	case isAuth(err):
		return driver.ErrUnauthorized, driver.FateNotStored, "the server refused the user, password, token, key or credentials"
	case isTLS(err):
		// The handshake failed, before anything else.
		return driver.ErrUnavailable, driver.FateNotStored, "the TLS handshake failed: see the scheme, tls_ca, tls_cert and tls_key"
	case errors.Is(err, natsgo.ErrNoServers) || isDial(err):
		// There was never a connection, so nothing was sent.
		return driver.ErrUnavailable, driver.FateNotStored, "is the server running, and the address right?"
	case errors.Is(err, errAnswer):
		return driver.ErrBroker, driver.FateUnknown, ""
	}
	// What nobody thought of: how far it came cannot be known.
	return driver.ErrUnavailable, driver.FateUnknown, ""
}

// classifyAPI says what an error of the JetStream API means. The server answers
// with an error only when it did not do what was asked, so none was stored.
func classifyAPI(e *apiError) (kind error, fate driver.Fate, hint string) {
	switch e.ErrCode {
	case codeStreamNotFound, codeConsumerNotFound:
		return driver.ErrNotFound, driver.FateNotStored, "declare the queue first"
	case codeMessageNotFound, codeSequenceNotFound:
		return driver.ErrNotFound, driver.FateNotStored, ""
	case codeStreamExists, codeConsumerExists:
		return driver.ErrConflict, driver.FateNotStored, "a stream or consumer of that name was made by something else"
	case 10076, 10039:
		// Not enabled, not enabled for the account.
		return driver.ErrUnsupported, driver.FateNotStored, "switch JetStream on, for the server and the account"
	case 10054, 10097:
		// Message or header over what the stream takes.
		return driver.ErrTooLarge, driver.FateNotStored, ""
	case 10002, 10023, 10047, 10028, 10026, 10027, 10077:
		// Resources of account, server, memory, storage; consumers, streams; the
		// store refused: max_bytes of the stream, or a full disk.
		return driver.ErrFull, driver.FateNotStored, "the server, the account or the stream is at its limit"
	case codeNoPeers, codeReplicasNeedMore:
		return driver.ErrUnsupported, driver.FateNotStored, "there are not enough servers for the replicas: see the parameter replicas"
	case 10049:
		// The store of a stream could not be made. The server removes the directory
		// of an account with its last stream, also while a new one is being made in
		// it (stream.stop in server/stream.go).
		return driver.ErrUnavailable, driver.FateNotStored, "the server could not make the stream's files"
	case 10008, 10009, 10151, codeTooManyBatches, codeConflictInFlight:
		// No quorum or leader, not the leader, too many batches or changes at once.
		return driver.ErrUnavailable, driver.FateNotStored, ""
	}
	if e.Code == 503 {
		return driver.ErrUnavailable, driver.FateNotStored, ""
	}
	return driver.ErrBroker, driver.FateNotStored, ""
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
	var verify *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	return errors.As(err, &verify) || errors.As(err, &record) || errors.As(err, &alert) || errors.As(err, &unknown) || errors.As(err, &host) ||
		errors.Is(err, natsgo.ErrSecureConnRequired) || errors.Is(err, natsgo.ErrSecureConnWanted)
}

func isDial(err error) bool {
	var op *net.OpError
	var dns *net.DNSError
	return errors.As(err, &op) && op.Op == "dial" || errors.As(err, &dns)
}

// isCode tells an error of the JetStream API with one of these codes.
func isCode(err error, codes ...int) bool {
	var api *apiError
	if !errors.As(err, &api) {
		return false
	}
	for _, code := range codes {
		if api.ErrCode == code {
			return true
		}
	}
	return false
}

// isNobody tells that no server listens for what was asked.
func isNobody(err error) bool {
	var nobody *noResponders
	return errors.As(err, &nobody)
}

func invalid(err error) error {
	return &driver.Error{Driver: Name, Op: "open", Kind: driver.ErrConfig, Fate: driver.FateNotStored, Err: err}
}

// all repeats an error of a whole call for each of its n items.
func all(n int, err error) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}
