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
)

func TestClassify(t *testing.T) {
	api := func(code, errCode int) error { return &apiError{Code: code, ErrCode: errCode, Description: "x"} }
	dial := &net.OpError{Op: "dial", Err: errors.New("refused")}
	for _, row := range []struct {
		err  error
		kind error
		fate driver.Fate
	}{
		{notBegun{context.Canceled}, context.Canceled, driver.FateNotStored},
		{context.Canceled, context.Canceled, driver.FateUnknown},
		{context.DeadlineExceeded, context.DeadlineExceeded, driver.FateUnknown},
		{errCut, driver.ErrClosed, driver.FateUnknown},
		{natsgo.ErrConnectionClosed, driver.ErrClosed, driver.FateNotStored},
		{natsgo.ErrConnectionDraining, driver.ErrClosed, driver.FateNotStored},
		{errDown, driver.ErrUnavailable, driver.FateNotStored},
		{natsgo.ErrReconnectBufExceeded, driver.ErrUnavailable, driver.FateNotStored},
		{errLost, driver.ErrUnavailable, driver.FateUnknown},
		{errSilent, driver.ErrUnavailable, driver.FateUnknown},
		{fmt.Errorf("%w: Server Shutdown", errLost), driver.ErrUnavailable, driver.FateUnknown},
		{errNoQueue, driver.ErrNotFound, driver.FateNotStored},
		{errNoJob, driver.ErrNotFound, driver.FateNotStored},
		{errChanging, driver.ErrUnavailable, driver.FateNotStored},
		{fmt.Errorf("%w: %w", errForbidden, natsgo.ErrPermissionViolation), driver.ErrUnauthorized, driver.FateNotStored},
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
		fate, _, kind := classify(row.err)
		if kind != row.kind || fate != row.fate {
			t.Errorf("%v is %v, %v; want %v, %v", row.err, kind, fate, row.kind, row.fate)
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

func TestPullEnds(t *testing.T) {
	for _, row := range []struct {
		code, text string
		want       error
	}{
		{"404", "No Messages", errEmpty},
		{"408", "Request Timeout", errEmpty},
		{"408", "Requests Pending", errCrowded},
		{"409", "Consumer Deleted", errNoQueue},
		{"409", "Leadership Change", errLost},
		{"409", "Server Shutdown", errLost},
		{"100", "Idle Heartbeat", nil},
	} {
		m := &natsgo.Msg{Header: natsgo.Header{"Status": {row.code}, "Description": {row.text}}}
		if got := pullEnd(m); !errors.Is(got, row.want) {
			t.Errorf("%s %s is %v, want %v", row.code, row.text, got, row.want)
		}
	}
	m := &natsgo.Msg{Header: natsgo.Header{"Status": {"503"}}}
	if got := pullEnd(m); !isNobody(got) {
		t.Errorf("503 is %v", got)
	}
	m = &natsgo.Msg{Header: natsgo.Header{"Status": {"409"}, "Description": {"Exceeded MaxWaiting"}}}
	if _, _, kind := classify(pullEnd(m)); kind != driver.ErrBroker {
		t.Errorf("a pull too many is %v", kind)
	}
}

func TestHeadersCarryAnyBytes(t *testing.T) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for _, v := range []string{"", "plain", "with spaces inside", " leading", "trailing ", "=?mark", "a\r\nb", string(every), "é"} {
		got, ok := decode(encode(v))
		if !ok || got != v {
			t.Errorf("%q became %q, %v", v, got, ok)
		}
	}
	if _, ok := decode("=?not base64!"); ok {
		t.Error("nonsense was decoded")
	}
}

func TestReadRefusesWhatIsNoJob(t *testing.T) {
	good := natsgo.Header{headerID: {"id"}, headerKind: {"kind"}, headerAt: {"1760000000000"}}
	var j job
	if !j.read(good, nil) || j.ContentType != defaultType {
		t.Fatalf("a job was not read: %+v", j)
	}
	for name, value := range map[string]string{
		headerID: "a b", headerKind: "", headerAt: "soon", headerExpires: "-", headerAttempts: "-1", headerTimeout: "x",
		headerFailures: "99999999999", headerDeliveries: "1.5", headerLost: "", headerDied: "1e3", headerError: "=?%", headerOwn + "x": "=?%", headerType: "=?%",
	} {
		h := natsgo.Header{}
		for k, v := range good {
			h[k] = v
		}
		h[name] = []string{value}
		if new(job).read(h, nil) {
			t.Errorf("%s: %q was read as a job", name, value)
		}
	}
	if new(job).read(nil, []byte("body")) {
		t.Error("a message without headers was read as a job")
	}
}

func TestAckReply(t *testing.T) {
	for subject, want := range map[string]string{
		"$JS.ACK.s.jobs.1.17.3.1760000000000000000.5":            "1 17 true",
		"$JS.ACK.hub.hash.s.jobs.2.17.3.1760000000000000000.5":   "2 17 true",
		"$JS.ACK.hub.hash.s.jobs.2.17.3.1760000000000000000.5.x": "2 17 true",
		"$JS.ACK.s.jobs.0.17.3.1.5":                              "0 0 false",
		"$JS.ACK.s.jobs.1.x.3.1.5":                               "0 0 false",
		"$JS.ACK.s":                                              "0 0 false",
	} {
		delivered, seq, ok := ackReply(subject)
		if got := fmt.Sprint(delivered, seq, ok); got != want {
			t.Errorf("%s is %s, want %s", subject, got, want)
		}
	}
}
