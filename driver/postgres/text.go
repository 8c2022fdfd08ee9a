package postgres

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/batch-go/batch/driver"
)

// isText tells whether the server stores s as a text: it takes all of UTF-8 but the NUL.
func isText(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

// checkText refuses a message with a text that the server would not store, as one that was imported from
// elsewhere may have: it would refuse all others of the call with it. The reason is that of a dead letter.
func checkText(op, queue string, m *driver.Message, reason string) error {
	what := ""
	switch {
	case !isText(m.ID):
		what = "ID"
	case !isText(m.Kind):
		what = "kind"
	case !isText(m.ContentType):
		what = "content type"
	case !isText(m.DedupKey):
		what = "dedup key"
	case !isText(m.Group):
		what = "group"
	case !isText(reason):
		what = "reason"
	}
	for name := range m.Headers {
		if !utf8.ValidString(name) { // the values are stored as bytes
			what = "name of a header"
		}
	}
	if what == "" {
		return nil
	}
	return faults.Refuse(op, queue, driver.ErrConfig, fmt.Errorf("the %s of job %q is no text: it has a NUL or is not UTF-8", what, m.ID), "")
}

// checkNew refuses a message that cannot be enqueued.
func checkNew(op, queue string, m *driver.Message) error {
	if err := faults.CheckDelay(op, queue, m, maxDelay); err != nil {
		return err
	}
	return checkText(op, queue, m, "")
}
