package nats

import (
	"fmt"
	"math"

	natsgo "github.com/nats-io/nats.go"
)

// fits refuses an entry that the server would not take, before anything is sent: it
// counts the length of headers in 16 bits, and ends a connection that sends more than
// its max_payload.
func (d *Driver) fits(e *entry) error {
	headers := len(e.header)
	if e.header.has(natsSchedule) {
		headers += len(e.subject) + 64 // what the server adds when it is due
	}
	if headers > math.MaxUint16 || headers+len(e.data) > d.payload {
		return fmt.Errorf("%w: with %d bytes of body and %d of headers", errUnfit, len(e.data), headers)
	}
	return nil
}

// shortError is what is left of an error's text where it must be short.
const shortError = 128

// stripped makes a dead letter of a job that did not fit: without the application's
// headers, and with as much of the error's text, and of the body of a foreign job, as
// fits.
func (d *Driver) stripped(n *names, j *job, extra ...string) entry {
	j.Headers = nil
	e := n.deadEntry(j, extra...)
	if d.fits(&e) == nil {
		return e
	}
	j.lastError = j.lastError[:min(len(j.lastError), shortError)]
	if e = n.deadEntry(j, extra...); d.fits(&e) == nil {
		return e
	}
	// Our own jobs are never this large: see limitsFor.
	whole := len(j.Body)
	j.Body = j.Body[:min(whole, max(0, d.payload-2*shortError-len(e.header)))]
	j.lastError = fmt.Sprintf("the body is cut: it had %d bytes, and the server takes %d in all", whole, d.payload)
	return n.deadEntry(j, extra...)
}

// errUnfit is the error of a job that does not fit the server with its history.
var errUnfit = fmt.Errorf("%w or its headers", natsgo.ErrMaxPayload)
