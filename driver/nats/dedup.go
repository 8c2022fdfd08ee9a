package nats

import (
	"context"
	"strconv"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/batch-go/batch/driver"
)

// A dedup key is remembered as a message of its own, the only one of its
// subject, that the server deletes when the window is over. It is stored in one
// atomic batch with the job, on the condition that the subject is empty: so there
// is never a key without its job or a job without its key. The server's own
// deduplication by Nats-Msg-Id is not used for this, because after a restart it
// knows only the IDs of messages that are still stored: those of jobs that have
// run are forgotten then (rebuildDedupe in server/stream.go).

// keyRounds is how often a batch is tried again that met keys in motion. Each
// round but the last finds at least one key that is taken, unless another
// process stores or loses the same keys in that moment.
const keyRounds = 8

// keyEntry is the message that remembers the key of m.
func (d *Driver) keyEntry(n *names, m *driver.Message) entry {
	return entry{n.key(m.DedupKey), natsgo.Header{
		headerID:          {m.ID},
		natsTTL:           {strconv.FormatInt(int64(d.options.DedupWindow/time.Second), 10)},
		natsExpectSubject: {"0"},
	}, nil}
}

// enqueueKeyed stores the messages of which index has the numbers, unless their
// keys are taken.
func (d *Driver) enqueueKeyed(ctx context.Context, n *names, messages []*driver.Message, index []int, now time.Time, results []driver.Result) {
	for len(index) > 0 {
		k := min(len(index), atomicLimit)
		d.enqueueKeys(ctx, n, messages, index[:k], now, results)
		index = index[k:]
	}
}

// enqueueKeys is enqueueKeyed for as many as fit into one atomic batch.
func (d *Driver) enqueueKeys(ctx context.Context, n *names, messages []*driver.Message, index []int, now time.Time, results []driver.Result) {
	// Of several with one key the first is stored, or none.
	first := make(map[string]int, len(index))
	var left, second []int
	for _, i := range index {
		key := messages[i].DedupKey
		if _, taken := first[key]; taken {
			second = append(second, i)
			continue
		}
		first[key] = i
		left = append(left, i)
	}
	err := errChanging
	for round := 0; round < keyRounds && len(left) > 0; round++ {
		entries := make([]entry, 0, 2*len(left))
		keyed := make([]*driver.Message, len(left))
		for k, i := range left {
			keyed[k] = messages[i]
			entries = append(entries, d.keyEntry(n, messages[i]), n.fresh(messages[i], now))
		}
		if err = d.commit(ctx, n, entries); err == nil {
			left = nil
			break
		}
		if !isConflict(err) {
			break
		}
		owners, lookup := d.keyOwners(ctx, n, keyed)
		if lookup != nil {
			e := fail("enqueue", n.queue, lookup).(*driver.Error)
			e.Fate = driver.FateNotStored // the batch was refused
			err = e
			break
		}
		var free []int
		for k, i := range left {
			if owners[k] == "" {
				free = append(free, i)
				continue
			}
			results[i] = driver.Result{Duplicate: true, DuplicateOf: owners[k]}
		}
		left, err = free, errChanging
	}
	for _, i := range left {
		results[i].Err = fail("enqueue", n.queue, err)
	}
	for _, i := range second {
		results[i] = results[first[messages[i].DedupKey]]
		if r := &results[i]; r.Err == nil && !r.Duplicate {
			*r = driver.Result{Duplicate: true, DuplicateOf: messages[first[messages[i].DedupKey]].ID}
		}
	}
}

// keyOwners tells for each message which job has its key, or "".
func (d *Driver) keyOwners(ctx context.Context, n *names, keyed []*driver.Message) ([]string, error) {
	owners := make([]string, len(keyed))
	requests := make([]getRequest, len(keyed))
	for i, m := range keyed {
		requests[i].Last = n.key(m.DedupKey)
	}
	found, err := d.getAll(ctx, n, requests)
	if err != nil {
		return nil, err
	}
	for i, m := range found {
		if m == nil {
			continue
		}
		h, err := natsgo.DecodeHeadersMsg(m.Header)
		if err != nil || h.Get(headerID) == "" {
			owners[i] = "?" // taken, by something that does not say its name
			continue
		}
		owners[i] = h.Get(headerID)
	}
	return owners, nil
}
