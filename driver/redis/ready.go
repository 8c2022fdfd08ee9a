package redis

import (
	"context"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
)

// takesPlain tells whether enqueuePlain is for the driver's server. On a cluster, and to wait
// for replicas, a script is one command for one server.
func (d *Driver) takesPlain() bool {
	_, single := d.conn.client.(*goredis.Client)
	return single && !d.conn.durability.wanted() && !d.lacksCopy()
}

// copyAgain is after how long COPY is tried once more: somebody may have given the right to it.
const copyAgain = 10 * time.Minute

// lacksCopy tells whether the user is taken to have no right to COPY.
func (d *Driver) lacksCopy() bool {
	until := d.noCopy.Load()
	return until != 0 && time.Now().UnixNano() < until
}

// enqueuePlain stores jobs that are ready at once and need no bookkeeping, in one round trip of
// plain commands, which take the server half of the time of a script, and a third for a job
// alone. EXISTS looks whether there is the queue. XADD stores each job, in a stream that is
// there: with DeleteQueue the streams are gone. COPY makes the token in wake of that in token,
// if there is none, so that a consumer looks. Jobs that were not stored so go by the script.
func (d *Driver) enqueuePlain(ctx context.Context, queue string, messages []*driver.Message) []driver.Result {
	n := d.names(queue)
	p := d.newPlain()
	p.fill(n, messages)
	if err := p.send(ctx, d.conn); err != nil {
		return fault.Results(len(messages), fail("enqueue", queue, err))
	}
	if d.conn.interrupts() { // otherwise another goroutine may still use it
		defer d.reuse(p)
	}
	var results []driver.Result
	var left []int
	for i := range messages {
		stored, err := p.outcome(i)
		if err != nil {
			results = withError(results, len(messages), i, fail("enqueue", queue, err))
		} else if !stored {
			left = append(left, i)
		}
	}
	if len(left)+failures(results) < len(messages) {
		if !p.found() {
			results = d.retract(ctx, queue, messages, p, results)
		}
		d.woken(ctx, n, p)
	}
	if len(left) == 0 {
		return results
	}
	return d.enqueueLeft(ctx, queue, messages, left, results)
}

// enqueueLeft stores those of the messages that left names by the script, and adds what came of
// them to the results of the others.
func (d *Driver) enqueueLeft(ctx context.Context, queue string, messages []*driver.Message, left []int, results []driver.Result) []driver.Result {
	rest := make([]*driver.Message, len(left))
	for k, i := range left {
		rest[k] = messages[i]
	}
	for k, r := range d.enqueueScripted(ctx, queue, rest) {
		results = withError(results, len(messages), left[k], r.Err)
	}
	return results
}

// withError sets the error of one of n results, which are nil while there is none.
func withError(results []driver.Result, n, i int, err error) []driver.Result {
	if err == nil {
		return results
	}
	if results == nil {
		results = make([]driver.Result, n)
	}
	results[i].Err = err
	return results
}

// failures counts the results with an error.
func failures(results []driver.Result) (n int) {
	for i := range results {
		if results[i].Err != nil {
			n++
		}
	}
	return n
}

// retract takes back jobs that were added to streams of a queue that did not exist: somebody
// removed its meta key, and left the streams. A job that was handed out by then, or whose queue
// was declared meanwhile, is stored.
func (d *Driver) retract(ctx context.Context, queue string, messages []*driver.Message, p *plain, results []driver.Result) []driver.Result {
	keys := &d.names(queue).enqueue
	args := append([]any{"evalsha", retractScript.sha, len(keys)}, keys[:]...)
	var added []int
	for i, m := range messages {
		if stored, _ := p.outcome(i); stored {
			args = append(args, streamOf(m.Level), p.adds[i].command.Val())
			added = append(added, i)
		}
	}
	raw, err := d.conn.eval(ctx, retractScript, args)
	r := reader{buf: raw}
	if err == nil && r.array() != len(added) {
		err = errReply
	}
	for _, i := range added {
		switch {
		case err != nil:
			failed := *fail("enqueue", queue, err).(*driver.Error)
			failed.Fate = driver.FateUnknown
			results = withError(results, len(messages), i, &failed)
		case r.int() == 1:
			results = withError(results, len(messages), i, fail("enqueue", queue, serverError(noQueue)))
		}
	}
	return results
}

// woken looks at what became of COPY. If the server refused it, the token is pushed: one too many
// costs a consumer an empty look, and without one the job waits for the next look. A user may lack
// the right to COPY, which older versions did not use: then the script is used for a while. It is
// pushed too where the server read no further than one of the jobs. Where there is no reply
// otherwise, the connection broke, and a consumer's is likely to have done so too.
func (d *Driver) woken(ctx context.Context, n *names, sent *plain) {
	err := sent.copy.Err()
	if _, refused := err.(goredis.Error); !refused && (err == nil || !sent.unread(len(sent.commands)-2)) {
		return
	}
	if strings.HasPrefix(err.Error(), "NOPERM") {
		d.noCopy.Store(time.Now().Add(copyAgain).UnixNano())
	}
	if d.conn.life.Begin(ctx) != nil {
		return
	}
	_, _ = d.conn.here(ctx, func(inner context.Context) ([]byte, error) {
		_, err := d.conn.execute(inner, d.conn.client.Pipeline(), [][]any{{"rpush", n.wake, "1"}, {"pexpire", n.wake, "3600000"}})
		return nil, err
	})
}

// enqueueScripted stores messages that need no bookkeeping, with one script.
func (d *Driver) enqueueScripted(ctx context.Context, queue string, messages []*driver.Message) []driver.Result {
	keys := &d.names(queue).enqueue
	s := argStrings{strings: make([]string, 0, 2*len(messages)+8)}
	args := make([]any, 0, 3+len(keys)+3*len(messages)+8)
	args = append(args, "evalsha", enqueueScript.sha, len(keys))
	args = append(args, keys[:]...)
	for _, m := range messages {
		at := len(args)
		args = appendRequired(append(args, nil), &s, m)
		optional := len(args)
		args = appendOptional(args, &s, m)
		args[at] = messageCode(m, len(args)-optional)
	}
	if _, err := d.conn.evalStore(ctx, enqueueScript, args); err != nil {
		return fault.Results(len(messages), fail("enqueue", queue, err))
	}
	return nil
}
