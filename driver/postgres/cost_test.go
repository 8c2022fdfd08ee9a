package postgres

import (
	"context"
	"encoding/json"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/batch-go/batch/driver"
)

// counted is a connection that counts what is sent: a message, or several in one, for a round trip.
type counted struct {
	*net.TCPConn
	writes *atomic.Int64
}

// Write sends, and counts.
func (c *counted) Write(b []byte) (int, error) {
	c.writes.Add(1)
	return c.TCPConn.Write(b)
}

// openCounted opens a driver whose connections count what they send from now on.
func openCounted(t *testing.T, params ...string) (*Driver, *atomic.Int64) {
	t.Helper()
	d := open(t, append(params, "sslmode", "disable")...)
	writes, dial := new(atomic.Int64), d.dialer.dial
	d.dialer.dial = func(ctx context.Context, network, addr string) (net.Conn, error) { // nobody dials yet
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &counted{conn.(*net.TCPConn), writes}, nil
	}
	return d, writes
}

// idle waits with a Receive that gets nothing.
func idle(t *testing.T, c driver.Consumer, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(testContext(t), d)
	defer cancel()
	if got, err := c.Receive(ctx, 1); err == nil {
		t.Fatalf("received %d jobs of an empty queue", len(got))
	}
}

// TestRoundTrips: an Enqueue, a Receive and a Settle are one round trip each, for one job as for many.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	d, writes := openCounted(t)
	q := queue(t, d)
	d.bell.poll, d.bell.forget = func() { <-d.bell.done }, func() {}
	c := consume(t, d, q)
	cycle := func(n int) (enqueued, received, settled int64) {
		start := writes.Load()
		enqueue(t, d, q, many(n)...)
		enqueued = writes.Load() - start
		got := receive(t, c, n)
		received = writes.Load() - start - enqueued
		done(t, c, got...)
		if len(got) != n {
			t.Errorf("received %d of %d", len(got), n)
		}
		return enqueued, received, writes.Load() - start - enqueued - received
	}
	for range 3 { // connects, listens and prepares
		cycle(1)
	}
	idle(t, c, 500*time.Millisecond)
	for _, n := range []int{1, 100} {
		if e, r, s := cycle(n); e != 1 || r != 1 || s != 1 {
			t.Errorf("%d jobs: Enqueue takes %d round trips, Receive %d, Settle %d", n, e, r, s)
		}
	}
}

// TestIdleCost: consumers that wait share one look every idlePoll.
func TestIdleCost(t *testing.T) {
	t.Parallel()
	d, writes := openCounted(t)
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	ends := make(chan struct{}, 5)
	var last driver.Consumer
	for range cap(ends) {
		c := consume(t, d, queue(t, d))
		go func() {
			defer func() { ends <- struct{}{} }()
			_, _ = c.Receive(ctx, 1) // ends with ctx
		}()
		last = consume(t, d, queue(t, d))
	}
	idle(t, last, 2*time.Second)
	before := writes.Load()
	select {
	case <-time.After(4 * time.Second):
	case <-ctx.Done():
	}
	if n := writes.Load() - before; n < 6 || n > 10 {
		t.Errorf("%d statements in 4 seconds", n)
	}
	cancel()
	for range cap(ends) {
		<-ends
	}
}

// pagesOf counts the pages that a statement reads on a new connection.
func pagesOf(t *testing.T, text string, args ...any) int64 {
	t.Helper()
	return pagesOn(t, connect(t, plainURL(t)), text, args...)
}

// pagesOn counts the pages that a statement reads, whose changes are rolled back.
func pagesOn(t *testing.T, conn *pgx.Conn, text string, args ...any) int64 {
	t.Helper()
	tx, err := conn.BeginTx(testContext(t), pgx.TxOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(testContext(t)) }() // a connection that cannot ends anyway
	var plan []byte
	if err = tx.QueryRow(testContext(t), `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) `+text, args...).Scan(&plan); err != nil {
		t.Fatal(err)
	}
	var plans []struct {
		Plan struct {
			Hit  int64 `json:"Shared Hit Blocks"`
			Read int64 `json:"Shared Read Blocks"`
		}
	}
	if err := json.Unmarshal(plan, &plans); err != nil || len(plans) != 1 {
		t.Fatalf("%s: %v", plan, err)
	}
	return plans[0].Plan.Hit + plans[0].Plan.Read
}

// buffers counts the pages that handing out ten jobs of a queue reads.
func buffers(t *testing.T, d *Driver, q string) int64 {
	t.Helper()
	return pagesOf(t, `SELECT seq FROM `+d.schema+`.take('`+q+`', 10, interval '1 minute')`)
}

// backlog makes 10001 of each job, in an order in which the copies come later.
func backlog(t *testing.T, d *Driver) {
	t.Helper()
	run(t, connect(t, plainURL(t)), `INSERT INTO `+d.schema+`.jobs (seq, queue, state, level, pos, since, id, kind, content_type, body, enqueued_at)
		SELECT nextval('`+d.schema+`.numbers'), j.queue, j.state, j.level, j.pos + n, j.since, j.id, j.kind, j.content_type, j.body, j.enqueued_at
		FROM `+d.schema+`.jobs j, generate_series(1, 10000) n`)
}

// TestBacklogCost: handing out jobs reads as many pages with a backlog of 100000 as with one of 10, whatever
// the server knows of the table.
func TestBacklogCost(t *testing.T) {
	t.Parallel()
	d := open(t)
	q := queue(t, d)
	enqueue(t, d, q, many(10)...)
	buffers(t, d, q) // the catalog is read
	few := buffers(t, d, q)
	conn := connect(t, plainURL(t))
	backlog(t, d)
	for _, known := range []bool{false, true} {
		if known {
			run(t, conn, `ANALYZE `+d.schema+`.jobs`)
		}
		buffers(t, d, q)
		if n := buffers(t, d, q); n > few+200 || n == 0 {
			t.Errorf("with a backlog of 100000 it reads %d pages, and %d with one of 10 (analyzed: %v)", n, few, known)
		}
	}
}

// TestBacklogCostOfOldPlans: a connection that has handed out jobs while there were few reads as few pages when there
// are 100000, although it has kept its plans.
func TestBacklogCostOfOldPlans(t *testing.T) {
	t.Parallel()
	d := open(t)
	q := queue(t, d)
	enqueue(t, d, q, many(10)...)
	conn := connect(t, plainURL(t))
	statements := []string{`SELECT seq FROM ` + d.schema + `.take('` + q + `', 10, interval '1 minute')`, `SELECT more FROM ` + d.schema + `.look_ahead('` + q + `')`}
	var few [2]int64
	for range 10 { // after five a server may keep a plan for all arguments
		for i, text := range statements {
			few[i] = pagesOn(t, conn, text)
		}
	}
	backlog(t, d)
	run(t, connect(t, plainURL(t)), `UPDATE `+d.schema+`.jobs SET state = 's', due = now() + interval '1 hour' WHERE seq > (SELECT min(seq) + 9 FROM `+d.schema+`.jobs)`)
	for i, text := range statements {
		if n := pagesOn(t, conn, text); n > few[i]+200 {
			t.Errorf("with a backlog of 100000 %q reads %d pages, and %d with one of 10", text, n, few[i])
		}
	}
}

// TestSettleCost: to settle, extend and complete jobs reads as many pages for each with 1000 that run as with ten,
// whatever the server knows of the table. A driver settles up to a thousand at a time.
func TestSettleCost(t *testing.T) {
	t.Parallel()
	const n, most = 1000, 20
	d := open(t)
	q := queue(t, d)
	enqueue(t, d, q, many(n)...)
	var seqs, tokens []int64
	for _, delivery := range receive(t, consume(t, d, q), n) {
		r, _ := receiptOf(delivery)
		seqs, tokens = append(seqs, r.seq), append(tokens, r.token)
	}
	if len(seqs) != n {
		t.Fatalf("%d jobs run", len(seqs))
	}
	conn := connect(t, plainURL(t))
	for _, known := range []bool{false, true} {
		if known {
			run(t, conn, `ANALYZE `+d.schema+`.jobs`)
		}
		for what, pages := range map[string]int64{
			"to settle":                    pagesOf(t, d.text(settleDone), q, seqs, tokens) / n,
			"to extend":                    pagesOf(t, d.text(extendLeases), q, seqs, tokens, int64(1000)) / n,
			"to complete in a transaction": pagesOf(t, d.text(completeJob), q, seqs[n-1], tokens[n-1], uuidText(d.identity), d.database, true) / 5,
		} {
			if pages > most {
				t.Errorf("with %d jobs that run, %s one of them reads %d pages (analyzed: %v)", n, what, pages, known)
			}
		}
	}
}
