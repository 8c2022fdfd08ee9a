package nats

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"testing"

	natsgo "github.com/nats-io/nats.go"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
)

func TestClassify(t *testing.T) {
	api := func(code, errCode int) error { return &apiError{Code: code, ErrCode: errCode, Description: "x"} }
	dial := &net.OpError{Op: "dial", Err: errors.New("refused")}
	for _, row := range []struct {
		err  error
		kind error
		fate driver.Fate
	}{
		{fault.NotSent{Err: context.Canceled}, context.Canceled, driver.FateNotStored},
		{context.Canceled, context.Canceled, driver.FateUnknown},
		{context.DeadlineExceeded, context.DeadlineExceeded, driver.FateUnknown},
		{errCut, driver.ErrClosed, driver.FateUnknown},
		{natsgo.ErrConnectionClosed, driver.ErrClosed, driver.FateNotStored},
		{natsgo.ErrConnectionDraining, driver.ErrClosed, driver.FateNotStored},
		{errDown, driver.ErrUnavailable, driver.FateNotStored},
		{errUnread, driver.ErrUnavailable, driver.FateNotStored},
		{natsgo.ErrReconnectBufExceeded, driver.ErrUnavailable, driver.FateNotStored},
		{errLost, driver.ErrUnavailable, driver.FateUnknown},
		{errUnsent, driver.ErrUnavailable, driver.FateNotStored},
		{errRemoved, driver.ErrUnavailable, driver.FateNotStored},
		{errSilent, driver.ErrUnavailable, driver.FateUnknown},
		{errBehind, driver.ErrUnavailable, driver.FateUnknown},
		{fmt.Errorf("%w: Server Shutdown", errLost), driver.ErrUnavailable, driver.FateUnknown},
		{errTaken, driver.ErrLeaseLost, driver.FateNotStored},
		{errLapsed, driver.ErrLeaseLost, driver.FateNotStored},
		{fmt.Errorf("%w: outcome 9 is none", errForeign), driver.ErrConfig, driver.FateNotStored},
		{errNoQueue, driver.ErrNotFound, driver.FateNotStored},
		{errNoJob, driver.ErrNotFound, driver.FateNotStored},
		{errChanging, driver.ErrUnavailable, driver.FateNotStored},
		{fmt.Errorf("%w: %w", errForbidden, natsgo.ErrPermissionViolation), driver.ErrUnauthorized, driver.FateNotStored},
		{fmt.Errorf("%w: %w", errDeaf, errForbidden), driver.ErrUnauthorized, driver.FateUnknown},
		{fmt.Errorf("%w: 3", natsgo.ErrMaxSubscriptionsExceeded), driver.ErrFull, driver.FateNotStored},
		{fmt.Errorf("%w: large", natsgo.ErrMaxPayload), driver.ErrTooLarge, driver.FateNotStored},
		{&noResponders{"x"}, driver.ErrUnavailable, driver.FateNotStored},
		{natsgo.ErrAuthorization, driver.ErrUnauthorized, driver.FateNotStored},
		{natsgo.ErrAuthExpired, driver.ErrUnauthorized, driver.FateNotStored},
		{errors.New("nats: Authorization Violation"), driver.ErrUnauthorized, driver.FateNotStored},
		{natsgo.ErrSecureConnRequired, driver.ErrUnavailable, driver.FateNotStored},
		{&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, driver.ErrUnavailable, driver.FateNotStored},
		{natsgo.ErrNoServers, driver.ErrUnavailable, driver.FateNotStored},
		{dial, driver.ErrUnavailable, driver.FateNotStored},
		{&net.DNSError{}, driver.ErrUnavailable, driver.FateNotStored},
		{fmt.Errorf("%w: nonsense", errAnswer), driver.ErrBroker, driver.FateUnknown},
		{errors.New("what nobody thought of"), driver.ErrUnavailable, driver.FateUnknown},

		{api(404, codeStreamNotFound), driver.ErrNotFound, driver.FateNotStored},
		{api(404, codeConsumerNotFound), driver.ErrNotFound, driver.FateNotStored},
		{api(404, codeMessageNotFound), driver.ErrNotFound, driver.FateNotStored},
		{api(400, codeStreamExists), driver.ErrConflict, driver.FateNotStored},
		{api(400, codeConsumerExists), driver.ErrConflict, driver.FateNotStored},
		{api(503, 10076), driver.ErrUnsupported, driver.FateNotStored},
		{api(503, 10039), driver.ErrUnsupported, driver.FateNotStored},
		{api(400, 10054), driver.ErrTooLarge, driver.FateNotStored},
		{api(400, 10002), driver.ErrFull, driver.FateNotStored},
		{api(503, 10077), driver.ErrFull, driver.FateNotStored},
		{api(503, 10023), driver.ErrFull, driver.FateNotStored},
		{api(400, codeNoPeers), driver.ErrUnsupported, driver.FateNotStored},
		{api(500, codeReplicasNeedMore), driver.ErrUnsupported, driver.FateNotStored},
		{api(500, 10049), driver.ErrUnavailable, driver.FateNotStored},
		{api(503, 10008), driver.ErrUnavailable, driver.FateNotStored},
		{api(429, codeTooManyBatches), driver.ErrUnavailable, driver.FateNotStored},
		{api(400, codeConflictInFlight), driver.ErrUnavailable, driver.FateNotStored},
		{api(503, 99999), driver.ErrUnavailable, driver.FateNotStored},
		{api(400, 99999), driver.ErrBroker, driver.FateNotStored},
	} {
		v := faults.Verdict(row.err)
		if v.Kind != row.kind || v.Fate != row.fate {
			t.Errorf("%v is %v, %v; want %v, %v", row.err, v.Kind, v.Fate, row.kind, row.fate)
		}
		wrapped := fail("op", "q", row.err)
		if !errors.Is(wrapped, row.kind) || driver.FateOf(wrapped) != row.fate {
			t.Errorf("%v became %v", row.err, wrapped)
		}
		if again := fail("other", "q", wrapped); again != wrapped {
			t.Errorf("%v was wrapped twice: %v", row.err, again)
		}
	}
	if fail("op", "q", nil) != nil {
		t.Error("no error became one")
	}
}
