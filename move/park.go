package move

import "github.com/batch-go/batch/driver"

// mostReason bounds the text of a parked job: it has to fit beside a job that is as large as the
// source takes one.
const mostReason = 500

// burial settles a parcel as dead.
func (p *parcel) burial(strip bool) driver.Settlement {
	text := p.refused.reason()
	if strip {
		text = "its headers are missing, as it did not fit with them and with this text; " + text
	}
	d := p.delivery
	return driver.Settlement{
		Delivery: d, Outcome: driver.OutcomeDead, Reason: driver.ReasonRefused, Error: cut(text, mostReason), Strip: strip,
		Failures: d.Failures, Bounces: d.Bounces, BouncedSince: d.BouncedSince,
	}
}

// cut is the beginning of a text, in n bytes at most.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && text[n]&0xC0 == 0x80 { // within a character
		n--
	}
	return text[:n]
}
