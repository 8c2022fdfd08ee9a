package batch

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/wire"
)

// The bounds of names are what all brokers accept, so that a program that runs on
// one of them runs on all.
const (
	maxQueueName   = 64  // SQS takes 80, less what a driver appends (".fifo", "-dead")
	maxKind        = 128 // well below SQS's attribute values and AMQP's short strings
	maxToken       = 128 // that of SQS's deduplication and group IDs
	maxHeaders     = 100
	maxHeaderName  = 64
	reservedPrefix = "batch-"
)

// invalid is the error for a value that is out of bounds.
func invalid(field, value, bound string) *InvalidError {
	return &InvalidError{Field: field, Value: value, Bound: bound}
}

// quote shows a value in an error, shortened so that a megabyte by mistake does
// not end up in a log line.
func quote(s string) string {
	const most = 80
	if len(s) > most {
		return strconv.Quote(s[:most]) + "..."
	}
	return strconv.Quote(s)
}

// maxErrorText bounds what is stored of an error with a job: enough to tell what
// happened, small beside the job, and within every broker's limits.
const maxErrorText = 2048

// ellipsis stands for what was cut off.
const ellipsis = "..."

// shorten makes the text of an error fit to be stored.
func shorten(text string) string { return shortenTo(text, maxErrorText) }

// shortenTo makes a text valid UTF-8 of at most most bytes.
func shortenTo(text string, most int) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most-len(ellipsis)], "") + ellipsis // the cut may be inside a rune
	}
	return text
}

// checkDriver refuses nil interfaces, and nil pointers inside of them.
func checkDriver(d driver.Driver) error {
	v := reflect.ValueOf(d)
	if d == nil || v.Kind() == reflect.Pointer && v.IsNil() {
		return invalid("driver", "nil", "an open driver")
	}
	return nil
}

// checkQueueName refuses a name that a queue cannot have.
func checkQueueName(name string) error {
	ok := len(name) >= 1 && len(name) <= maxQueueName
	for i := 0; ok && i < len(name); i++ {
		ok = isAlphanumeric(name[i]) || name[i] == '-' || name[i] == '_'
	}
	if !ok {
		return invalid("queue name", quote(name), fmt.Sprintf("1 to %d bytes of [A-Za-z0-9_-]", maxQueueName))
	}
	return nil
}

// kindOf is the kind of a job with these args.
func kindOf(args Args) (string, error) {
	kind, err := callKind(args)
	if err == nil {
		err = checkKind(kind)
	}
	return kind, err
}

// checkKind refuses what is no name of a kind.
func checkKind(kind string) error {
	ok := len(kind) >= 1 && len(kind) <= maxKind
	for i := 0; ok && i < len(kind); i++ {
		ok = isAlphanumeric(kind[i]) || strings.IndexByte("._:/-", kind[i]) >= 0
	}
	if !ok {
		return invalid("kind", quote(kind), fmt.Sprintf("1 to %d bytes of [A-Za-z0-9._:/-]", maxKind))
	}
	return nil
}

// callKind calls Kind. It panics if args is a nil pointer and Kind has a value
// receiver, which becomes an error.
func callKind(args Args) (kind string, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = invalid("args", fmt.Sprintf("of type %T", args), "a value whose Kind method does not panic, and not a nil pointer")
		}
	}()
	return args.Kind(), nil
}

// checkToken is for IDs, keys and group names. The tokens of a NATS subject are
// narrower, but a driver can encode these.
func checkToken(field, s string) error {
	if !wire.IsToken(s) {
		return invalid(field, quote(s), fmt.Sprintf("1 to %d bytes of printable ASCII without spaces", maxToken))
	}
	return nil
}

// checkHeaderName refuses a name that a header cannot have.
func checkHeaderName(name string) error {
	ok := len(name) >= 1 && len(name) <= maxHeaderName
	for i := 0; ok && i < len(name); i++ {
		ok = isAlphanumeric(name[i]) || strings.IndexByte("_.-", name[i]) >= 0
	}
	if !ok {
		return invalid("header name", quote(name), fmt.Sprintf("1 to %d bytes of [A-Za-z0-9_.-]", maxHeaderName))
	}
	if len(name) >= len(reservedPrefix) && strings.EqualFold(name[:len(reservedPrefix)], reservedPrefix) {
		return invalid("header name", quote(name), "a name that does not start with "+reservedPrefix+", which is reserved")
	}
	return nil
}

// setHeaders gives a message the headers that the application's code made.
func setHeaders(m *driver.Message, headers map[string]string) error {
	for name := range headers {
		if err := checkHeaderName(name); err != nil {
			return err
		}
	}
	m.Headers = nil
	if len(headers) > 0 {
		m.Headers = headers
	}
	return nil
}

// checkContentType refuses what a codec may not have as its content type.
func checkContentType(s string) error {
	if !wire.IsMediaType(s) {
		return invalid("content type", quote(s), fmt.Sprintf("1 to %d bytes of printable ASCII", maxToken))
	}
	return nil
}

// checkPage bounds the length of a page of jobs.
func checkPage(n int) error {
	if n < 1 || n > 1000 {
		return invalid("page size", strconv.Itoa(n), "1 to 1000")
	}
	return nil
}

// checkMessage refuses a message that no driver may be handed, whatever its limits:
// one that was read from somewhere, and not made by options.
func checkMessage(m *driver.Message) error {
	if err := checkToken("ID", m.ID); err != nil {
		return err
	}
	if err := checkKind(m.Kind); err != nil {
		return err
	}
	if err := checkContentType(m.ContentType); err != nil {
		return err
	}
	for name := range m.Headers {
		if err := checkHeaderName(name); err != nil {
			return err
		}
	}
	if m.DedupKey != "" && !wire.IsToken(m.DedupKey) {
		return checkToken("Unique key", m.DedupKey)
	}
	if within := m.DedupWithin; within != 0 && (m.DedupKey == "" || within < time.Second) {
		return invalid("UniqueWithin", within.String(), "1s or longer, of a Unique key")
	}
	if m.Group != "" && !wire.IsToken(m.Group) {
		return checkToken("Group", m.Group)
	}
	if m.MaxAttempts != 0 {
		if err := checkMaxAttempts(m.MaxAttempts); err != nil {
			return err
		}
	}
	if m.Timeout != 0 {
		if err := checkTimeout(m.Timeout); err != nil {
			return err
		}
	}
	if err := checkLevel(m.Level); err != nil {
		return err
	}
	if m.EnqueuedAt.IsZero() {
		return invalid("time of the enqueue", "", "set")
	}
	return nil
}

// checkSize refuses a message that is too large for the driver, before anything is
// sent.
func checkSize(m *driver.Message, info *driver.Info) error {
	if len(m.Body) > info.Limits.MaxBody {
		e := invalid("body", fmt.Sprintf("of %d bytes", len(m.Body)), fmt.Sprintf("at most %d bytes on %s", info.Limits.MaxBody, info.Driver))
		e.Err = ErrTooLarge
		return e
	}
	if len(m.Headers) == 0 {
		return nil
	}
	if len(m.Headers) > maxHeaders {
		return invalid("headers", fmt.Sprintf("of %d names", len(m.Headers)), fmt.Sprintf("at most %d", maxHeaders))
	}
	if size := m.HeaderSize(); size > info.Limits.MaxHeaders {
		e := invalid("headers", fmt.Sprintf("of %d bytes", size), fmt.Sprintf("at most %d bytes of names and values on %s", info.Limits.MaxHeaders, info.Driver))
		e.Err = ErrTooLarge
		return e
	}
	return nil
}

// isAlphanumeric is about ASCII.
func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// checkLevel refuses what is none of the five levels.
func checkLevel(level Level) error {
	if !level.Valid() {
		return invalid("Priority", level.String(), "one of Trivial, Low, Normal, High, Critical")
	}
	return nil
}

// maxMaxAttempts bounds the number of attempts.
const maxMaxAttempts = 1000

// checkMaxAttempts bounds the number of attempts of a job or a kind.
func checkMaxAttempts(n int) error {
	if n < 1 || n > maxMaxAttempts {
		return invalid("MaxAttempts", strconv.Itoa(n), "1 to 1000")
	}
	return nil
}

// minTimeout and maxTimeout bound the timeout of a job.
const (
	minTimeout = time.Millisecond
	maxTimeout = 30 * 24 * time.Hour
)

// checkTimeout bounds the timeout of a job or a kind.
func checkTimeout(d time.Duration) error {
	if d < minTimeout || d > maxTimeout {
		return invalid("Timeout", d.String(), "1ms to "+span(maxTimeout))
	}
	return nil
}

// checkDelay bounds a delay that the option field asks for with value, by the driver's
// MaxDelay.
func checkDelay(field, value string, d, most time.Duration) error {
	switch {
	case d < 0:
		return invalid(field, value, "zero or longer")
	case d > most:
		return invalid(field, value, "within "+span(most)+" from now on this driver")
	}
	return nil
}

// checkDedupWithin bounds the window of one key by the driver's DedupWindow.
func checkDedupWithin(within, most time.Duration) error {
	if within < time.Second || within > most {
		return invalid("UniqueWithin", within.String(), "1s to "+span(most)+" on this driver")
	}
	return nil
}

// span is a duration in words for people: in days, if it is a number of them.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= 2*day && d%day == 0 {
		return fmt.Sprintf("%d days", d/day)
	}
	return d.String()
}
