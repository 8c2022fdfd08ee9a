package sqs

import (
	"fmt"
	"strings"

	"github.com/batch-go/batch/driver"
)

// tooLarge is the error of a message that the queue does not take.
func tooLarge(op, queue string, e *entry, most int) error {
	return faults.Refuse(op, queue, driver.ErrTooLarge,
		fmt.Errorf("the message takes %d bytes and the queue %d", e.size(), most),
		"raise the queue's MaximumMessageSize, up to 1048576")
}

// compact is d without what a job of that kind can be read without: what has its
// default, and an ID that is that of message id. So no job is larger than another
// producer wrote it, but for what its history adds.
func (d meta) compact(id string) meta {
	if d.ID == id {
		d.ID = ""
	}
	if d.ContentType == defaultContentType {
		d.ContentType = ""
	}
	return d
}

// strip makes the entry of a dead letter fit, one of r: without headers, then with
// less and less of the error, then without all else that the job can be read without.
// What is left in the end is what r had, which fits as r did, and says no reason.
func (e *entry) strip(d meta, r *receipt, most int) {
	d.Headers, d.Bytes = nil, nil
	for e.attribute = d.text(); e.size() > most && d.Error != ""; e.attribute = d.text() {
		d.Error = strings.ToValidUTF8(d.Error[:len(d.Error)/2], "")
	}
	small := meta{Version: d.Version, ID: d.ID, Kind: d.Kind, ContentType: d.ContentType, Encoding: d.Encoding,
		history: history{Failures: d.Failures, Deliveries: d.Deliveries, Reason: d.Reason}}.compact(r.id)
	smallest := small
	smallest.history = history{Reason: d.Reason}
	for _, d := range []meta{small, smallest} {
		if e.size() > most {
			e.attribute = d.text()
		}
	}
	if e.size() > most {
		e.attribute = r.attribute
	}
}

// hidesReason tells whether a dead letter says no reason because there is no room for
// one beside it.
func (r *receipt) hidesReason(most int) bool {
	return r.err == nil && r.size()+len(`,"reason":"`)+len(driver.ReasonTooLarge)+len(`"`) > most
}

// again is the entry of a message that takes the place of r, of which no job was
// handed out this time, with lost times before it at which a holder vanished. If it
// would be larger than the queue takes, it forgets how often the job was handed out;
// and what does not fit even then becomes a dead letter as it is.
func (r *receipt) again(lost int, to destination, most int) *entry {
	e := r.notHandedOut(lost, to)
	if e.size() <= most {
		return e
	}
	e.attribute = r.attribute
	if left := r.untilDue(); left > 0 || r.meta.Due != 0 {
		d := r.meta.compact(r.id)
		e.to, e.delaySeconds = toRetry, d.setDelay(left)
		e.attribute = d.text()
		if e.size() > most {
			e.delaySeconds, e.to, e.attribute = 0, toDead, r.attribute
		}
	}
	return e
}

// unreadableEntry is the dead letter of a message that is no job: without a word if it
// is as large as can be.
func (r *receipt) unreadableEntry(err error, most int) *entry {
	e := r.unreadable(err)
	if e.size() > most {
		e.attribute = ""
	}
	return e
}

// redrivenEntry is the message that a dead letter becomes.
func (r *receipt) redrivenEntry(most int) *entry {
	d := r.meta
	d.history = history{}
	e := &entry{body: r.body, attribute: d.text(), token: r.id}
	if e.size() > most {
		d = d.compact(r.id)
		e.attribute = d.text()
	}
	if e.size() > most && r.meta.history == (history{}) {
		e.attribute = r.attribute // as it came here, see strip
	}
	return e
}
