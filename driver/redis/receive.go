package redis

import (
	"context"
	"slices"

	goredis "github.com/redis/go-redis/v9"

	"github.com/batch-go/batch/driver"
)

const (
	// replyBudget is what one reply aims to stay below, so that a queue of large
	// bodies does not fill the memory of both sides; as in receive.lua.
	replyBudget = 8 << 20
	// firstChunk is how many jobs are read before anything is known of their
	// size: 32 of the largest are 512 MiB, and 32 small ones no detour.
	firstChunk = 32
	// pinned is the largest reply whose memory its jobs share. Beyond it each is
	// copied out, so that one long job does not keep megabytes of others alive.
	pinned = 1 << 20
	// bulkMin is from how many jobs on a bulk fetch is worth its three commands
	// more.
	bulkMin = 64
)

// receipt is what settles a delivery.
type receipt struct {
	stream int
	id     string
}

// Receive fetches, and while there is nothing waits for a token with another
// fetch behind it.
func (c *consumer) Receive(ctx context.Context, max int) ([]*driver.Delivery, error) {
	broken := false
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		got, err := c.fetch(ctx, max)
		if err != nil || len(got) > 0 {
			return got, err
		}
		w := c.wake.join(max)
		select {
		case f := <-w.ch:
			if len(f.got) > 0 {
				return f.got, nil
			}
			// A connection that broke while it waited is no failure if the next
			// fetch works. A second time in a row it is: whoever calls decides how
			// long to wait before the next try.
			if f.err != nil && broken {
				return nil, fail("receive", c.queue, f.err)
			}
			broken = f.err != nil
		case <-ctx.Done():
			c.wake.leave(w)
			return nil, ctx.Err()
		case <-c.done:
			c.wake.leave(w)
			return nil, closed("receive", c.queue)
		}
	}
}

// fetch gets what there is, if anything. When ctx or the consumer ends first,
// what the server hands out nevertheless is given back.
func (c *consumer) fetch(ctx context.Context, max int) ([]*driver.Delivery, error) {
	type outcome struct {
		got []*driver.Delivery
		err error
	}
	taken, gone := make(chan outcome), make(chan struct{})
	defer close(gone)
	running := c.spawn(func() {
		var o outcome
		o.got, o.err = c.fetchNow(max)
		select {
		case taken <- o:
		case <-gone:
			c.giveBack(o.got)
		}
	})
	if !running {
		return nil, closed("receive", c.queue)
	}
	select {
	case o := <-taken:
		return o.got, o.err
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-c.done:
		return nil, closed("receive", c.queue)
	}
}

func (c *consumer) fetchNow(max int) ([]*driver.Delivery, error) {
	for {
		chunk := c.chunk()
		var got []*driver.Delivery
		var bad []driver.Settlement
		var err error
		from := int(c.bulk.Load())
		if from > 0 && min(max, chunk) >= bulkMin {
			got, bad, err = c.fetchBulk(from, max, chunk)
		} else {
			from = 0
			got, bad, err = c.fetchPlain(max, chunk)
		}
		if err != nil {
			return nil, fail("receive", c.queue, err)
		}
		c.expect(max, got)
		if len(bad) > 0 {
			if err := c.bury(bad); err != nil {
				c.giveBack(got)
				return nil, err
			}
		}
		// A bulk fetch that found nothing only looked at some of the streams.
		if len(got) > 0 || len(bad) == 0 && from == 0 {
			return got, nil
		}
	}
}

// expect notes whether the next fetch is likely to be large and of one stream.
func (c *consumer) expect(max int, got []*driver.Delivery) {
	from := 0
	if n := len(got); n == max && n >= bulkMin {
		from = got[n-1].Receipt.(*receipt).stream
	}
	c.bulk.Store(int32(from))
}

func (c *consumer) fetchPlain(max, chunk int) (got []*driver.Delivery, bad []driver.Settlement, err error) {
	raw, err := c.d.eval(context.Background(), receiveScript, append(receiveScript.args(c.k, 4), max, c.name, chunk, 0))
	if err != nil {
		return nil, nil, err
	}
	return c.fetched(raw)
}

// fetched reads the reply of the fetch script.
func (c *consumer) fetched(raw []byte) (got []*driver.Delivery, bad []driver.Settlement, err error) {
	if err := errorOf(raw); err != nil {
		return nil, nil, err
	}
	r := reader{buf: raw}
	parts := c.told(&r)
	for ; parts >= 2 && r.err == nil; parts -= 2 {
		got, bad = c.entries(&r, int(r.int()), got, bad)
	}
	if r.err != nil {
		return nil, nil, r.err
	}
	c.weigh(len(raw), len(got)+len(bad))
	return got, bad, nil
}

// chunk is how many jobs a fetch may read before it looks at their size.
func (c *consumer) chunk() int {
	if per := c.perJob.Load(); per > 0 {
		return int(replyBudget/per) + 1
	}
	return firstChunk
}

// fetchBulk is fetchPlain with a plain XREADGROUP for one stream, if it is that
// one's turn; see receive.lua. It may find nothing although there are jobs.
func (c *consumer) fetchBulk(from, max, chunk int) (got []*driver.Delivery, bad []driver.Settlement, err error) {
	raws, err := c.d.transact(
		append(receiveScript.args(c.k, 4, c.k.reading), max, c.name, chunk, from),
		[]any{"xreadgroup", "group", groupName, c.name, "count", min(max, chunk), "streams", c.k.reading, ">"},
		append(receiveScript.args(c.k, 2, c.k.reading), "back", from),
	)
	if err != nil {
		if _, refused := err.(goredis.Error); refused {
			// EXEC was not carried out, or the script is not loaded: fetchPlain
			// says why, or loads it.
			return nil, nil, nil
		}
		return nil, nil, err
	}
	r := reader{buf: raws[0]}
	parts := c.told(&r)
	for ; parts >= 2 && r.err == nil; parts -= 2 {
		got, bad = c.entries(&r, int(r.int()), got, bad)
	}
	if r.err != nil {
		if _, refused := r.err.(serverError); refused {
			return nil, nil, nil
		}
		return nil, nil, r.err
	}
	r = reader{buf: raws[1]}
	if r.oneStream() {
		got, bad = c.entries(&r, from, got, bad)
	}
	if _, none := r.err.(serverError); r.err != nil && !none { // NOGROUP where it was not renamed
		return nil, nil, r.err
	}
	c.weigh(len(raws[0])+len(raws[1]), len(got)+len(bad))
	return got, bad, nil
}

// told reads what the reply of receive begins with, and returns how many parts
// follow.
func (c *consumer) told(r *reader) int {
	parts := r.array()
	wait, mine := r.int(), r.int() == 1
	if r.err == nil {
		c.plan(wait, mine)
	}
	return parts - 2
}

// weigh notes how large jobs are. It goes up at once and down slowly.
func (c *consumer) weigh(bytes, n int) {
	if n > 0 {
		per, before := int64(bytes/n)+1, c.perJob.Load()
		c.perJob.Store(max(per, (per+before)/2))
	}
}

// entries reads the entries of one stream: the jobs, and those that are none.
func (c *consumer) entries(r *reader, from int, got []*driver.Delivery, bad []driver.Settlement) ([]*driver.Delivery, []driver.Settlement) {
	n := r.array()
	if n > batchSize || from < 1 || from > len(levelNames) {
		r.fail(nil)
		return got, bad
	}
	copied := len(r.buf) > pinned
	deliveries := make([]driver.Delivery, n)
	receipts := make([]receipt, n)
	got = slices.Grow(got, n)
	for i := range n {
		if r.array() != 2 {
			r.fail(nil)
			return got, bad
		}
		id := r.bytes()
		var j job
		j.read(r, copied)
		if r.err != nil {
			return got, bad
		}
		if copied {
			receipts[i] = receipt{from, string(id)}
		} else {
			receipts[i] = receipt{from, text(id)}
		}
		m := &deliveries[i]
		m.Message = j.Message
		m.Level = driver.Level(normalStream - from)
		m.Failures, m.LastError = j.failures, j.lastError
		m.Deliveries, m.Redeliveries = j.deliveries+1, j.redeliveries
		m.Receipt = &receipts[i]
		if !j.bad {
			got = append(got, m)
			continue
		}
		s := driver.Settlement{Delivery: m, Outcome: driver.Dead, Failures: j.failures, Error: j.lastError, Reason: driver.ReasonUnreadable}
		if !j.hasBody {
			s.Outcome = driver.Done
		}
		bad = append(bad, s)
	}
	return got, bad
}

// bury settles entries that are no jobs.
func (c *consumer) bury(bad []driver.Settlement) error {
	errs, err := c.settle(context.Background(), bad, "")
	_ = errs // lost leases: somebody else met them again
	return err
}

// giveBack returns jobs that were fetched for a call that had ended, as if they
// had not been handed out.
func (c *consumer) giveBack(got []*driver.Delivery) {
	if len(got) == 0 {
		return
	}
	back := make([]driver.Settlement, len(got))
	for i, d := range got {
		back[i] = driver.Settlement{Delivery: d, Outcome: driver.Release}
	}
	// If it fails, they come back when the lease ends.
	_, _ = c.settle(context.Background(), back, "return")
}
