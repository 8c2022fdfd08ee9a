package redis

import (
	"context"

	goredis "github.com/redis/go-redis/v9"

	"github.com/batch-go/batch/driver"
)

// enqueuePlain stores a job that is ready at once and needs no bookkeeping, by two commands in
// one round trip, which take the server a third of the time of a script. XADD stores it, in a
// stream that is there: with DeleteQueue the streams are gone. COPY makes the token in wake of
// that in token, if there is none, so that a consumer looks. False says that nothing is stored
// yet, and that a script is to.
func (d *Driver) enqueuePlain(ctx context.Context, queue string, m *driver.Message) (stored bool, err error) {
	n := d.names(queue)
	s := argStrings{strings: make([]string, 0, 4)}
	add := make([]any, 0, 12)
	add = append(add, "xadd", n.shared[streamOf(m.Level)-1], "nomkstream", "*",
		fieldJob, s.add(jobField(&s, m)), fieldBody, s.add(unsafeString(m.Body)))
	add = appendOptional(add, &s, m)
	reply, woken, err := d.conn.storePlain(ctx, add, n.copyToken[:])
	if err != nil {
		return false, err
	}
	r := reader{buf: reply}
	id := r.bytes()
	if se, ok := r.err.(serverError); ok && misdirected(se) {
		return false, nil // eval sees to it that the client library learns of that
	}
	if r.err != nil || id == nil {
		return false, r.err
	}
	if errorOf(woken) != nil {
		// The user lacks the right to COPY, which older versions did not use. A token too many
		// costs a consumer an empty look, and without one the job waits for the next look.
		d.noCopy.Store(true)
		_, _, _ = d.conn.storePlain(ctx, []any{"rpush", n.wake, "1"}, []any{"pexpire", n.wake, "3600000"})
	}
	return true, nil
}

// takesPlain tells whether enqueuePlain is for these messages, which need no bookkeeping. On a
// cluster, and to wait for replicas, a script is one command for one server.
func (d *Driver) takesPlain(messages []*driver.Message) bool {
	_, single := d.conn.client.(*goredis.Client)
	return single && len(messages) == 1 && !d.conn.durability.wanted() && !d.noCopy.Load()
}
