package outbox

import (
	"context"
	"database/sql"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/batch-go/batch"
)

// mostBytes bounds one INSERT of several jobs, so that it fits into a packet of MySQL.
const mostBytes = 1 << 20

// Enqueue writes a job into the box as part of a transaction, and returns its ID: the job exists from the commit
// on, and never if tx is rolled back. q says what its queue is, and which options its broker takes: what that does not
// support does not compile, or is an error that wraps [batch.ErrInvalid]. Nothing is sent to the broker.
//
// All times count from this call, as with [batch.Queue.Prepare]; the window of a Unique key begins when the
// relay has stored the job, and until then the key keeps nobody from writing another.
//
// After an error nothing of the job is part of tx. tx must be of the database of the box, and must not be
// used concurrently.
func Enqueue[D batch.Driver](ctx context.Context, tx *sql.Tx, b *Box, q *batch.Queue[D], args batch.Args, options ...batch.Option[D]) (id string, err error) {
	job, err := q.Prepare(ctx, args, options...)
	if err != nil {
		return "", err
	}
	return job.ID(), EnqueuePrepared(ctx, tx, b, q, job)
}

// EnqueuePrepared is [Enqueue] for jobs that were prepared, in their order, for the queue of q. An error may leave
// some of them in tx, which must be rolled back then.
func EnqueuePrepared[D batch.Driver](ctx context.Context, tx *sql.Tx, b *Box, q *batch.Queue[D], jobs ...*batch.Prepared) error {
	forms := make([][]byte, len(jobs))
	for i, job := range jobs {
		if job == nil {
			return invalid("job "+strconv.Itoa(i+1)+" of "+strconv.Itoa(len(jobs)), "nil", "one that Prepare made")
		}
		form, err := json.Marshal(job)
		if err != nil {
			return err
		}
		forms[i] = form
	}
	for len(forms) > 0 {
		n, size := 0, 0
		for n < len(forms) && n < mostRows && (n == 0 || size+len(forms[n]) <= mostBytes) {
			size += len(forms[n])
			n++
		}
		some := forms[:n]
		args := make([]any, 0, 2*len(some))
		for _, form := range some {
			args = append(args, []byte(q.Name()), form)
		}
		if _, err := tx.ExecContext(ctx, b.text.insert+strings.Repeat(b.text.row, len(some)-1), args...); err != nil {
			return b.failed("enqueue", err)
		}
		forms = forms[len(some):]
	}
	return nil
}
