package redis

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/batch-go/batch/driver"
)

const (
	// replyBudget is what one reply aims to stay below, so that a queue of large
	// bodies does not fill the memory of both sides; as in receive.lua.
	replyBudget = 8 << 20
	// firstChunk is how many jobs are read before anything is known of their
	// size: few enough of the largest, which are 512 MiB, and enough small ones.
	firstChunk = 32
	// sharedReply is the largest reply whose memory its jobs share, large strings apart. Out of
	// larger ones each is copied, so that one long job does not keep megabytes of others.
	sharedReply = 1 << 20
	// bulkMin is the number of jobs from which a bulk fetch is worth its three
	// commands, and bulkBytes that of their bytes.
	bulkMin   = 16
	bulkBytes = 32 << 10
)

// fetcher gets jobs from the server, without waiting for any.
type fetcher struct {
	*holder
	alarm *alarm
	// perJob is how many bytes a job took in the last replies, 0 at first.
	perJob atomic.Int64
	// textPerJob is that without large strings; see reply.
	textPerJob atomic.Int64
	// bulk is the index of the stream that filled the last fetch, else 0.
	bulk atomic.Int32
	// emptied says that the last reply of the script has left nothing that was to be handed out,
	// and nothing is due soon.
	emptied atomic.Bool
	// looked is when the server last told what there is, in Unix ns.
	looked atomic.Int64
	// noBulk says that the user has no right to what a bulk fetch is made of.
	noBulk atomic.Bool
}

// fetched is what a fetch brought: jobs, and the settlements of entries that are
// none.
type fetched struct {
	jobs       []*driver.Delivery
	unreadable []driver.Settlement
	// soon says that a job is due within a second.
	soon bool
}

// fetch gets at most max of the jobs that there are.
func (f *fetcher) fetch(max int) ([]*driver.Delivery, error) {
	for {
		var got fetched
		var err error
		chunk, stream := f.chunk(), int(f.bulk.Load())
		bulk := stream > 0 && f.worthBulk(min(max, chunk))
		if bulk {
			got, err = f.fetchBulk(stream, max, chunk)
		} else {
			got, err = f.fetchPlain(max, chunk)
		}
		if err != nil {
			return nil, fail("receive", f.queue, err)
		}
		if err := f.accept(min(max, chunk), got); err != nil {
			return nil, err
		}
		// A bulk fetch that found nothing looked at some of the streams only.
		if len(got.jobs) > 0 || len(got.unreadable) == 0 && !bulk {
			return got.jobs, nil
		}
	}
}

// fetchPlain runs the script that hands out jobs.
func (f *fetcher) fetchPlain(max, chunk int) (fetched, error) {
	got, err := f.conn.receive(receiveScript, f.receiveArgs(max, chunk), int(f.textPerJob.Load()))
	if err != nil {
		f.emptied.Store(false)
		return fetched{}, err
	}
	return f.read(got, min(max, chunk))
}

// receiveArgs are those of the script that hands out jobs.
func (f *fetcher) receiveArgs(max, chunk int) []any {
	return append(receiveScript.args(f.names, 4), max, f.name, chunk, 0)
}

// read reads the script's reply to one who asked for so many jobs.
func (f *fetcher) read(from reply, asked int) (fetched, error) {
	f.emptied.Store(false)
	if err := errorOf(from.text); err != nil {
		return fetched{}, err
	}
	var got fetched
	r := from.reader()
	f.readStreams(&r, &got)
	if r.err != nil {
		return fetched{}, r.err
	}
	f.noteSize(got, from)
	f.emptied.Store(len(got.jobs)+len(got.unreadable) < asked && !got.soon)
	f.looked.Store(time.Now().UnixNano())
	return got, nil
}

// fetchBulk is fetchPlain with a plain XREADGROUP for one stream, if it is that
// one's turn; see receive.lua. It may find nothing although there are jobs.
func (f *fetcher) fetchBulk(stream, max, chunk int) (fetched, error) {
	reading := f.names.reading
	replies, err := f.conn.executeFor(f.conn.ctx, f.conn.client.TxPipeline(), int(f.textPerJob.Load()),
		append(receiveScript.args(f.names, 4, reading), max, f.name, chunk, stream),
		[]any{"xreadgroup", "group", groupName, f.name, "count", min(max, chunk), "streams", reading, ">"},
		append(receiveScript.args(f.names, 2, reading), "back", stream),
	)
	if err != nil {
		if isForbidden(err) {
			// Without a right to MULTI its commands ran one by one, and handed out jobs that
			// nobody has until their leases end. So the caller hears of it, and it was the
			// last such fetch: each loss would count as that of a holder.
			f.noBulk.Store(true)
			return fetched{}, err
		}
		if _, refused := err.(goredis.Error); refused {
			// EXEC was not carried out, or the script is not loaded: fetchPlain
			// says why, or loads it.
			return fetched{}, nil
		}
		return fetched{}, err
	}
	var got fetched
	r := replies[0].reader()
	f.readStreams(&r, &got)
	if r.err != nil {
		if _, refused := r.err.(serverError); refused {
			return fetched{}, nil
		}
		return fetched{}, r.err
	}
	r = replies[1].reader()
	if r.oneStream() {
		got.readEntries(&r, stream)
	}
	if _, none := r.err.(serverError); r.err != nil && !none { // NOGROUP where the stream was not renamed
		return fetched{}, r.err
	}
	f.noteSize(got, replies...)
	return got, nil
}

// readStreams reads the script's reply: when the next job is due, and entries
// stream by stream.
func (f *fetcher) readStreams(r *reader, got *fetched) {
	parts := r.array()
	wait, mine := r.int(), r.int() == 1
	if r.err == nil {
		f.alarm.plan(wait, mine)
		got.soon = wait >= 0 && wait < time.Second.Milliseconds()
	}
	for parts -= 2; parts >= 2 && r.err == nil; parts -= 2 {
		got.readEntries(r, int(r.int()))
	}
}

// readEntries reads the entries of one stream.
func (got *fetched) readEntries(r *reader, stream int) {
	n := r.array()
	if _, ok := slotOf(stream); n > batchSize || !ok {
		r.malformed()
		return
	}
	copied := len(r.buf) > sharedReply
	deliveries := make([]driver.Delivery, n)
	receipts := make([]receipt, n)
	got.jobs = slices.Grow(got.jobs, n)
	for i := range n {
		if r.array() != 2 {
			r.malformed()
			return
		}
		id := toString(r.bytes(), copied)
		var j job
		j.read(r, copied)
		if r.err != nil {
			return
		}
		receipts[i] = receipt{stream, id}
		d := &deliveries[i]
		d.Message = j.Message
		d.Level = levelOf(stream)
		d.Failures, d.LastError = j.failures, j.lastError
		d.Bounces, d.BouncedSince = j.bounces, j.bouncedSince
		d.Deliveries, d.Redeliveries = j.deliveries+1, j.redeliveries
		d.Receipt = &receipts[i]
		if j.unreadable {
			got.unreadable = append(got.unreadable, settleUnreadable(d, j.hasBody))
		} else {
			got.jobs = append(got.jobs, d)
		}
	}
}

// settleUnreadable says what becomes of an entry that is no job: a dead letter,
// if it has a body to keep.
func settleUnreadable(d *driver.Delivery, hasBody bool) driver.Settlement {
	s := driver.Settlement{Delivery: d, Outcome: driver.OutcomeDone}
	if hasBody {
		s.Outcome, s.Reason = driver.OutcomeDead, driver.ReasonUnreadable
		s.Failures, s.Error = d.Failures, d.LastError
		s.Bounces, s.BouncedSince = d.Bounces, d.BouncedSince
	}
	return s
}

// accept notes what to expect of the fetch after one of so many jobs, and settles what is
// unreadable. If that fails, the jobs beside it are handed out anyway: it comes back when its
// lease ends, and is reported when it comes alone.
func (f *fetcher) accept(asked int, got fetched) error {
	f.noteBulk(asked, got.jobs)
	if len(got.unreadable) == 0 {
		return nil
	}
	for _, err := range f.settle(context.Background(), got.unreadable, "") {
		// A lease that was lost is no error: another consumer met the entry again.
		if err != nil && !errors.Is(err, driver.ErrLeaseLost) && len(got.jobs) == 0 {
			return err
		}
	}
	return nil
}

// giveBack returns jobs that were fetched for a call that had ended, as if they
// had not been handed out.
func (f *fetcher) giveBack(jobs []*driver.Delivery) {
	if len(jobs) == 0 {
		return
	}
	back := make([]driver.Settlement, len(jobs))
	for i, d := range jobs {
		back[i] = driver.Settlement{Delivery: d, Outcome: driver.OutcomeRelease}
	}
	// If it fails, they come back when the lease ends.
	_ = f.settle(context.Background(), back, outcomeReturn)
}

// noteBulk notes whether the next fetch is likely to be large and of one stream.
func (f *fetcher) noteBulk(asked int, jobs []*driver.Delivery) {
	stream := 0
	if n := len(jobs); n >= asked && f.worthBulk(n) {
		stream = jobs[n-1].Receipt.(*receipt).stream
	}
	f.bulk.Store(int32(stream))
}

// worthBulk tells whether a fetch of n jobs costs the server less in bulk.
func (f *fetcher) worthBulk(n int) bool {
	return (n >= bulkMin || int64(n)*f.perJob.Load() >= bulkBytes) && !f.noBulk.Load()
}

// noteSize notes how large jobs are. It goes up at once and down slowly.
func (f *fetcher) noteSize(got fetched, from ...reply) {
	n := len(got.jobs) + len(got.unreadable)
	if n == 0 {
		return
	}
	bytes, text := 0, 0
	for i := range from {
		bytes += from[i].size()
		text += len(from[i].text)
	}
	per, before := int64(bytes/n)+1, f.perJob.Load()
	f.perJob.Store(max(per, (per+before)/2))
	f.textPerJob.Store(int64(text/n) + 1)
}

// chunk is how many jobs a fetch may read before it looks at their size.
func (f *fetcher) chunk() int {
	if per := f.perJob.Load(); per > 0 {
		return int(replyBudget/per) + 1
	}
	return firstChunk
}
