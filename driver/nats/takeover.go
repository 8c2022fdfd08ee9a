package nats

import (
	"context"
	"strconv"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/batch-go/batch/driver"
)

// An entry that the server hands out again, because its lease ended, keeps its place in
// front of all that were not handed out yet. But its first holder may still be there,
// and the server takes an acknowledgement from anybody for anything (processAckMsg in
// server/consumer.go looks at the sequence only). So the new holder takes the entry
// over: it stores a mark, the only message of a subject of its own, on the condition
// that nobody else has, and then looks whether the entry is still there. A holder that
// is not certain of its lease looks for the mark, and for the entry, before it settles.

// markTime is how long a mark is kept by the server if nobody removes it: longer than
// the longest lease, after which a former holder knows by its own clock that it is one.
const markTime = 2 * maxLease

// takeOver takes over what was handed out before. It goes on if ctx ends first: what
// comes of it is for the next Receive then.
func (c *consumer) takeOver(ctx context.Context, again []*driver.Delivery) []*driver.Delivery {
	if len(again) == 0 {
		return nil
	}
	taken, left := make(chan []*driver.Delivery), make(chan struct{})
	going := c.background.Go(func() {
		own, cancel := context.WithTimeout(context.Background(), requeueTime)
		defer cancel()
		got := c.claim(own, again)
		select {
		case taken <- got:
		case <-left:
			c.mu.Lock()
			defer c.mu.Unlock()
			c.ready = append(c.ready, got...)
		}
	})
	if !going {
		return nil // it comes back when its lease ends
	}
	select {
	case got := <-taken:
		return got
	case <-ctx.Done():
	case <-c.puller.done:
	}
	close(left)
	return nil
}

// takeReady returns what was taken over for a Receive that did not wait for it.
func (c *consumer) takeReady(max int) (got []*driver.Delivery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.ready) > 0 && len(got) < max {
		// What is not held any more comes again.
		if c.ready[0].Receipt.(*receipt).held(time.Now(), c.epoch()) {
			got = append(got, c.ready[0])
		}
		c.ready = c.ready[1:]
	}
	c.holders.add(got)
	return got
}

// claim stores the marks of deliveries and returns those that are this consumer's now.
// A server that is full takes no marks. There the jobs are handed on anyway, as
// nothing else would ever make room: a former holder that is merely late may settle
// such a job under the hands of the new one, which is told that it lost it.
func (c *consumer) claim(ctx context.Context, again []*driver.Delivery) []*driver.Delivery {
	d, n := c.d, c.n
	marks := make([]getRequest, len(again))
	for i, g := range again {
		marks[i].Last = n.held(g.Receipt.(*receipt).seq)
	}
	found, err := d.getAll(ctx, n, marks)
	if err != nil {
		return nil // it comes again
	}
	var entries []entry
	var index []int
	for i, g := range again {
		r := g.Receipt.(*receipt)
		before := uint64(0)
		if m := found[i]; m != nil {
			r.mark = m.Seq // to be removed with the entry, also if no other is stored
			if before = m.Seq; markedBy(m) >= r.delivered {
				continue // it was handed out once more since
			}
		}
		entries, index = append(entries, n.mark(r, before)), append(index, i)
	}
	if len(entries) == 0 {
		return nil
	}
	acks, errs := d.publish(ctx, n, entries)
	var mine []*driver.Delivery
	for k, i := range index {
		r := again[i].Receipt.(*receipt)
		switch {
		case errs == nil || errs[k] == nil:
			r.mark = acks[k].Seq
		case !isFull(errs[k]):
			continue
		}
		mine = append(mine, again[i])
	}
	return c.stillThere(ctx, mine)
}

// stillThere leaves out the deliveries whose entries were settled until they were taken
// over.
func (c *consumer) stillThere(ctx context.Context, mine []*driver.Delivery) []*driver.Delivery {
	requests := make([]getRequest, len(mine))
	for i, g := range mine {
		requests[i].Seq = g.Receipt.(*receipt).seq
	}
	messages, err := c.d.getAll(ctx, c.n, requests)
	if err != nil {
		return nil
	}
	var gone []*receipt
	kept := mine[:0]
	for i, g := range mine {
		if messages[i] == nil {
			gone = append(gone, g.Receipt.(*receipt))
			continue
		}
		kept = append(kept, g)
	}
	c.unmark(ctx, gone)
	return kept
}

// unmark removes the marks of entries that are gone. What cannot be removed now is
// removed by the server in the end.
func (c *consumer) unmark(ctx context.Context, receipts []*receipt) {
	var marks []uint64
	for _, r := range receipts {
		if r.mark != 0 {
			marks = append(marks, r.mark)
		}
	}
	if len(marks) > 0 {
		_ = c.d.remove(ctx, c.n, marks) // as above
	}
}

// mark is the entry that says who holds another one. before is the sequence of the mark
// that it replaces, or 0.
func (n *names) mark(r *receipt, before uint64) entry {
	return entry{n.held(r.seq), newHeader(
		headerHolder, strconv.FormatInt(r.delivered, 10),
		natsTTL, strconv.FormatInt(int64(markTime/time.Second), 10),
		natsExpectSubject, strconv.FormatUint(before, 10),
		natsRollup, "sub",
	), nil}
}

// markedBy is which delivery of its entry stored a mark. One that cannot be read is
// from nobody.
func markedBy(m *stored) int64 {
	h, err := natsgo.DecodeHeadersMsg(m.Header)
	if err != nil {
		return 0
	}
	number, _ := readNumber(h.Get(headerHolder), 1, maxCount)
	return number
}
