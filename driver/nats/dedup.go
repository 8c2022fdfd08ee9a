package nats

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
)

// A dedup key is remembered as a message of its own, the only one of its
// subject, that the server deletes when the window is over. It is stored in one
// atomic batch with the job, on the condition that the subject is empty: so there
// is never a key without its job or a job without its key. The server's own
// deduplication by Nats-Msg-Id is not used for this, because after a restart it
// knows only the IDs of messages that are still stored: those of jobs that have
// run are forgotten then (rebuildDedupe in server/stream.go).

// The key belongs to one job as long as both have the same hold. A job that is
// removed before it has run to its end frees its key, if the key is still its own:
// its time may have ended, and another job may hold it by now, even one with the
// same ID.

// keyRounds is how often a batch is tried again that met keys that others were
// changing. Each round but the last finds at least one key that is taken, unless
// another process stores or loses the same keys in that moment.
const keyRounds = 8

// claim is a job that is stored with a key, unless another job has that.
type claim struct {
	subject string // of the key
	id      string
	within  time.Duration
	// entry is that of the job, which has the hold of the key.
	entry func(hold string) entry
}

// claimOf is the claim of a message with a dedup key.
func (d *Driver) claimOf(n *names, m *driver.Message, now moment) claim {
	return claim{n.key(m.DedupKey), m.ID, cmp.Or(m.DedupWithin, d.options.DedupWindow), func(hold string) entry { return n.newJob(m, now, hold) }}
}

// entries are those of the key and of its job. The server counts the key's time in whole
// seconds.
func (c *claim) entries() (key, job entry) {
	hold := nuid.Next()
	key = entry{c.subject, newHeader(
		headerID, c.id,
		headerHold, hold,
		natsTTL, strconv.FormatInt(int64((c.within+time.Second-1)/time.Second), 10),
		natsExpectSubject, "0",
	), nil}
	return key, c.entry(hold)
}

// keyedEntries are the entries of messages, that of a dedup key before that of
// its job. keyed are the claims of those that have one.
func (d *Driver) keyedEntries(n *names, messages []*driver.Message, now moment) (entries []entry, keyed []claim) {
	entries = make([]entry, 0, 2*len(messages))
	for _, m := range messages {
		if m.DedupKey == "" {
			entries = append(entries, n.newJob(m, now, ""))
			continue
		}
		c := d.claimOf(n, m, now)
		key, job := c.entries()
		entries, keyed = append(entries, key, job), append(keyed, c)
	}
	return entries, keyed
}

// storeClaims stores the jobs of claims, unless their keys are taken, and writes what became of
// them into the results that index names.
func (d *Driver) storeClaims(ctx context.Context, op string, n *names, claims []claim, index []int, results []driver.Result) {
	for len(claims) > 0 {
		k := min(len(claims), atomicLimit)
		some := d.storeSome(ctx, op, n, claims[:k])
		for i, r := range some {
			results[index[i]] = r
		}
		claims, index = claims[k:], index[k:]
	}
}

// storeSome is storeClaims for as many as fit into one atomic batch.
func (d *Driver) storeSome(ctx context.Context, op string, n *names, claims []claim) []driver.Result {
	results := make([]driver.Result, len(claims))
	// The first of several with one key is stored, or none.
	first := make(map[string]int, len(claims))
	var left, second []int
	for i := range claims {
		if _, taken := first[claims[i].subject]; taken {
			second = append(second, i)
			continue
		}
		first[claims[i].subject] = i
		left = append(left, i)
	}
	err := errChanging
	for round := 0; round < keyRounds && len(left) > 0; round++ {
		some, entries := make([]claim, len(left)), make([]entry, 0, 2*len(left))
		for k, i := range left {
			some[k] = claims[i]
			key, job := claims[i].entries()
			entries = append(entries, key, job)
		}
		if err = d.commit(ctx, n, entries); err == nil {
			left = nil
			break
		}
		if !isConflict(err) {
			break
		}
		owners, failed := d.keyOwners(ctx, n, some)
		if failed != nil {
			err = fault.NotSent{Err: failed} // the batch was refused
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
		results[i].Err = fail(op, n.queue, err)
	}
	for _, i := range second {
		results[i] = results[first[claims[i].subject]]
		if r := &results[i]; r.Err == nil && !r.Duplicate {
			*r = driver.Result{Duplicate: true, DuplicateOf: claims[first[claims[i].subject]].id}
		}
	}
	return results
}

// keyOwners tells for each claim which job has its key, or "".
func (d *Driver) keyOwners(ctx context.Context, n *names, keyed []claim) ([]string, error) {
	owners := make([]string, len(keyed))
	requests := make([]getRequest, len(keyed))
	for i := range keyed {
		requests[i].Last = keyed[i].subject
	}
	messages, err := d.getAll(ctx, n, requests)
	if err != nil {
		return nil, err
	}
	for i, m := range messages {
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

// removeJobs removes jobs, frees the dedup keys of those that it removed, and counts
// them. Those that are gone are not an error. The error is that of one of the others,
// or errKeyKept.
func (d *Driver) removeJobs(ctx context.Context, n *names, jobs []*found) (int, error) {
	seqs := make([]uint64, len(jobs))
	for i, f := range jobs {
		seqs[i] = f.seq
	}
	return d.countRemoved(ctx, n, jobs, d.remove(ctx, n, seqs))
}

// countRemoved counts jobs without an error, or errTaken, as removed, and frees their dedup keys.
func (d *Driver) countRemoved(ctx context.Context, n *names, jobs []*found, errs []error) (int, error) {
	removed := 0
	var failed error
	var keyed []*found
	for i, f := range jobs {
		switch {
		case errs != nil && errors.Is(errs[i], errTaken):
		case errs != nil && errs[i] != nil:
			failed = errs[i]
		default:
			removed++
			if f.DedupKey != "" {
				keyed = append(keyed, f)
			}
		}
	}
	if err := d.freeKeys(ctx, n, keyed); err != nil {
		failed = fmt.Errorf("%w: %w", errKeyKept, err)
	}
	return removed, failed
}

// freeKeys forgets the dedup keys that jobs which were removed still hold. It removes
// the key's message by its sequence, so that it never frees what was stored after it
// looked.
func (d *Driver) freeKeys(ctx context.Context, n *names, jobs []*found) error {
	if len(jobs) == 0 {
		return nil
	}
	requests := make([]getRequest, len(jobs))
	for i, f := range jobs {
		requests[i].Last = n.key(f.DedupKey)
	}
	messages, err := d.getAll(ctx, n, requests)
	if err != nil {
		return err
	}
	var seqs []uint64
	for i, m := range messages {
		if m == nil {
			continue
		}
		h, err := natsgo.DecodeHeadersMsg(m.Header)
		if err == nil && h.Get(headerID) == jobs[i].ID && h.Get(headerHold) == jobs[i].hold {
			seqs = append(seqs, m.Seq)
		}
	}
	for _, err := range d.remove(ctx, n, seqs) {
		if err != nil && !errors.Is(err, errTaken) {
			return err
		}
	}
	return nil
}
