package redis

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/batch-go/batch/driver"
)

// Enqueue stores messages with one script, which the server carries out as a
// whole. It is not undone if it fails half-way, for which only a damaged key
// can be the reason: that error's fate is unknown for each of them.
func (d *Driver) Enqueue(ctx context.Context, queue string, messages []*driver.Message) []driver.Result {
	if len(messages) == 0 {
		return nil
	}
	if err := fits(queue, messages); err != nil {
		return results(len(messages), err)
	}
	if !plain(messages) {
		return d.enqueueAny(ctx, queue, messages)
	}
	k := d.keys(queue)
	s := slab{strings: make([]string, 0, 2*len(messages)+8)}
	args := make([]any, 0, 3+len(k.enqueue)+3*len(messages)+8)
	args = append(args, "evalsha", enqueueScript.sha, len(k.enqueue))
	args = append(args, k.enqueue[:]...)
	for _, m := range messages {
		at := len(args)
		args = appendCore(append(args, nil), &s, m)
		core := len(args)
		args = appendMore(args, &s, m)
		args[at] = stream(m.Level) + 8*(len(args)-core)
	}
	if _, err := d.eval(ctx, enqueueScript, args); err != nil {
		return results(len(messages), fail("enqueue", queue, err))
	}
	return nil
}

func (d *Driver) enqueueAny(ctx context.Context, queue string, messages []*driver.Message) []driver.Result {
	dups, err := d.runAny(ctx, queue, messages, false)
	if err != nil {
		return results(len(messages), fail("enqueue", queue, err))
	}
	if len(dups) == 0 {
		return nil
	}
	out := make([]driver.Result, len(messages))
	for i, of := range dups {
		out[i] = driver.Result{Duplicate: true, DuplicateOf: of}
	}
	return out
}

// EnqueueAtomic stores all messages or none, in one script that looks at
// everything that could stand in its way before it writes.
func (d *Driver) EnqueueAtomic(ctx context.Context, queue string, messages []*driver.Message) error {
	if len(messages) == 0 {
		return nil
	}
	if err := fits(queue, messages); err != nil {
		return err
	}
	dups, err := d.runAny(ctx, queue, messages, true)
	if err != nil {
		return fail("enqueue atomically", queue, err)
	}
	if len(dups) > 0 {
		i := slices.Min(slices.Collect(maps.Keys(dups)))
		return &driver.Error{Driver: Name, Op: "enqueue atomically", Queue: queue, Kind: driver.ErrDuplicate, Fate: driver.FateNotStored,
			Err: fmt.Errorf("%d of %d messages; message %d has the dedup key of job %s", len(dups), len(messages), i, dups[i])}
	}
	return nil
}

// runAny runs enqueue_any and returns the duplicates by position.
func (d *Driver) runAny(ctx context.Context, queue string, messages []*driver.Message, atomic bool) (map[int]string, error) {
	k := d.keys(queue)
	var dedup []string
	numbers := make(map[string]int)
	for _, m := range messages {
		if m.DedupKey != "" && numbers[m.DedupKey] == 0 {
			dedup = append(dedup, k.dedup(m.DedupKey))
			numbers[m.DedupKey] = len(dedup)
		}
	}
	s := slab{strings: make([]string, 0, 4*len(messages)+8)}
	args := enqueueAnyScript.args(k, 2+8*len(messages), dedup...)
	mode := "0"
	if atomic {
		mode = "1"
	}
	args = append(args, mode, strconv.FormatInt(d.dedupWindow.Milliseconds(), 10))
	for _, m := range messages {
		at := len(args)
		args = append(args, nil, ceilMS(m.Delay), numbers[m.DedupKey], s.arg(m.Group))
		args = appendCore(args, &s, m)
		core := len(args)
		args = appendMore(args, &s, m)
		args[at] = stream(m.Level) + 8*(len(args)-core)
	}
	raw, err := d.eval(ctx, enqueueAnyScript, args)
	if err != nil {
		return nil, err
	}
	r := reader{buf: raw}
	n := r.array() / 2
	if n == 0 {
		return nil, r.err
	}
	dups := make(map[int]string, n)
	for range n {
		i := int(r.int()) - 1
		dups[i] = r.string()
		if i < 0 || i >= len(messages) {
			return nil, errReply
		}
	}
	return dups, r.err
}

// plain tells whether all messages are ready at once and need no bookkeeping.
func plain(messages []*driver.Message) bool {
	for _, m := range messages {
		if m.Delay > 0 || m.DedupKey != "" || m.Group != "" {
			return false
		}
	}
	return true
}

// fits checks what the core is to keep to, where ignoring it would store a job
// other than it was meant.
func fits(queue string, messages []*driver.Message) error {
	for _, m := range messages {
		if m.Level < driver.Trivial || m.Level > driver.Critical {
			return &driver.Error{Driver: Name, Op: "enqueue", Queue: queue, Kind: driver.ErrConfig, Fate: driver.FateNotStored,
				Err: fmt.Errorf("job %s has level %d", m.ID, m.Level)}
		}
		if m.Group != "" && m.Delay > 0 {
			return &driver.Error{Driver: Name, Op: "enqueue", Queue: queue, Kind: driver.ErrUnsupported, Fate: driver.FateNotStored,
				Err: errors.New("job " + m.ID + " has both a group and a delay")}
		}
	}
	return nil
}

func results(n int, err error) []driver.Result {
	out := make([]driver.Result, n)
	for i := range out {
		out[i].Err = err
	}
	return out
}
