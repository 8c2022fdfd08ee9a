package sqs

import (
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch/driver"
)

// A queue that somebody else made in a way that would lose jobs is refused.
func TestDeclareConflict(t *testing.T) {
	for attribute, value := range map[string]string{
		"RedrivePolicy":          `{"maxReceiveCount":"3","deadLetterTargetArn":"arn:aws:sqs:us-east-1:1:other"}`,
		"MessageRetentionPeriod": "3600",
		"MaximumMessageSize":     "1024",
		"DelaySeconds":           "5",
	} {
		for _, queue := range []string{"q", "q-dead"} {
			f := newFake()
			d := f.open(t)
			f.queues[queue].attributes[attribute] = value
			err := d.Declare(t.Context(), "q")
			if !errors.Is(err, driver.ErrConflict) || !strings.Contains(err.Error(), attribute) || !strings.Contains(err.Error(), queue+" ") {
				t.Errorf("%s of %s: %v", attribute, queue, err)
			}
			closeAll(t, d)
		}
	}
}

// A queue for dead letters that takes less than the queue itself is refused, by name.
func TestDeclareSmallCompanion(t *testing.T) {
	f := newFake()
	d := f.open(t)
	defer closeAll(t, d)
	f.queues["q-dead"].attributes["MaximumMessageSize"] = "262144"
	if err := d.Declare(t.Context(), "q"); !errors.Is(err, driver.ErrConflict) || !strings.Contains(err.Error(), "q-dead has a MaximumMessageSize of 262144") {
		t.Errorf("Declare: %v", err)
	}
}

// Settings of an operator's that cannot harm are left alone: the driver says for each
// request how long it hides, waits and holds back.
func TestHarmlessSettings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		d := f.open(t)
		defer closeAll(t, d)
		for attribute, value := range map[string]string{"VisibilityTimeout": "0", "ReceiveMessageWaitTimeSeconds": "0", "Policy": "{}", "SqsManagedSseEnabled": "true"} {
			f.queues["q"].attributes[attribute] = value
		}
		if err := d.Declare(t.Context(), "q"); err != nil {
			t.Fatal(err)
		}
		put(t, d, job("job", 0))
		c := consume(t, d, 30*time.Second)
		got := receive(t, c)
		if hidden := time.Until(f.queues["q"].messages[0].visible); hidden < 30*time.Second {
			t.Errorf("the job is hidden for %s", hidden)
		}
		settle(t, c, driver.Settlement{Delivery: got, Outcome: driver.OutcomeDone})
	})
}

// A queue that the driver made beside that of the jobs, and that somebody removed, comes
// back: for delayed jobs and retries, and for what asks for both.
func TestRemovedCompanionComesBack(t *testing.T) {
	both(t, func(t *testing.T, f *fakeSQS, open func() testDriver) {
		d := open()
		defer closeAll(t, d)
		for _, name := range f.names() {
			if name == "q" || name == "q.fifo" {
				continue
			}
			delete(f.queues, name)
			c := consume(t, d, 30*time.Second)
			put(t, d, job("job", 0))
			got, err := c.Receive(t.Context(), 1)
			for tries := 0; errors.Is(err, driver.ErrNotFound) && tries < 2; tries++ { // the poll of the missing one
				got, err = c.Receive(t.Context(), 1)
			}
			if err != nil {
				t.Fatal(err)
			}
			s := []driver.Settlement{{Delivery: got[0], Outcome: driver.OutcomeRetry, Delay: 2 * time.Second}}
			if strings.HasSuffix(name, deadSuffix) {
				s[0].Outcome = driver.OutcomeDead
			}
			errs := c.Settle(t.Context(), s)
			for range 3 {
				if errs != nil {
					errs = c.Settle(t.Context(), s)
				}
			}
			if errs != nil {
				t.Errorf("without %s: %v", name, errs)
			}
			if depth, err := d.Depth(t.Context(), "q"); err != nil || depth.Scheduled+depth.Dead == 0 {
				t.Errorf("without %s: %+v, %v", name, depth, err)
			}
			if err := c.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
}

// A queue of a name that was deleted cannot be made for a minute.
func TestDeclareAfterDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		d := f.open(t)
		defer closeAll(t, d)
		if err := d.DeleteQueue(t.Context(), "q"); err != nil {
			t.Fatal(err)
		}
		err := d.Declare(t.Context(), "q")
		if !errors.Is(err, driver.ErrUnavailable) || driver.FateOf(err) != driver.FateNotStored ||
			!strings.Contains(err.Error(), "deleted less than 60 seconds ago") || !strings.Contains(err.Error(), "try again after that") {
			t.Errorf("Declare at once: %v", err)
		}
		time.Sleep(time.Minute)
		if err := d.Declare(t.Context(), "q"); err != nil {
			t.Errorf("Declare after a minute: %v", err)
		}
	})
}

// A worker that misses its queue declares it again while somebody is still deleting the
// rest of it: then it has all of its SQS queues.
func TestDeclareDuringDelete(t *testing.T) {
	both(t, func(t *testing.T, f *fakeSQS, open func() testDriver) {
		d := open()
		defer closeAll(t, d)
		before := f.names()
		delete(f.queues, "q")
		delete(f.queues, "q.fifo")
		deleted := false
		f.intercept = func(action string, _ *fakeRequest) (int, any, bool) {
			if action == "CreateQueue" && !deleted {
				deleted = true
				f.mu.Lock()
				clear(f.queues) // the companions, which Declare has just seen
				f.mu.Unlock()
			}
			return 0, nil, false
		}
		if err := d.Declare(t.Context(), "q"); err != nil {
			t.Fatal(err)
		}
		if after := f.names(); !deleted || !slices.Equal(before, after) {
			t.Errorf("the queues were %q and are %q", before, after)
		}
	})
}

// missing calls everything that needs a queue on one that does not exist.
func missing(t *testing.T, d testDriver, queue string) {
	t.Helper()
	ctx := t.Context()
	all := driver.Selection{All: true}
	for name, call := range map[string]func() error{
		"Depth":       func() error { _, err := d.Depth(ctx, queue); return err },
		"DeadLetters": func() error { _, _, err := d.DeadLetters(ctx, queue, "", 1); return err },
		"Redrive":     func() error { _, err := d.Redrive(ctx, queue, all); return err },
		"Discard":     func() error { _, err := d.Discard(ctx, queue, all); return err },
		"Enqueue":     func() error { return d.Enqueue(ctx, queue, []*driver.Message{job("job", 0)})[0].Err },
		"Enqueue with a delay": func() error {
			return d.Enqueue(ctx, queue, []*driver.Message{job("job", time.Second)})[0].Err
		},
		"Import": func() error {
			return d.Import(ctx, queue, []*driver.Entry{importEntry("job", driver.StateDead)})[0].Err
		},
		"Consume": func() error {
			c, err := d.Consume(ctx, queue, driver.ConsumeOptions{Lease: time.Minute, Prefetch: 1})
			if err == nil {
				defer c.Close(ctx)
				_, err = c.Receive(ctx, 1)
			}
			return err
		},
	} {
		for range 2 {
			err := call()
			if !errors.Is(err, driver.ErrNotFound) || driver.FateOf(err) != driver.FateNotStored ||
				!strings.Contains(err.Error(), "does not exist") || strings.Contains(err.Error(), "declare") {
				t.Errorf("%s of a missing queue: %v", name, err)
			}
		}
	}
	if err := d.DeleteQueue(ctx, queue); err != nil {
		t.Errorf("DeleteQueue of a missing queue: %v", err)
	}
}

// A queue that never was is missing, and stays so; one that was deleted behind an
// open handle is missing too, and dead letters of it that are still kept for the
// next page are not shown.
func TestMissingQueue(t *testing.T) {
	both(t, func(t *testing.T, f *fakeSQS, open func() testDriver) {
		d, other := open(), open()
		defer closeAll(t, d)
		defer closeAll(t, other)
		before := f.names()
		missing(t, d, "never")
		if after := f.names(); !slices.Equal(before, after) {
			t.Errorf("the queues were %q and are %q", before, after)
		}
		for _, r := range d.Import(t.Context(), "q", []*driver.Entry{importEntry("a", driver.StateDead), importEntry("b", driver.StateDead)}) {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
		}
		_, next, err := d.DeadLetters(t.Context(), "q", "", 1)
		if err != nil || next == "" {
			t.Fatalf("a first page: %q, %v", next, err)
		}
		if err := other.DeleteQueue(t.Context(), "q"); err != nil {
			t.Fatal(err)
		}
		if _, _, err := d.DeadLetters(t.Context(), "q", next, 1); !errors.Is(err, driver.ErrNotFound) {
			t.Errorf("the next page of a queue that was deleted: %v", err)
		}
		missing(t, d, "q")
		missing(t, other, "q")
		if names := f.names(); len(names) != 0 {
			t.Errorf("there are queues: %q", names)
		}
	})
}

// Each call on a queue that was deleted behind the handle finds that out by itself.
func TestMissingQueueWithKnownURL(t *testing.T) {
	for i := range 7 {
		f := newFake()
		d := f.open(t)
		q, _ := d.queues.Load("q")
		clear(f.queues)
		var err error
		switch i {
		case 0:
			_, err = d.Depth(t.Context(), "q")
		case 1:
			_, _, err = d.DeadLetters(t.Context(), "q", "", 1)
		case 2:
			_, err = d.Redrive(t.Context(), "q", driver.Selection{All: true})
		case 3:
			_, err = d.Discard(t.Context(), "q", driver.Selection{IDs: []string{"a"}})
		case 4:
			err = d.Enqueue(t.Context(), "q", []*driver.Message{job("job", 0)})[0].Err
		case 5:
			err = d.Import(t.Context(), "q", []*driver.Entry{importEntry("job", driver.StateWaiting)})[0].Err
		case 6:
			_, err = consume(t, d, time.Minute).Receive(t.Context(), 1)
		}
		if !errors.Is(err, driver.ErrNotFound) || driver.FateOf(err) != driver.FateNotStored {
			t.Errorf("call %d: %v", i, err)
		}
		if now, ok := d.queues.Load("q"); ok && now == q {
			t.Errorf("call %d: the URLs are still known", i)
		}
		closeAll(t, d)
	}
}

// The queues of either type are told from each other, from companions, from queues
// with another prefix, and from what others keep.
func TestListQueues(t *testing.T) {
	f := newFake()
	ctx := t.Context()
	standard, err := New(ctx, f.client(), Options{Prefix: "p-"})
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(t, standard)
	fifo, err := NewFIFO(ctx, f.client(), Options{Prefix: "p-"})
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(t, fifo)
	elsewhere, err := New(ctx, f.client(), Options{Prefix: "other-"})
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(t, elsewhere)
	check := func(d testDriver, want ...string) {
		t.Helper()
		if got, err := d.ListQueues(ctx); err != nil || !slices.Equal(got, want) {
			t.Errorf("listed %q, %v, want %q", got, err, want)
		}
	}
	check(standard)
	for _, queue := range []string{"b", "a", "a-dead", "a-jobs", "a-dead-jobs", "both"} {
		if err := standard.Declare(ctx, queue); err != nil {
			t.Fatal(err)
		}
	}
	for _, queue := range []string{"both", "c-fifo", "c"} {
		if err := fifo.Declare(ctx, queue); err != nil {
			t.Fatal(err)
		}
	}
	if err := elsewhere.Declare(ctx, "d"); err != nil {
		t.Fatal(err)
	}
	// Those of other programs: without companions, with one of another name, and one
	// that SQS takes jobs from.
	for _, name := range []string{"p-lone", "p-lone-jobs", "p-lone.fifo", "p-mail", "p-mail-dlq", "p-orders", "p-orders-dead", "p-half.fifo", "p-half-fifo-dead"} {
		f.queues[name] = &fakeQueue{attributes: map[string]string{}}
	}
	f.queues["p-orders"].attributes["RedrivePolicy"] = "{}"
	check(standard, "a", "a-dead", "a-dead-jobs", "a-jobs", "b", "both")
	check(fifo, "both", "c", "c-fifo")
	check(elsewhere, "d")
	if err := standard.DeleteQueue(ctx, "b"); err != nil {
		t.Fatal(err)
	}
	check(standard, "a", "a-dead", "a-dead-jobs", "a-jobs", "both")
}

// On the server: all queues of this test, which need more than one page, and none
// that a read made.
func TestQueuesOnServer(t *testing.T) {
	prefix := "list-" + strings.ToLower(rand.Text()[:8]) + "-"
	for _, scheme := range []string{scheme, schemeFIFO} {
		u := strings.Replace(testURL(t, scheme), "/?", "/"+prefix+"?", 1)
		b, err := openAny(t.Context(), u)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close(t.Context())
		for _, queue := range []string{"two", "one", "one-dead"} {
			if err := b.Declare(t.Context(), queue); err != nil {
				t.Fatal(err)
			}
		}
		before, err := b.client.list(t.Context(), prefix)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := b.ListQueues(t.Context()); err != nil || !slices.Equal(got, []string{"one", "one-dead", "two"}) {
			t.Errorf("listed %q, %v", got, err)
		}
		missing(t, b, "three")
		if after, err := b.client.list(t.Context(), prefix); err != nil || len(after) != len(before) {
			t.Errorf("the queues were %v and are %v, %v", before, after, err)
		}
		for _, queue := range []string{"two", "one", "one-dead"} {
			if err := b.DeleteQueue(t.Context(), queue); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := b.ListQueues(t.Context()); err != nil || len(got) != 0 {
			t.Errorf("deleted, and still listed: %q, %v", got, err)
		}
	}
}

// How long the oldest waiting job has waited is not known, unless none waits.
func TestDepthAge(t *testing.T) {
	f := newFake()
	d := f.open(t)
	defer closeAll(t, d)
	for _, want := range []time.Duration{0, driver.UnknownAge} {
		depth, err := d.Depth(t.Context(), "q")
		if err != nil || depth.Age != want || depth.Due != 0 {
			t.Errorf("%+v, %v, want Age %d", depth, err, want)
		}
		put(t, d, job("job", 0))
	}
}

// What was received of a queue that was deleted is lost, also when the queue has
// been declared again: nothing of it is stored there. The one handle deleted the
// queue itself, the other finds it missing when it polls.
func TestDeliveryOfDeletedQueue(t *testing.T) {
	both(t, func(t *testing.T, f *fakeSQS, open func() testDriver) {
		d, other := open(), open()
		defer closeAll(t, d)
		defer closeAll(t, other)
		held := make(map[*consumer][]*driver.Delivery)
		for _, c := range []*consumer{consume(t, d, time.Hour), consume(t, other, time.Hour)} {
			for range 5 {
				put(t, d, job("old", 0))
				held[c] = append(held[c], receive(t, c))
			}
		}
		if err := d.DeleteQueue(t.Context(), "q"); err != nil {
			t.Fatal(err)
		}
		for c := range held {
			if _, err := c.Receive(t.Context(), 1); !errors.Is(err, driver.ErrNotFound) {
				t.Fatalf("Receive: %v", err)
			}
		}
		time.Sleep(2 * time.Minute)
		for _, d := range []testDriver{d, other} {
			if err := d.Declare(t.Context(), "q"); err != nil {
				t.Fatal(err)
			}
		}
		for c, deliveries := range held {
			var settlements []driver.Settlement
			for i, outcome := range []driver.Outcome{driver.OutcomeDone, driver.OutcomeRetry, driver.OutcomeRelease, driver.OutcomeDead} {
				settlements = append(settlements, driver.Settlement{Delivery: deliveries[i], Outcome: outcome, Reason: driver.ReasonPermanent})
			}
			for i, err := range append(c.Settle(t.Context(), settlements), c.Extend(t.Context(), deliveries[4:])...) {
				if !errors.Is(err, driver.ErrLeaseLost) {
					t.Errorf("call %d: %v", i, err)
				}
			}
		}
		if depth, err := d.Depth(t.Context(), "q"); err != nil || depth != (driver.Depth{}) {
			t.Errorf("the new queue has %+v, %v", depth, err)
		}
		put(t, d, job("new", 0))
		for c := range held {
			settle(t, c, driver.Settlement{Delivery: receive(t, c), Outcome: driver.OutcomeRelease})
		}
	})
}

// Declaring a queue that is there takes the time of two requests, whatever it is made of.
func TestDeclareTakesTwoTrips(t *testing.T) {
	both(t, func(t *testing.T, f *fakeSQS, open func() testDriver) {
		d := open()
		defer closeAll(t, d)
		const trip = 10 * time.Millisecond
		f.intercept = func(string, *fakeRequest) (int, any, bool) {
			time.Sleep(trip)
			return 0, nil, false
		}
		begin, before := time.Now(), len(f.names())
		if err := d.Declare(t.Context(), "q"); err != nil || time.Since(begin) != 2*trip {
			t.Errorf("declared in %s, %v", time.Since(begin), err)
		}
		if n := f.count("CreateQueue"); n != before {
			t.Errorf("%d queues were made, want %d", n, before)
		}
	})
}
