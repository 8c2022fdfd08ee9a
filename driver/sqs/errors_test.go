package sqs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
)

func api(code, message string) error {
	return fmt.Errorf("operation error SQS: %w", &smithy.GenericAPIError{Code: code, Message: message})
}

// Every branch of the classifier, by what SQS or the SDK reports.
func TestClassify(t *testing.T) {
	for _, row := range []struct {
		err  error
		kind error
		fate driver.Fate
		hint string // a word of it
	}{
		{fault.NotSent{Err: context.Canceled}, context.Canceled, driver.FateNotStored, ""},
		{fmt.Errorf("request canceled: %w", context.Canceled), context.Canceled, driver.FateUnknown, ""},
		{fmt.Errorf("request canceled: %w", errCutOff), driver.ErrClosed, driver.FateUnknown, ""},
		{fault.NotSent{Err: errCutOff}, driver.ErrClosed, driver.FateNotStored, ""},
		{fmt.Errorf("request canceled: %w", context.DeadlineExceeded), context.DeadlineExceeded, driver.FateUnknown, ""},
		{fmt.Errorf("get identity: %w", noCredentials{errors.New("no role")}), driver.ErrUnauthorized, driver.FateNotStored, "AWS_ACCESS_KEY_ID"},
		{&types.QueueDoesNotExist{}, driver.ErrNotFound, driver.FateNotStored, ""},
		{api("AWS.SimpleQueueService.NonExistentQueue", ""), driver.ErrNotFound, driver.FateNotStored, ""},
		{&types.QueueNameExists{}, driver.ErrConflict, driver.FateNotStored, "attributes"},
		{&types.QueueDeletedRecently{}, driver.ErrUnavailable, driver.FateNotStored, "60 seconds"},
		{api("AccessDenied", ""), driver.ErrUnauthorized, driver.FateNotStored, "policy"},
		{api("AccessDeniedException", ""), driver.ErrUnauthorized, driver.FateNotStored, "policy"},
		{&types.KmsAccessDenied{}, driver.ErrUnauthorized, driver.FateNotStored, "KMS"},
		{api("InvalidClientTokenId", ""), driver.ErrUnauthorized, driver.FateNotStored, "key"},
		{api("UnrecognizedClientException", ""), driver.ErrUnauthorized, driver.FateNotStored, "key"},
		{api("ExpiredToken", ""), driver.ErrUnauthorized, driver.FateNotStored, "expired"},
		{api("RequestExpired", ""), driver.ErrUnauthorized, driver.FateNotStored, "clock"},
		{api("SignatureDoesNotMatch", "Signature expired: 20261123T120000Z is now earlier than 20261123T121500Z"), driver.ErrUnauthorized, driver.FateNotStored, "clock"},
		{api("InvalidSignatureException", "Signature not yet current"), driver.ErrUnauthorized, driver.FateNotStored, "clock"},
		{api("SignatureDoesNotMatch", "The request signature we calculated does not match"), driver.ErrUnauthorized, driver.FateNotStored, "secret"},
		{&types.RequestThrottled{}, driver.ErrUnavailable, driver.FateNotStored, "throttles"},
		{api("ThrottlingException", ""), driver.ErrUnavailable, driver.FateNotStored, "throttles"},
		{&types.OverLimit{}, driver.ErrUnavailable, driver.FateNotStored, "120 000"},
		{api("InternalFailure", ""), driver.ErrUnavailable, driver.FateUnknown, ""},
		{api("ServiceUnavailable", ""), driver.ErrUnavailable, driver.FateUnknown, ""},
		{&types.ReceiptHandleIsInvalid{}, driver.ErrLeaseLost, driver.FateNotStored, ""},
		{&types.MessageNotInflight{}, driver.ErrLeaseLost, driver.FateNotStored, ""},
		{api("InvalidParameterValue", "Value AQ for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired."), driver.ErrLeaseLost, driver.FateNotStored, ""},
		{api("InvalidParameterValue", "Reason: Message does not exist or is not available for visibility timeout change."), driver.ErrLeaseLost, driver.FateNotStored, ""},
		{api("InvalidParameterValue", "Total VisibilityTimeout for the message is beyond the limit [43200 seconds]"), driver.ErrBroker, driver.FateNotStored, "12 hours"},
		{api("InvalidParameterValue", "One or more parameters are invalid. Reason: Message must be shorter than 1048576 bytes."), driver.ErrTooLarge, driver.FateNotStored, ""},
		{&types.BatchRequestTooLong{}, driver.ErrTooLarge, driver.FateNotStored, ""},
		{&types.UnsupportedOperation{}, driver.ErrUnsupported, driver.FateNotStored, ""},
		{entryError{"InternalError", "try again"}, driver.ErrUnavailable, driver.FateUnknown, ""},
		{entryError{"SomethingNew", ""}, driver.ErrBroker, driver.FateNotStored, ""},
		{errNotMentioned, driver.ErrBroker, driver.FateUnknown, ""},
		{&net.OpError{Op: "dial", Err: errors.New("connection refused")}, driver.ErrUnavailable, driver.FateNotStored, "endpoint"},
		// So is a net.Dialer's own timeout, by errors.Is.
		{&net.OpError{Op: "dial", Err: context.DeadlineExceeded}, driver.ErrUnavailable, driver.FateNotStored, "endpoint"},
		{noCredentials{&net.OpError{Op: "dial", Err: errors.New("connection refused")}}, driver.ErrUnauthorized, driver.FateNotStored, "credentials"},
		{&smithy.CanceledError{Err: context.DeadlineExceeded}, context.DeadlineExceeded, driver.FateUnknown, ""},
		{&net.DNSError{Err: "no such host"}, driver.ErrUnavailable, driver.FateNotStored, "region"},
		{&net.OpError{Op: "read", Err: errors.New("connection reset")}, driver.ErrUnavailable, driver.FateUnknown, ""},
		{errPollHangs, driver.ErrUnavailable, driver.FateUnknown, ""},
	} {
		v := faults.Verdict(row.err)
		if v.Kind != row.kind || v.Fate != row.fate || !strings.Contains(v.Hint, row.hint) {
			t.Errorf("%v is %q, %s (%s), want %q, %s (%s)", row.err, v.Kind, v.Fate, v.Hint, row.kind, row.fate, row.hint)
		}
		err := fail("op", "q", row.err)
		var e *driver.Error
		if !errors.As(err, &e) || !errors.Is(err, row.kind) || e.Driver != Name || e.Queue != "q" {
			t.Errorf("%v as a driver error is %v", row.err, err)
		}
	}
}

// Each code of the table is classified with and without the prefix that older
// servers give it.
func TestClassifyCodes(t *testing.T) {
	for code, want := range codes {
		for _, prefix := range []string{"", "AWS.SimpleQueueService."} {
			if v := classifyCode(prefix+code, ""); v != want {
				t.Errorf("%s%s is %+v", prefix, code, v)
			}
		}
	}
}

type noChain struct{}

func (noChain) Retrieve(context.Context) (aws.Credentials, error) {
	return aws.Credentials{}, errors.New("no EC2 IMDS role found")
}

// What opening says of a server that is not there, of one that refuses, and of
// missing credentials.
func TestOpenErrors(t *testing.T) {
	closedPort := func() string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		return "http://" + l.Addr().String()
	}
	answer := func(code string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/x-amz-json-1.0")
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprintf(w, `{"__type":"com.amazon.coral.service#%s","message":"no"}`, code)
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	for _, row := range []struct {
		endpoint string
		want     error
	}{
		{closedPort(), driver.ErrUnavailable},
		{answer("UnrecognizedClientException"), driver.ErrUnauthorized},
		{answer("InvalidSignatureException"), driver.ErrUnauthorized},
		{answer("AccessDeniedException"), nil}, // the policy may allow the queues that will be used
		{answer("QueueDoesNotExist"), nil},
	} {
		d, err := Open(t.Context(), "sqs://id:s%2Fhush@us-east-1/?"+url.Values{"endpoint": {row.endpoint}}.Encode())
		if !errors.Is(err, row.want) {
			t.Errorf("%s: the error is %v, want %v", row.endpoint, err, row.want)
		}
		if err == nil {
			closeAll(t, d)
			continue
		}
		if d != nil {
			t.Errorf("%s: a driver beside the error %v", row.endpoint, err)
		}
		if driver.FateOf(err) != driver.FateNotStored || strings.Contains(err.Error(), "hush") {
			t.Errorf("%v", err)
		}
	}
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // else the server does not see the client leave
		<-r.Context().Done()
	}))
	defer silent.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := Open(ctx, "sqs://id:secret@us-east-1/?"+url.Values{"endpoint": {silent.URL}}.Encode()); !errors.Is(err, driver.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a server that does not answer: %v", err)
	}
	options := newFake().client().Options()
	options.Credentials = noChain{}
	if d, err := New(t.Context(), awssqs.New(options), Options{}); d != nil || !errors.Is(err, driver.ErrUnauthorized) {
		t.Errorf("New without credentials: %v, %v", d, err)
	}
	if d, err := NewFIFO(t.Context(), awssqs.New(options), Options{}); d != nil || !errors.Is(err, driver.ErrUnauthorized) {
		t.Errorf("NewFIFO without credentials: %v, %v", d, err)
	}
	if d, err := OpenFIFO(t.Context(), "sqs+fifo://id:secret@us-east-1/?"+url.Values{"endpoint": {closedPort()}}.Encode()); d != nil || !errors.Is(err, driver.ErrUnavailable) {
		t.Errorf("OpenFIFO without a server: %v, %v", d, err)
	}
}

// What the SDK has to log goes nowhere: the errors say it.
func TestSDKIsSilent(t *testing.T) {
	c := config{region: "us-east-1", key: "id", secret: "secret", role: "arn:aws:iam::1:role/r"}.withDefaults()
	sdk, closeIdle, err := c.newSDKClient(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer closeIdle()
	for name, logger := range map[string]logging.Logger{"of the URL's client": sdk.Options().Logger, "of the driver's client": newClient(sdk).Options().Logger} {
		if _, ok := logger.(logging.Nop); !ok {
			t.Errorf("the logger %s is %T", name, logger)
		}
	}
}
