package sqs

import (
	"context"
	"errors"
	"net"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"github.com/batch-go/batch/driver"
)

// notSent marks the error of a ctx that ended before anything was sent.
type notSent struct{ error }

// Unwrap makes the error of ctx reachable.
func (e notSent) Unwrap() error { return e.error }

// noCredentials marks the error of the SDK's credential chain.
type noCredentials struct{ error }

// Unwrap makes the chain's own error reachable.
func (e noCredentials) Unwrap() error { return e.error }

// refusal is what SQS says of one entry of a batch request.
type refusal struct{ code, message string }

// Error is code and message as SQS gave them.
func (r refusal) Error() string {
	if r.message == "" {
		return r.code
	}
	return r.code + ": " + r.message
}

// errSilent is for an entry of which the answer to a batch says nothing.
var errSilent = errors.New("the answer does not mention the entry")

// refused is the error of one entry.
func refused(e *types.BatchResultErrorEntry) error {
	r := refusal{}
	if e.Code != nil {
		r.code = *e.Code
	}
	if e.Message != nil {
		r.message = *e.Message
	}
	return r
}

// fail makes a driver error of what an operation ended with.
func fail(op, queue string, err error) error {
	if err == nil {
		return nil
	}
	if done, ok := err.(*driver.Error); ok {
		return done
	}
	v := classify(err)
	if v.kind == err {
		err = nil
	}
	return &driver.Error{Driver: Name, Op: op, Queue: queue, Kind: v.kind, Fate: v.fate, Err: err, Hint: v.hint}
}

// closed is the error of an operation after Close.
func closed(op, queue string) error {
	return &driver.Error{Driver: Name, Op: op, Queue: queue, Kind: driver.ErrClosed, Fate: driver.FateNotStored}
}

// verdict is what an error means.
type verdict struct {
	kind error
	fate driver.Fate
	hint string
}

// classify says what an error of the SDK or of SQS means. Each branch says why;
// errors_test.go has a row for each.
func classify(err error) verdict {
	var before notSent
	if errors.As(err, &before) {
		// The caller's ctx had ended: the call returned before it sent anything.
		return verdict{before.error, driver.FateNotStored, ""}
	}
	for _, ended := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, ended) {
			// The caller's ctx ended while the request was under way.
			return verdict{ended, driver.FateUnknown, ""}
		}
	}
	var credentials noCredentials
	if errors.As(err, &credentials) {
		// A request without a signature is never sent.
		return verdict{driver.ErrUnauthorized, driver.FateNotStored,
			"the SDK found no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile or a role, or put them into the URL"}
	}
	var entry refusal
	if errors.As(err, &entry) {
		return classifyCode(entry.code, entry.message)
	}
	if errors.Is(err, errSilent) {
		return verdict{driver.ErrBroker, driver.FateUnknown, ""}
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		return classifyCode(api.ErrorCode(), api.ErrorMessage())
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		// There was never a connection, so nothing was sent.
		return verdict{driver.ErrUnavailable, driver.FateNotStored, "is the endpoint right, and reachable from here?"}
	}
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return verdict{driver.ErrUnavailable, driver.FateNotStored, "the endpoint's name cannot be resolved: is the region right?"}
	}
	// Anything else broke off somewhere between the first byte sent and the last
	// one read.
	return verdict{driver.ErrUnavailable, driver.FateUnknown, ""}
}

const (
	hintCredentials = "the credentials are not those of an account: check the key, its secret and the session token"
	hintPermission  = "the policy must allow sqs:GetQueueUrl, GetQueueAttributes, CreateQueue, SendMessage, ReceiveMessage, DeleteMessage, ChangeMessageVisibility on the queue and its companions, and DeleteQueue to delete it"
	hintClock       = "the clock of this machine is wrong: SQS refuses signatures more than 15 minutes old"
	hintThrottled   = "SQS throttles: it may work a little later; a FIFO queue needs high throughput mode beyond 300 requests a second"
)

// codes are the errors of the service that mean more than that it failed. Older
// servers and the query protocol prefix them with "AWS.SimpleQueueService.",
// which is cut off before. The sources are the lists of errors of the actions:
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html
// and the pages of each action.
var codes = map[string]verdict{
	"QueueDoesNotExist":    {driver.ErrNotFound, driver.FateNotStored, ""},
	"NonExistentQueue":     {driver.ErrNotFound, driver.FateNotStored, ""},
	"QueueNameExists":      {driver.ErrConflict, driver.FateNotStored, "a queue of this name exists with other attributes"},
	"QueueAlreadyExists":   {driver.ErrConflict, driver.FateNotStored, "a queue of this name exists with other attributes"},
	"QueueDeletedRecently": {driver.ErrUnavailable, driver.FateNotStored, "a queue that was deleted can be made again after 60 seconds"},

	// The credentials or the permission. None of them will do better next time.
	"AccessDenied":                {driver.ErrUnauthorized, driver.FateNotStored, hintPermission},
	"AccessDeniedException":       {driver.ErrUnauthorized, driver.FateNotStored, hintPermission},
	"NotAuthorized":               {driver.ErrUnauthorized, driver.FateNotStored, hintPermission},
	"KmsAccessDenied":             {driver.ErrUnauthorized, driver.FateNotStored, "the queue is encrypted by a KMS key that these credentials may not use"},
	"InvalidClientTokenId":        {driver.ErrUnauthorized, driver.FateNotStored, hintCredentials},
	"UnrecognizedClientException": {driver.ErrUnauthorized, driver.FateNotStored, hintCredentials},
	"InvalidAccessKeyId":          {driver.ErrUnauthorized, driver.FateNotStored, hintCredentials},
	"MissingAuthenticationToken":  {driver.ErrUnauthorized, driver.FateNotStored, hintCredentials},
	"IncompleteSignature":         {driver.ErrUnauthorized, driver.FateNotStored, hintCredentials},
	"OptInRequired":               {driver.ErrUnauthorized, driver.FateNotStored, "the account is not subscribed to SQS in this region"},
	"ExpiredToken":                {driver.ErrUnauthorized, driver.FateNotStored, "the session's credentials have expired"},
	"ExpiredTokenException":       {driver.ErrUnauthorized, driver.FateNotStored, "the session's credentials have expired"},
	"RequestExpired":              {driver.ErrUnauthorized, driver.FateNotStored, hintClock},
	"RequestTimeTooSkewed":        {driver.ErrUnauthorized, driver.FateNotStored, hintClock},
	"InvalidSecurity":             {driver.ErrUnauthorized, driver.FateNotStored, "SQS wants HTTPS with signature version 4"},

	// The service refused before it did anything, and may not the next time.
	"RequestThrottled":                       {driver.ErrUnavailable, driver.FateNotStored, hintThrottled},
	"ThrottlingException":                    {driver.ErrUnavailable, driver.FateNotStored, hintThrottled},
	"Throttling":                             {driver.ErrUnavailable, driver.FateNotStored, hintThrottled},
	"ThrottledException":                     {driver.ErrUnavailable, driver.FateNotStored, hintThrottled},
	"RequestThrottledException":              {driver.ErrUnavailable, driver.FateNotStored, hintThrottled},
	"TooManyRequestsException":               {driver.ErrUnavailable, driver.FateNotStored, hintThrottled},
	"RequestLimitExceeded":                   {driver.ErrUnavailable, driver.FateNotStored, hintThrottled},
	"BandwidthLimitExceeded":                 {driver.ErrUnavailable, driver.FateNotStored, hintThrottled},
	"SlowDown":                               {driver.ErrUnavailable, driver.FateNotStored, hintThrottled},
	"KmsThrottled":                           {driver.ErrUnavailable, driver.FateNotStored, "KMS throttles: let SQS reuse data keys for longer"},
	"OverLimit":                              {driver.ErrUnavailable, driver.FateNotStored, "120 000 jobs of this queue are handed out, which is as many as SQS allows"},
	"PurgeQueueInProgress":                   {driver.ErrUnavailable, driver.FateNotStored, "the queue was purged less than 60 seconds ago"},
	"ProvisionedThroughputExceededException": {driver.ErrUnavailable, driver.FateNotStored, hintThrottled},

	// The service failed, and does not say how far it had got.
	"InternalFailure":             {driver.ErrUnavailable, driver.FateUnknown, ""},
	"InternalError":               {driver.ErrUnavailable, driver.FateUnknown, ""},
	"InternalServerError":         {driver.ErrUnavailable, driver.FateUnknown, ""},
	"ServiceUnavailable":          {driver.ErrUnavailable, driver.FateUnknown, ""},
	"ServiceUnavailableException": {driver.ErrUnavailable, driver.FateUnknown, ""},
	"RequestTimeout":              {driver.ErrUnavailable, driver.FateUnknown, ""},
	"RequestTimeoutException":     {driver.ErrUnavailable, driver.FateUnknown, ""},

	// A delivery that is not held any more.
	"ReceiptHandleIsInvalid": {driver.ErrLeaseLost, driver.FateNotStored, ""},
	"MessageNotInflight":     {driver.ErrLeaseLost, driver.FateNotStored, ""},

	"BatchRequestTooLong":    {driver.ErrTooLarge, driver.FateNotStored, ""},
	"InvalidMessageContents": {driver.ErrBroker, driver.FateNotStored, ""},
	"UnsupportedOperation":   {driver.ErrUnsupported, driver.FateNotStored, ""},
}

// classifyCode says what an error code of the service means.
func classifyCode(code, message string) verdict {
	code = strings.TrimPrefix(code, "AWS.SimpleQueueService.")
	if v, ok := codes[code]; ok {
		return v
	}
	lower := strings.ToLower(message)
	switch code {
	case "SignatureDoesNotMatch", "InvalidSignatureException", "AuthFailure":
		// One code for a wrong secret and for a wrong clock; the text tells.
		if strings.Contains(lower, "expired") || strings.Contains(lower, "not yet current") {
			return verdict{driver.ErrUnauthorized, driver.FateNotStored, hintClock}
		}
		return verdict{driver.ErrUnauthorized, driver.FateNotStored, hintCredentials}
	case "InvalidParameterValue", "InvalidParameterValueException":
		switch {
		case strings.Contains(lower, "total visibilitytimeout"):
			// The delivery is still held, but not for longer:
			// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibility.html
			return verdict{driver.ErrBroker, driver.FateNotStored, "SQS lets a job be held for 12 hours at most"}
		case strings.Contains(lower, "receipt handle") || strings.Contains(lower, "receipthandle") ||
			strings.Contains(lower, "not available for visibility timeout change"):
			// How FIFO queues and ChangeMessageVisibility call a lease that ended.
			return verdict{driver.ErrLeaseLost, driver.FateNotStored, ""}
		case strings.Contains(lower, "must be shorter than") || strings.Contains(lower, "bytes"):
			return verdict{driver.ErrTooLarge, driver.FateNotStored, ""}
		}
	}
	// The service understood the request well enough to refuse it.
	return verdict{driver.ErrBroker, driver.FateNotStored, ""}
}

// all repeats an error of a whole call for each of its n items.
func all(n int, err error) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}
