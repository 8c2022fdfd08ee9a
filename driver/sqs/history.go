package sqs

import "time"

// history is what has become of a job so far. It is zero in a job that is enqueued
// or redriven.
type history struct {
	Failures int    `json:"failures"`
	Error    string `json:"error"`
	Bounces  int    `json:"bounces"`
	// Bounced is when the first of the bounces was, in ms since 1970.
	Bounced int64 `json:"bounced"`
	// Deliveries and Lost are how often the messages that had the job before this one
	// were handed out, and how often their holders vanished since the job was last
	// settled with another outcome than a release. What SQS counts of this message
	// comes on top.
	Deliveries int `json:"deliveries"`
	Lost       int `json:"lost"`
	// Reason is why a dead letter died. Died is when, in ms since 1970, if that was not
	// when this message was sent.
	Reason string `json:"reason"`
	Died   int64  `json:"died"`
}

// millisOf is a time in ms since 1970, and 0 for none.
func millisOf(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// timeOf is the inverse of millisOf.
func timeOf(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
