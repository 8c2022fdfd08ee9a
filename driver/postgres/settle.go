package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
	"github.com/batch-go/batch/internal/lifecycle"
	"github.com/batch-go/batch/internal/wire"
)

// The statements of the outcomes. Each returns the jobs that it ended.
var (
	settleDone = newStatement(held() + `, gone AS (
		DELETE FROM batch.jobs j WHERE j.seq = ` + heldOnes + ` RETURNING j.seq, j.queue
	), counted AS (
		INSERT INTO batch.tallies (queue, running) SELECT queue, -count(*) FROM gone GROUP BY queue
	) SELECT seq FROM gone`)

	settleRelease = newStatement(held() + `, back AS (
		UPDATE batch.jobs j SET state = 'w', due = NULL, token = NULL, since = clock_timestamp() WHERE j.seq = ` + heldOnes + ` RETURNING j.seq, j.queue
	), counted AS (
		INSERT INTO batch.tallies (queue, running, waiting) SELECT queue, -count(*), count(*) FROM back GROUP BY queue
	) SELECT seq FROM back`)

	settleRetry = newStatement(held("bigint delay", "integer failures", "integer bounces", "bigint bounced_since", "bytea last_error") + `, numbered AS MATERIALIZED (
		SELECT h.*, nextval('batch.numbers') AS number FROM held h
	), back AS (
		UPDATE batch.jobs j SET
			state = CASE WHEN h.delay > 0 THEN 's' ELSE 'w' END,
			due = CASE WHEN h.delay > 0 THEN clock_timestamp() + h.delay * interval '1 millisecond' END,
			pos = CASE WHEN j.grp IS NULL THEN h.number ELSE j.pos END,
			token = NULL, since = clock_timestamp(), lost = 0,
			failures = h.failures, bounces = h.bounces, bounced_since = h.bounced_since, last_error = h.last_error
		FROM numbered h WHERE j.seq = h.seq AND j.seq = ` + heldOnes + ` RETURNING j.seq, j.queue, j.state
	), counted AS (
		INSERT INTO batch.tallies (queue, running, waiting, scheduled)
		SELECT queue, -count(*), count(*) FILTER (WHERE state = 'w'), count(*) FILTER (WHERE state = 's') FROM back GROUP BY queue
	) SELECT seq FROM back`)

	settleDead = newStatement(held("text reason", "boolean strip", "integer failures", "integer bounces", "bigint bounced_since", "bytea last_error") + `, gone AS (
		DELETE FROM batch.jobs j USING held h WHERE j.seq = h.seq AND j.seq = ` + heldOnes + `
		RETURNING j.queue, j.level, j.id, j.kind, j.content_type, j.body, j.enqueued_at, j.expires_at, j.max_attempts, j.timeout_ms,
			CASE WHEN h.strip THEN NULL ELSE j.headers END AS headers, j.deliveries, j.dedup_key, j.dedup_number, j.grp,
			h.seq, h.reason, h.failures, h.bounces, h.bounced_since, h.last_error
	), kept AS (
		INSERT INTO batch.dead (seq, queue, level, id, kind, content_type, body, enqueued_at, expires_at, max_attempts, timeout_ms, headers,
			deliveries, failures, bounces, bounced_since, last_error, dedup_key, dedup_number, grp, dead_at, reason)
		SELECT nextval('batch.numbers'), queue, level, id, kind, content_type, body, enqueued_at, expires_at, max_attempts, timeout_ms, headers,
			deliveries, failures, bounces, bounced_since, last_error, dedup_key, dedup_number, grp, clock_timestamp(), reason FROM gone
	), counted AS (
		INSERT INTO batch.tallies (queue, running, dead) SELECT queue, -count(*), count(*) FROM gone GROUP BY queue
	) SELECT seq FROM gone`)

	// goOn lets groups go on.
	goOn = newStatement(`SELECT batch.go_on(q.id, $2::text[]) FROM batch.queues q WHERE q.name = $1::text`)
)

// lockPause is how long is waited at most between looks at a row that another call has locked.
const lockPause = 50 * time.Millisecond

// Settle ends deliveries, all that can be in one transaction.
func (c *consumer) Settle(ctx context.Context, settlements []driver.Settlement) []error {
	if len(settlements) == 0 {
		return nil
	}
	if err := c.begin(ctx); err != nil {
		return fault.All(len(settlements), fail("settle", c.queue, err))
	}
	defer c.calls.Exit()
	return c.settle(ctx, settlements)
}

// settle is Settle within a call.
func (c *consumer) settle(ctx context.Context, settlements []driver.Settlement) []error {
	const op = "settle"
	s := &settleCall{queue: c.queue, settlements: settlements, places: make(map[int64]int, len(settlements)), ended: make([]bool, len(settlements))}
	for i := range settlements {
		if err := s.plan(&c.d.home, i); err != nil {
			s.errs = fault.Set(s.errs, len(settlements), i, err)
		}
	}
	if len(s.places) == 0 {
		return s.errs
	}
	rings := s.wakes && c.d.bell.rings(c.queue)
	err := s.run(ctx, c.d, rings)
	var locked map[int64]bool
	for pause := time.Millisecond; err == nil && s.missing(); pause = min(2*pause, lockPause) {
		// Another call may have locked a row for a moment, or a transaction of the application for long.
		var moment bool
		if locked, moment, err = c.d.findHeld(ctx, s.receipts()); err != nil || !moment {
			break
		}
		if err = lifecycle.Sleep(ctx, pause); err == nil {
			err = s.run(ctx, c.d, rings)
		}
	}
	for seq, i := range s.places {
		var why error
		switch {
		case s.ended[i]:
			continue
		case err != nil:
			why = fail(op, c.queue, err)
		case locked[seq]:
			why = fail(op, c.queue, errInTx)
		default:
			why = faults.LeaseLost(op, c.queue)
		}
		s.errs = fault.Set(s.errs, len(settlements), i, why)
	}
	if s.wakes {
		c.d.bell.local(c.queue)
	}
	return s.errs
}

// settleCall is one call of Settle.
type settleCall struct {
	queue       string
	settlements []driver.Settlement
	errs        []error
	places      map[int64]int // by the number of the job
	ended       []bool        // by a transaction that is committed
	ending      []int         // by the one that is under way
	outcomes    [driver.OutcomeDead + 1][]int
	groups      []string
	wakes       bool // a job may be handed out at once
}

// plan decides in which step settlement i is carried out.
func (s *settleCall) plan(h *home, i int) error {
	t := &s.settlements[i]
	r, ok := receiptOf(t.Delivery)
	if !ok || r.queue != s.queue {
		return faults.LeaseLost("settle", s.queue)
	}
	if err := h.foreign("settle", r); err != nil {
		return err
	}
	if err := faults.CheckSettlement(s.queue, t, maxDelay); err != nil {
		return err
	}
	if _, twice := s.places[r.seq]; twice {
		return faults.LeaseLost("settle", s.queue)
	}
	s.places[r.seq] = i
	s.outcomes[t.Outcome] = append(s.outcomes[t.Outcome], i)
	if group := t.Delivery.Group; group != "" && (t.Outcome == driver.OutcomeDone || t.Outcome == driver.OutcomeDead) {
		s.groups = append(s.groups, group)
		s.wakes = true
	}
	if t.Outcome == driver.OutcomeRelease || t.Outcome == driver.OutcomeRetry && t.Delay == 0 {
		s.wakes = true
	}
	return nil
}

// run carries out what is left, in one transaction, and notifies if it rings.
func (s *settleCall) run(ctx context.Context, d *base, rings bool) error {
	s.ending = nil
	steps := s.steps()
	if rings {
		steps = append(steps, d.ringing(s.queue)...)
	}
	err := d.whole(ctx, steps...)
	if isTooLoud(err) {
		s.ending = nil
		err = d.whole(ctx, s.steps()...)
	}
	if err != nil {
		return err
	}
	for _, i := range s.ending {
		s.ended[i] = true
	}
	return nil
}

// steps are the statements of the call.
func (s *settleCall) steps() []step {
	var steps []step
	for outcome, statement := range map[driver.Outcome]statement{
		driver.OutcomeDone: settleDone, driver.OutcomeRelease: settleRelease, driver.OutcomeRetry: settleRetry, driver.OutcomeDead: settleDead,
	} {
		if index := s.left(outcome); len(index) > 0 {
			steps = append(steps, step{statement, s.columns(outcome, index), s.end})
		}
	}
	if len(s.groups) > 0 {
		steps = append(steps, step{goOn, []any{s.queue, s.groups}, nil})
	}
	return steps
}

// left are the settlements with an outcome that are not ended.
func (s *settleCall) left(outcome driver.Outcome) (index []int) {
	for _, i := range s.outcomes[outcome] {
		if !s.ended[i] {
			index = append(index, i)
		}
	}
	return index
}

// end takes note of a job that a step has ended.
func (s *settleCall) end(rows pgx.Rows) error {
	var seq int64
	if err := rows.Scan(&seq); err != nil {
		return err
	}
	if i, known := s.places[seq]; known {
		s.ending = append(s.ending, i)
	}
	return nil
}

// missing tells whether a job was not ended.
func (s *settleCall) missing() bool {
	for _, i := range s.places {
		if !s.ended[i] {
			return true
		}
	}
	return false
}

// receipts are those of the jobs that were not ended.
func (s *settleCall) receipts() []*receipt {
	var all []*receipt
	for _, i := range s.places {
		if !s.ended[i] {
			r, _ := receiptOf(s.settlements[i].Delivery)
			all = append(all, r)
		}
	}
	return all
}

// columns are the arguments of the statement of an outcome.
func (s *settleCall) columns(outcome driver.Outcome, index []int) []any {
	n := len(index)
	seqs, tokens := make([]int64, n), make([]int64, n)
	delays, failures, bounces, since := make([]int64, n), make([]int32, n), make([]int32, n), make([]*int64, n)
	reasons, strips, texts := make([]string, n), make([]bool, n), make([][]byte, n)
	for k, i := range index {
		t := &s.settlements[i]
		r, _ := receiptOf(t.Delivery)
		seqs[k], tokens[k] = r.seq, r.token
		delays[k], failures[k], bounces[k], since[k] = wire.Millis(t.Delay), count(t.Failures), count(t.Bounces), millisOf(t.BouncedSince)
		reasons[k], strips[k], texts[k] = t.Reason, t.Strip, []byte(t.Error)
	}
	args := []any{s.queue, seqs, tokens}
	switch outcome {
	case driver.OutcomeRetry:
		return append(args, delays, failures, bounces, since, texts)
	case driver.OutcomeDead:
		return append(args, reasons, strips, failures, bounces, since, texts)
	}
	return args
}

// count is a number of a job's history as it is stored.
func count(n int) int32 { return int32(min(max(n, 0), maxCount)) }
