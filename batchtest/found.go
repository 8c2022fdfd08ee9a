package batchtest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/batch-go/batch"
)

// found is a job that a function found in a queue.
type found struct {
	batch.Entry
	queue string
	codec batch.Codec
	// args are decoded, of the type that is looked for, and undecodable says why they are not.
	args        any
	undecodable error
}

// mostJobs bounds how many jobs a function reads. A queue with more is no test's.
const mostJobs = 10_000

// errTooMany refuses such a queue.
var errTooMany = fmt.Errorf("it has more than %d: is it the queue of a test?", mostJobs)

// list reads the jobs of a queue in some states, in the order of the states and, of one state, in that of
// [batch.ListJobs]. That there is no such queue is no error, and missing then.
func list[D batch.Inspector](ctx context.Context, q *batch.Queue[D], states ...batch.State) (jobs []found, missing bool, err error) {
	for _, state := range states {
		for cursor := ""; ; {
			page, next, err := batch.ListJobs(ctx, q, state, cursor, 1000)
			if errors.Is(err, batch.ErrNotFound) {
				return nil, true, nil
			}
			if err != nil {
				return nil, false, err
			}
			for _, entry := range page {
				jobs = append(jobs, found{Entry: entry, queue: q.Name(), codec: q.Codec()})
			}
			if len(jobs) > mostJobs {
				return nil, false, errTooMany
			}
			if next == "" {
				break
			}
			cursor = next
		}
	}
	return jobs, false, nil
}

// decodeInto decodes the args of the job as A.
func decodeInto[A batch.Args](ctx context.Context, f *found) {
	args, err := decode[A](ctx, f.codec, f.queue, &f.Message)
	f.args, f.undecodable = args, err
}

// delay is for how long a scheduled job is held back from its enqueue, and zero for others. It is known only of a job
// that was never handed out, as one that was is held back for another reason.
func (f *found) delay() (d time.Duration, known bool) {
	if f.State != batch.StateScheduled {
		return 0, true
	}
	return f.DueAt.Sub(f.EnqueuedAt).Round(time.Millisecond), f.Deliveries == 0
}
