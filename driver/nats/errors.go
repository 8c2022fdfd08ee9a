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
	fate, hint, kind := classify(err)
	if kind == err {
		err = nil
	}
	return &driver.Error{Driver: Name, Op: op, Queue: queue, Kind: kind, Fate: fate, Err: err, Hint: hint}
}

// classify says what an error of the client library or the server means. Each
// branch says why; errors_test.go has a row for each.
func classify(err error) (fate driver.Fate, hint string, kind error) {
	var before notBegun
	var api *apiError
	var nobody *noResponders
	switch {
	case errors.As(err, &before):
		// The caller's ctx had ended before anything was sent.
		return driver.FateNotStored, "", before.error
	case err == context.Canceled || err == context.DeadlineExceeded:
		// The caller's ctx ended while the answer was awaited.
		return driver.FateUnknown, "", err
	case errors.Is(err, errCut):
		return driver.FateUnknown, "", driver.ErrClosed
	case errors.Is(err, natsgo.ErrConnectionClosed) || errors.Is(err, natsgo.ErrConnectionDraining):
		// Publishing is refused before anything is written. The connection is not
		// closed by the driver before its own Close, so its owner did.
		return driver.FateNotStored, "the connection was closed", driver.ErrClosed
	case errors.Is(err, errDown) || errors.Is(err, natsgo.ErrReconnectBufExceeded):
		// Nothing is buffered while the connection is down.
		return driver.FateNotStored, "the connection is lost and is being made again", driver.ErrUnavailable
	case errors.Is(err, errLost) || errors.Is(err, errSilent):
		return driver.FateUnknown, "", driver.ErrUnavailable
	case errors.Is(err, errNoQueue) || errors.Is(err, errNoJob):
		return driver.FateNotStored, "declare the queue first", driver.ErrNotFound
	case errors.Is(err, errChanging):
		return driver.FateNotStored, "", driver.ErrUnavailable
	case errors.Is(err, errForbidden):
		return driver.FateNotStored, "the user needs to publish and subscribe as docs/wire-nats.md lists", driver.ErrUnauthorized
	case errors.Is(err, natsgo.ErrMaxPayload):
		return driver.FateNotStored, "raise max_payload of the server", driver.ErrTooLarge
	case errors.As(err, &api):
		return classifyAPI(api)
	case errors.As(err, &nobody):
		// Nobody took the message: a stream without leader, a server that starts.
		return driver.FateNotStored, "JetStream is not ready", driver.ErrUnavailable
	case isAuth(err):
		return driver.FateNotStored, "the server refused the user, password, token, key or credentials", driver.ErrUnauthorized
	case isTLS(err):
		// The handshake failed, before anything else.
		return driver.FateNotStored, "the TLS handshake failed: see the scheme, tls_ca, tls_cert and tls_key", driver.ErrUnavailable
	case errors.Is(err, natsgo.ErrNoServers) || isDial(err):
		// There was never a connection, so nothing was sent.
		return driver.FateNotStored, "is the server running, and the address right?", driver.ErrUnavailable
	case errors.Is(err, errAnswer):
		return driver.FateUnknown, "", driver.ErrBroker
	}
	// What nobody thought of: how far it came cannot be known.
	return driver.FateUnknown, "", driver.ErrUnavailable
}

// classifyAPI says what an error of the JetStream API means. The server answers
// with an error only when it did not do what was asked, so none was stored.
func classifyAPI(e *apiError) (fate driver.Fate, hint string, kind error) {
	switch e.ErrCode {
	case codeStreamNotFound, codeConsumerNotFound:
		return driver.FateNotStored, "declare the queue first", driver.ErrNotFound
	case codeMessageNotFound, codeSequenceNotFound:
		return driver.FateNotStored, "", driver.ErrNotFound
	case codeStreamExists, codeConsumerExists:
		return driver.FateNotStored, "a stream or consumer of that name was made by something else", driver.ErrConflict
	case 10076, 10039:
		// Not enabled, not enabled for the account.
		return driver.FateNotStored, "switch JetStream on, for the server and the account", driver.ErrUnsupported
	case 10054, 10097:
		// Message or header over what the stream takes.
		return driver.FateNotStored, "", driver.ErrTooLarge
	case 10002, 10023, 10047, 10028, 10026, 10027, 10077:
		// Resources of account, server, memory, storage; consumers, streams; the
		// store refused: max_bytes of the stream, or a full disk.
		return driver.FateNotStored, "the server, the account or the stream is at its limit", driver.ErrFull
	case codeNoPeers, codeReplicasNeedMore:
		return driver.FateNotStored, "there are not enough servers for the replicas: see the parameter replicas", driver.ErrUnsupported
	case 10049:
		// The store of a stream could not be made. The server removes the directory
		// of an account with its last stream, also while a new one is being made in
		// it (stream.stop in server/stream.go).
		return driver.FateNotStored, "the server could not make the stream's files", driver.ErrUnavailable
	case 10008, 10009, 10151, codeTooManyBatches, codeConflictInFlight:
		// No quorum or leader, not the leader, too many batches or changes at once.
		return driver.FateNotStored, "", driver.ErrUnavailable
	}
	if e.Code == 503 {
		return driver.FateNotStored, "", driver.ErrUnavailable
	}
	return driver.FateNotStored, "", driver.ErrBroker
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

// isNobody tells that no server listens for what was asked, or none answers.
func isNobody(err error) bool {
	var nobody *noResponders
	return errors.As(err, &nobody) || errors.Is(err, errSilent)
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
