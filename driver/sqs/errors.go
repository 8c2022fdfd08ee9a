package sqs

import (
	"context"
	"errors"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
)

// faults makes the errors of this driver.
var faults = fault.Maker{Driver: Name, Classify: classify}

// fail makes a driver error of what an operation ended with.
func fail(op, queue string, err error) error { return faults.Fail(op, queue, err) }

// closed is the error of an operation after Close.
func closed(op, queue string) error { return faults.Closed(op, queue) }

// invalid is the error of a URL or option that cannot be.
func invalid(err error) error { return faults.Invalid(err) }

// noCredentials marks the error of the SDK's credential chain.
type noCredentials struct{ error }

// Unwrap makes the chain's own error reachable.
func (e noCredentials) Unwrap() error { return e.error }

// entryError is what SQS says of one entry of a batch request.
type entryError struct{ code, message string }

// Error is code and message as SQS gave them.
func (e entryError) Error() string {
	if e.message == "" {
		return e.code
	}
	return e.code + ": " + e.message
}

// entryErrorOf reads the answer's account of an entry that failed.
func entryErrorOf(failed *types.BatchResultErrorEntry) error {
	var e entryError
	if failed.Code != nil {
		e.code = *failed.Code
	}
	if failed.Message != nil {
		e.message = *failed.Message
	}
	return e
}

// errCutOff is why a call ended that was under way when Close gave up waiting.
var errCutOff = errors.New("Close cut the call off")

// endOf is why a context of the driver's own ended: errCutOff, or else the end of the
// caller's.
func endOf(ctx context.Context) error {
	if context.Cause(ctx) == errCutOff {
		return errCutOff
	}
	return ctx.Err()
}

// closedIdle is what net/http says of a connection that it kept for further requests
// and whose end it saw when it had just taken it for one. The error has no type.
const closedIdle = "http: server closed idle connection"

// errNotMentioned is for an entry of which the answer to a batch says nothing.
var errNotMentioned = errors.New("the answer does not mention the entry")

// classify says what an error of the SDK or of SQS means. Each branch says why;
// errors_test.go has a row for each.
func classify(err error) fault.Verdict {
	var credentials noCredentials
	unsigned := errors.As(err, &credentials)
	if !unsigned && fault.IsDial(err) && !errors.Is(err, context.Canceled) {
		// There was never a connection, so nothing was sent. First, as a dial that took too
		// long is a context.DeadlineExceeded although no ctx ended; where the caller's did,
		// the SDK leaves the dial out.
		return fault.NotStored(driver.ErrUnavailable, "is the endpoint right, and reachable from here?")
	}
	if errors.Is(err, errCutOff) {
		return fault.Unknown(driver.ErrClosed, "") // the request was under way
	}
	for _, ended := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, ended) {
			// The caller's ctx ended while the request was under way.
			return fault.Unknown(ended, "")
		}
	}
	if unsigned {
		// A request without a signature is never sent.
		return fault.NotStored(driver.ErrUnauthorized,
			"the SDK found no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile or a role, or put them into the URL")
	}
	var entry entryError
	if errors.As(err, &entry) {
		return classifyCode(entry.code, entry.message)
	}
	if errors.As(err, new(lacking)) {
		return fault.Unknown(driver.ErrUnsupported, "use another server: this one is not compatible enough with SQS")
	}
	for _, odd := range []error{errNotMentioned, errDamaged, errNoURL, errNotPaged} {
		if errors.Is(err, odd) {
			return fault.Unknown(driver.ErrBroker, "")
		}
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		v := classifyCode(api.ErrorCode(), api.ErrorMessage())
		if operation := (*smithy.OperationError)(nil); v.Hint == hintPermission && errors.As(err, &operation) {
			// IAM has no actions of their own for batches.
			v.Hint = "the policy must allow sqs:" + strings.TrimSuffix(operation.Operation(), "Batch") + "; the package documentation says what each call needs"
		}
		return v
	}
	if fault.IsName(err) {
		return fault.NotStored(driver.ErrUnavailable, "the endpoint's name cannot be resolved: is the region right?")
	}
	if errors.Is(err, errEnded) || strings.Contains(err.Error(), closedIdle) {
		// The connection had been closed before the request was on its way: the server
		// answers nothing that comes after that.
		return fault.NotStored(driver.ErrUnavailable, "")
	}
	if fault.IsTLS(err) {
		return fault.NotStored(driver.ErrUnavailable, "the server's certificate is not trusted: its authority is given by tls_ca or AWS_CA_BUNDLE")
	}
	// Anything else broke off somewhere between the first byte sent and the last
	// one read.
	return fault.Unknown(driver.ErrUnavailable, "")
}

// isDenied tells whether the credentials are good and a policy does not allow the
// request.
func isDenied(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api) && classifyCode(api.ErrorCode(), api.ErrorMessage()).Hint == hintPermission
}

const (
	hintCredentials = "the credentials are not those of an account: check the key, its secret and the session token"
	hintPermission  = "the policy must allow sqs:GetQueueUrl, GetQueueAttributes, CreateQueue, SendMessage, ReceiveMessage, DeleteMessage, ChangeMessageVisibility on the queue and its companions, DeleteQueue to delete it, and ListQueues to list queues"
	hintClock       = "the clock of this machine is wrong: SQS refuses signatures more than 15 minutes old"
	hintMissing     = "the queue, or its queue for dead letters or retries, does not exist"
	hintThrottled   = "SQS throttles: it may work a little later; a FIFO queue needs high throughput mode beyond 300 requests a second"
)

// codes are the errors of the service that mean more than that it failed. Older
// servers and the query protocol prefix them with "AWS.SimpleQueueService.",
// which is cut off before. The sources are the lists of errors of the actions:
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html
// and the pages of each action.
var codes = map[string]fault.Verdict{
	"QueueDoesNotExist":    fault.NotStored(driver.ErrNotFound, hintMissing),
	"NonExistentQueue":     fault.NotStored(driver.ErrNotFound, hintMissing),
	"QueueNameExists":      fault.NotStored(driver.ErrConflict, "a queue of this name exists with other attributes"),
	"QueueAlreadyExists":   fault.NotStored(driver.ErrConflict, "a queue of this name exists with other attributes"),
	"QueueDeletedRecently": fault.NotStored(driver.ErrUnavailable, "a queue of this name was deleted less than 60 seconds ago, and SQS makes none of the same name before: try again after that, or take another name"),

	// The credentials or the permission. None of them will do better next time.
	"AccessDenied":                fault.NotStored(driver.ErrUnauthorized, hintPermission),
	"AccessDeniedException":       fault.NotStored(driver.ErrUnauthorized, hintPermission),
	"NotAuthorized":               fault.NotStored(driver.ErrUnauthorized, hintPermission),
	"KmsAccessDenied":             fault.NotStored(driver.ErrUnauthorized, "the queue is encrypted by a KMS key that these credentials may not use"),
	"InvalidClientTokenId":        fault.NotStored(driver.ErrUnauthorized, hintCredentials),
	"UnrecognizedClientException": fault.NotStored(driver.ErrUnauthorized, hintCredentials),
	"InvalidAccessKeyId":          fault.NotStored(driver.ErrUnauthorized, hintCredentials),
	"MissingAuthenticationToken":  fault.NotStored(driver.ErrUnauthorized, hintCredentials),
	"IncompleteSignature":         fault.NotStored(driver.ErrUnauthorized, hintCredentials),
	"OptInRequired":               fault.NotStored(driver.ErrUnauthorized, "the account is not subscribed to SQS in this region"),
	"ExpiredToken":                fault.NotStored(driver.ErrUnauthorized, "the session's credentials have expired"),
	"ExpiredTokenException":       fault.NotStored(driver.ErrUnauthorized, "the session's credentials have expired"),
	"RequestExpired":              fault.NotStored(driver.ErrUnauthorized, hintClock),
	"RequestTimeTooSkewed":        fault.NotStored(driver.ErrUnauthorized, hintClock),
	"InvalidSecurity":             fault.NotStored(driver.ErrUnauthorized, "SQS wants HTTPS with signature version 4"),

	// The service refused before it did anything, and may not the next time.
	"RequestThrottled":                       fault.NotStored(driver.ErrUnavailable, hintThrottled),
	"ThrottlingException":                    fault.NotStored(driver.ErrUnavailable, hintThrottled),
	"Throttling":                             fault.NotStored(driver.ErrUnavailable, hintThrottled),
	"ThrottledException":                     fault.NotStored(driver.ErrUnavailable, hintThrottled),
	"RequestThrottledException":              fault.NotStored(driver.ErrUnavailable, hintThrottled),
	"TooManyRequestsException":               fault.NotStored(driver.ErrUnavailable, hintThrottled),
	"RequestLimitExceeded":                   fault.NotStored(driver.ErrUnavailable, hintThrottled),
	"BandwidthLimitExceeded":                 fault.NotStored(driver.ErrUnavailable, hintThrottled),
	"SlowDown":                               fault.NotStored(driver.ErrUnavailable, hintThrottled),
	"KmsThrottled":                           fault.NotStored(driver.ErrUnavailable, "KMS throttles: let SQS reuse data keys for longer"),
	"OverLimit":                              fault.NotStored(driver.ErrUnavailable, "120 000 jobs of this queue are handed out, which is as many as SQS allows"),
	"PurgeQueueInProgress":                   fault.NotStored(driver.ErrUnavailable, "the queue was purged less than 60 seconds ago"),
	"ProvisionedThroughputExceededException": fault.NotStored(driver.ErrUnavailable, hintThrottled),

	// The service failed, and does not say how far it had got.
	"InternalFailure":             fault.Unknown(driver.ErrUnavailable, ""),
	"InternalError":               fault.Unknown(driver.ErrUnavailable, ""),
	"InternalServerError":         fault.Unknown(driver.ErrUnavailable, ""),
	"ServiceUnavailable":          fault.Unknown(driver.ErrUnavailable, ""),
	"ServiceUnavailableException": fault.Unknown(driver.ErrUnavailable, ""),
	"RequestTimeout":              fault.Unknown(driver.ErrUnavailable, ""),
	"RequestTimeoutException":     fault.Unknown(driver.ErrUnavailable, ""),

	// A delivery that is not held any more.
	"ReceiptHandleIsInvalid": fault.NotStored(driver.ErrLeaseLost, ""),
	"MessageNotInflight":     fault.NotStored(driver.ErrLeaseLost, ""),

	"BatchRequestTooLong":    fault.NotStored(driver.ErrTooLarge, ""),
	"InvalidMessageContents": fault.NotStored(driver.ErrBroker, ""),
	"UnsupportedOperation":   fault.NotStored(driver.ErrUnsupported, ""),
}

// classifyCode says what an error code of the service means.
func classifyCode(code, message string) fault.Verdict {
	code = strings.TrimPrefix(code, "AWS.SimpleQueueService.")
	if v, ok := codes[code]; ok {
		return v
	}
	lower := strings.ToLower(message)
	switch code {
	case "SignatureDoesNotMatch", "InvalidSignatureException", "AuthFailure":
		// One code for a wrong secret and for a wrong clock; the text tells.
		if strings.Contains(lower, "expired") || strings.Contains(lower, "not yet current") {
			return fault.NotStored(driver.ErrUnauthorized, hintClock)
		}
		return fault.NotStored(driver.ErrUnauthorized, hintCredentials)
	case "InvalidParameterValue", "InvalidParameterValueException":
		switch {
		case strings.Contains(lower, "total visibilitytimeout"):
			// The delivery is still held, but not for longer:
			// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibility.html
			return fault.NotStored(driver.ErrBroker, "SQS lets a job be held for 12 hours at most")
		case strings.Contains(lower, "receipt handle") || strings.Contains(lower, "receipthandle") ||
			strings.Contains(lower, "not available for visibility timeout change"):
			// How FIFO queues and ChangeMessageVisibility call a lease that ended.
			return fault.NotStored(driver.ErrLeaseLost, "")
		case strings.Contains(lower, "must be shorter than") || strings.Contains(lower, "bytes"):
			return fault.NotStored(driver.ErrTooLarge, "")
		}
	}
	// The service understood the request well enough to refuse it.
	return fault.NotStored(driver.ErrBroker, "")
}
