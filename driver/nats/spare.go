package nats

import (
	"strconv"
	"time"
)

// spare leaves an entry to its holder that the server hands out again, and tells whether
// there is one.
func (d *Driver) spare(h *holders, reply string, seq uint64, delivered int64) bool {
	left, held := h.spare(seq, delivered)
	if held {
		d.keepFor(reply, left)
	}
	return held
}

// keepFor has the server keep an entry for a time before it hands it out again. What gets
// lost is made up for by the holder's next extension, or by the server's own lease.
func (d *Driver) keepFor(reply string, left time.Duration) {
	_ = d.conn.current.Load().publish(reply, "", nil, lease(left)) // as above
}

// lease asks the server for a lease of a length.
func lease(length time.Duration) []byte {
	return []byte(`-NAK {"delay":` + strconv.FormatInt(int64(length), 10) + `}`)
}
