package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

var boundsCases = []Case{
	{Name: "bounds-message", Rule: "A message whose every field is at its bound arrives, comes back after a retry, and dies and is redriven as it was.", run: caseBoundsMessage},
	{Name: "bounds-body", Rule: "A body of exactly MaxBody, with headers of exactly MaxHeaders, is stored and arrives.", heavy: true, run: caseBoundsBody},
	{Name: "bounds-refused", Rule: "What is one beyond a bound is refused by a typed error, and nothing is sent.", run: caseBoundsRefused},
	{Name: "bounds-names", Rule: "Keys and groups are 1 to 128 bytes of printable ASCII without spaces: others are refused, and nothing is sent.", Needs: []string{"Deduplicator", "Grouper"}, run: caseBoundsNames},
	{Name: "bounds-call", Rule: "Jobs beyond EnqueueBatch and EnqueueBytes are stored in several calls, each once and whole.", run: caseBoundsCall},
	{Name: "bounds-numbers", Rule: "Deadlines far in the future or the past, long timeouts and many attempts are carried as they are.", run: caseBoundsNumbers},
	{Name: "bounds-lease", Rule: "Leases of MinLease and MaxLease are taken, and one out of these bounds is refused.", run: caseBoundsLease},
	{Name: "bounds-driver", Rule: "Of a call with more than it takes a driver carries out all that it reports no error of.", run: caseBoundsDriver},
	{Name: "bounds-page", Rule: "Pages of less than one and more than a thousand are refused, and so is a cursor that is none.", run: caseBoundsPage},
}

// wide is a message with every field at its bound, as far as the driver carries it.
func (s *stage) wide(d driver.Driver, id string) *driver.Message {
	m := full((id + strings.Repeat("~", 128))[:128])
	m.ContentType = strings.Repeat("~", 128)
	m.Headers = make(map[string]string)
	left := s.info.Limits.MaxHeaders
	for i := range 100 {
		name := fmt.Sprintf("%s%03d", strings.Repeat("h", 61), i)
		value := strings.Repeat("v", max(min((left-64*(100-i))/(100-i), 300), 0))
		if left < 64 {
			break
		}
		m.Headers[name] = value
		left -= len(name) + len(value)
	}
	if _, ok := bare(d).(driver.Deduplicator); ok {
		m.DedupKey = strings.Repeat("k", 128)
	}
	if _, ok := bare(d).(driver.Grouper); ok {
		m.Group = strings.Repeat("g", 128)
	}
	if _, ok := bare(d).(driver.Prioritizer); ok {
		m.Level = driver.Trivial
	}
	return m
}

func caseBoundsMessage(s *stage) {
	d := s.declared()
	m := s.wide(d, "wide")
	s.put(d, m)
	c := s.consume(d, 1)
	got := s.receiveOne(c)
	s.check(sameMessage(&got.Message, m), "received")
	text := strings.Repeat("e", 2048)
	for _, delay := range []time.Duration{0, 20 * time.Millisecond} {
		s.settleAs(c, driver.Settlement{Delivery: got, Outcome: driver.OutcomeRetry, Delay: delay, Failures: got.Failures + 1, Error: text, Bounces: 1000, BouncedSince: someBounces(0).since})
		got = s.receiveOne(c)
		s.check(sameMessage(&got.Message, m), "received after a retry")
		equal(s, got.LastError, text, "LastError")
	}
	s.settleAs(c, driver.Settlement{Delivery: got, Outcome: driver.OutcomeDead, Failures: 1000, Error: text, Reason: driver.ReasonBodyUnavailable, Bounces: 1000, BouncedSince: someBounces(0).since})
	dead := s.waitDeadLetters(d, 1)[0]
	s.check(sameMessage(&dead.Message, m), "dead")
	equal(s, dead.LastError, text, "LastError of the dead letter")
	n, err := d.Redrive(s.ctx, s.queue, driver.Selection{IDs: []string{m.ID}})
	s.check(err, "redrive")
	equal(s, n, 1, "dead letters redriven")
	got = s.receiveOne(c)
	s.check(sameMessage(&got.Message, m), "redriven")
	s.settle(c, got, driver.OutcomeDone)
}

func caseBoundsBody(s *stage) {
	l := s.info.Limits
	d := s.declared()
	body := make([]byte, l.MaxBody)
	for i := 0; i < len(body); i += 4093 {
		body[i] = byte(s.random.Uint32())
	}
	q := queueOf[driver.Driver](s, d, batch.WithCodec(rawCodec{}))
	value := strings.Repeat("v", l.MaxHeaders-1)
	_, err := q.Enqueue(s.ctx, raw(body), batch.ID(q, "large"), batch.Header(q, "h", value))
	s.check(err, "enqueue a body of MaxBody with headers of MaxHeaders")
	c := s.consume(d, 1)
	got := s.receiveOne(c)
	equal(s, bytes.Equal(got.Body, body), true, "whether the body of MaxBody arrived as it was")
	equal(s, got.Headers["h"] == value, true, "whether the header arrived as it was")
	s.settle(c, got, driver.OutcomeDone)
	s.waitDepth(d, driver.Depth{})
}

func caseBoundsRefused(s *stage) {
	q := s.portable()
	h101 := make(map[string]string)
	for i := range 101 {
		h101[fmt.Sprintf("h%d", i)] = ""
	}
	for what, option := range map[string]batch.Option[driver.Driver]{
		"an empty ID": batch.ID(q, ""), "an ID of 129 bytes": batch.ID(q, strings.Repeat("i", 129)),
		"an ID with a space": batch.ID(q, "a b"), "an ID that ends with a newline": batch.ID(q, "a\n"), "an ID that is not ASCII": batch.ID(q, "\u00e9"),
		"an empty header name": batch.Header(q, "", "v"), "a header name of 65 bytes": batch.Header(q, strings.Repeat("n", 65), "v"),
		"a header name with a space": batch.Header(q, "a b", "v"), "a header name with a colon": batch.Header(q, "a:b", "v"),
		"a reserved header name": batch.Header(q, "Batch-x", "v"), "101 headers": batch.Headers(q, h101),
		"0 attempts": batch.MaxAttempts(q, 0), "1001 attempts": batch.MaxAttempts(q, 1001),
		"a timeout of nothing": batch.Timeout(q, 0), "a negative timeout": batch.Timeout(q, -1), "a timeout beyond 30 days": batch.Timeout(q, 30*24*time.Hour+1),
		"a negative expiry": batch.ExpiresIn(q, -time.Second), "an expiry of nothing": batch.ExpiresIn(q, 0),
	} {
		_, err := q.Enqueue(s.ctx, task{}, option)
		var typed *batch.InvalidError
		if !errors.As(err, &typed) || !errors.Is(err, batch.ErrInvalid) {
			s.failf("an enqueue with %s: the error is %s, want an *InvalidError", what, quoteErr(err))
		}
	}
	s.emptyAfterRefusal(q)
	// And what is just within is taken.
	enqueue(s, q, 0, batch.Header(q, strings.Repeat("n", 64), ""), batch.MaxAttempts(q, 1000), batch.Timeout(q, 30*24*time.Hour))
	_, err := q.Enqueue(s.ctx, task{}, batch.ID(q, strings.Repeat("~", 128)), batch.MaxAttempts(q, 1), batch.Timeout(q, time.Hour))
	s.check(err, "enqueue with an ID of 128 bytes")
	s.finish(q.Driver(), 2)
}

// uniqueGrouper is what bounds-names runs on.
type uniqueGrouper interface {
	batch.Deduplicator
	driver.Grouper
}

func caseBoundsNames(s *stage) {
	q := queueOf[uniqueGrouper](s, s.open())
	window := q.Driver().DedupWindow()
	for what, option := range map[string]batch.Option[uniqueGrouper]{
		"an empty key": batch.Unique(q, ""), "a key of 129 bytes": batch.Unique(q, strings.Repeat("k", 129)),
		"a key with a space": batch.Unique(q, "a b"), "a key that ends with a space": batch.Unique(q, "a "), "a key with a newline": batch.Unique(q, "a\n"),
		"an empty group": batch.Group(q, ""), "a group of 129 bytes": batch.Group(q, strings.Repeat("g", 129)), "a group with a tab": batch.Group(q, "a\tb"),
		"a window of half a second": batch.UniqueWithin(q, "key", 500*time.Millisecond), "a window beyond the driver's": batch.UniqueWithin(q, "key", window+time.Millisecond),
	} {
		_, err := q.Enqueue(s.ctx, task{}, option)
		s.is(err, batch.ErrInvalid, "an enqueue with %s", what)
	}
	s.none(s.open())
	for n, option := range []batch.Option[uniqueGrouper]{batch.Unique(q, strings.Repeat("k", 128)), batch.Group(q, strings.Repeat("g", 128)), batch.UniqueWithin(q, "key", window)} {
		enqueue(s, q, n, option)
	}
	s.finish(s.open(), 3)
}

func caseBoundsCall(s *stage) {
	l := s.info.Limits
	jobs := min(l.EnqueueBatch+3, 2050)
	q := queueOf[driver.Driver](s, s.open(), batch.WithCodec(rawCodec{}))
	var all []batch.Request[driver.Driver]
	for i := range jobs {
		all = append(all, batch.Request[driver.Driver]{Args: raw(fmt.Sprint(i)), Options: []batch.Option[driver.Driver]{batch.ID(q, name(i))}})
	}
	if total := l.EnqueueBytes + l.MaxBody; total <= 8<<20 { // so that these exceed EnqueueBytes
		for i := range total/l.MaxBody + 1 {
			all = append(all, batch.Request[driver.Driver]{Args: raw(make([]byte, l.MaxBody)), Options: []batch.Option[driver.Driver]{batch.ID(q, name(jobs+i))}})
		}
	}
	results, err := q.EnqueueMany(s.ctx, all)
	s.check(err, "enqueue %d jobs", len(all))
	equal(s, len(results), len(all), "results")
	for i, r := range results {
		s.check(r.Err, "the result of job %d", i)
		equal(s, r.ID, name(i), "the ID of result %d", i)
	}
	d := q.Driver()
	hold := min(l.ReceiveBatch, l.SettleBatch, 200)
	c := s.consume(d, hold)
	for left := len(all); left > 0; {
		var settlements []driver.Settlement
		for _, got := range s.receive(c, min(left, hold)) {
			var i int
			fmt.Sscanf(got.ID, "job-%d", &i)
			if i < jobs {
				equal(s, string(got.Body), fmt.Sprint(i), "the body of %s", got.ID)
			} else {
				equal(s, len(got.Body), l.MaxBody, "the length of the body of %s", got.ID)
			}
			s.history.Add(Event{Op: Done, ID: got.ID})
			settlements = append(settlements, driver.Settlement{Delivery: got, Outcome: driver.OutcomeDone})
		}
		s.check(errors.Join(c.Settle(s.ctx, settlements)...), "settle")
		left -= len(settlements)
	}
	s.check(ExactCover(s.history.Events(), names(len(all))), "judge the history")
	s.waitDepth(d, driver.Depth{})
}

func caseBoundsNumbers(s *stage) {
	var all []*driver.Message
	for i, at := range []time.Time{
		{}, time.UnixMilli(1).UTC(), time.UnixMilli(0).UTC(), time.Date(1969, 12, 31, 23, 59, 59, 999e6, time.UTC),
		time.Date(2038, 1, 19, 3, 14, 8, 1e6, time.UTC), time.Date(2106, 2, 7, 6, 28, 16, 0, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC),
	} {
		m := message(name(i))
		m.ExpiresAt = at
		m.MaxAttempts = []int{0, 1, 2, 255, 256, 999, 1000}[i]
		m.Timeout = []time.Duration{0, time.Millisecond, 1001 * time.Millisecond, time.Minute, time.Hour, 24*time.Hour + time.Millisecond, 30 * 24 * time.Hour}[i]
		all = append(all, m)
	}
	early := message("early")
	early.EnqueuedAt = time.UnixMilli(1).UTC()
	late := message("late")
	late.EnqueuedAt = time.Date(2200, 1, 1, 0, 0, 0, 1e6, time.UTC)
	s.roundTrip(append(all, early, late)...)
}

func caseBoundsLease(s *stage) {
	l := s.info.Limits
	d := s.declared()
	if l.MaxLease == 0 {
		equal(s, s.consume(d, 1).Lease(), time.Duration(0), "Lease where the lease is the connection")
		return
	}
	for _, lease := range []time.Duration{l.MinLease, l.MaxLease} {
		c, err := d.Consume(s.ctx, s.queue, driver.ConsumeOptions{Lease: lease, Prefetch: 1})
		s.check(err, "open a consumer with a lease of %s", lease)
		equal(s, c.Lease(), lease, "its Lease")
		s.check(c.Close(s.ctx), "close it")
	}
	for _, lease := range []time.Duration{l.MinLease - 1, l.MaxLease + time.Second, 0, -time.Second} {
		config := batch.WorkerConfig{Queues: []batch.WorkerQueue{{Name: s.queue, Lease: lease}}}
		if lease != 0 { // which stands for the default
			_, err := batch.TryNewWorker(d, config)
			s.is(err, batch.ErrInvalid, "a worker with a lease of %s", lease)
		}
	}
}

func caseBoundsDriver(s *stage) {
	d := s.declared()
	// A driver may have room for more than it says; what it says that it has done is done.
	stored := 0
	for i, r := range s.resultsOf(d, messages(s.info.Limits.EnqueueBatch+1)...) {
		if r.Err == nil {
			stored++
			continue
		}
		s.outOfBounds(r.Err, fmt.Sprintf("message %d of EnqueueBatch+1", i))
	}
	s.finish(d, stored)

	s.settleTooMany(d)
}

// outOfBounds ends the case unless a call was refused for certain.
func (s *stage) outOfBounds(err error, what string) {
	if err == nil || driver.FateOf(err) != driver.FateNotStored {
		s.failf("%s: the error is %s with the fate %q, want one with %q", what, quoteErr(err), driver.FateOf(err), driver.FateNotStored)
	}
}

// settleTooMany settles one delivery more than a call takes.
func (s *stage) settleTooMany(d driver.Driver) {
	n := s.info.Limits.SettleBatch + 1
	s.put(d, messages(n)...)
	c := s.consume(d, n)
	var all []driver.Settlement
	for _, got := range s.receive(c, n) {
		all = append(all, driver.Settlement{Delivery: got, Outcome: driver.OutcomeDone})
	}
	errs := c.Settle(s.ctx, all)
	if errs != nil {
		equal(s, len(errs), n, "errors of a Settle of SettleBatch+1")
	}
	for i, err := range errs {
		if err != nil {
			equal(s, driver.FateOf(err), driver.FateNotStored, "the fate of settlement %d of SettleBatch+1", i)
			s.settle(c, all[i].Delivery, driver.OutcomeDone)
		}
	}
	s.waitDepth(d, driver.Depth{})
	s.check(c.Close(s.ctx), "close the consumer")
}

func caseBoundsPage(s *stage) {
	d := s.dead(2)
	for _, size := range []int{0, -1, 1001} {
		_, _, err := queueOf[driver.Driver](s, d).DeadLetters().List(s.ctx, "", size)
		s.is(err, batch.ErrInvalid, "a page of %d dead letters", size)
	}
	for _, cursor := range []string{"no cursor", "\x00", "-1", "99999999999999999999"} {
		page, _, err := d.DeadLetters(s.ctx, s.queue, cursor, 10)
		if err == nil && len(page) > 2 {
			s.failf("the cursor %q, which is none, shows %d dead letters of 2", cursor, len(page))
		}
	}
	s.waitDeadLetters(d, 2)
}
