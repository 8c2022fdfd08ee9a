// Package uuid makes UUIDs of version 7 (RFC 9562): a time, and random bits. Those of one process are in
// the order in which they were made.
package uuid

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"sync/atomic"
	"time"
)

// last is the newest time that was given out, by any goroutine.
var last atomic.Int64

// NewV7 returns a new UUID of the time now, as text. It holds 62 random bits besides the time, so two processes that make
// one at the same time make different ones.
func NewV7(now time.Time) string {
	var id [16]byte
	rand.Read(id[8:]) // never fails: the runtime ends the program instead
	t := next(&last, now)
	binary.BigEndian.PutUint64(id[:], uint64(t>>12)<<16|0x7000|uint64(t&0xfff))
	id[8] = 0x80 | id[8]&0x3f
	return text(id)
}

// next returns a time that is later than all that it has returned before: milliseconds in the upper 52 bits
// and 4096ths of one in the lower 12. It is now, unless that was given out already or the clock was set back.
func next(last *atomic.Int64, now time.Time) int64 {
	const perMilli = int64(time.Millisecond)
	nanos := now.UnixNano()
	t := nanos/perMilli<<12 | nanos%perMilli<<12/perMilli
	for {
		before := last.Load()
		t = max(t, before+1)
		if last.CompareAndSwap(before, t) {
			return t
		}
	}
}

// text writes a UUID in its usual form.
func text(id [16]byte) string {
	var b [36]byte
	hex.Encode(b[0:8], id[0:4])
	b[8] = '-'
	hex.Encode(b[9:13], id[4:6])
	b[13] = '-'
	hex.Encode(b[14:18], id[6:8])
	b[18] = '-'
	hex.Encode(b[19:23], id[8:10])
	b[23] = '-'
	hex.Encode(b[24:36], id[10:16])
	return string(b[:])
}
