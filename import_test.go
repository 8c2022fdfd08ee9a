package batch_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
)

// importing is a memory driver whose imports a test can make fail.
type importing struct {
	*memory.Driver
	calls  int
	before func(call int, entries []*driver.Entry) []driver.Result // nil to go on
}

func (d *importing) Import(ctx context.Context, queue string, entries []*driver.Entry) []driver.Result {
	d.calls++
	if results := d.before(d.calls, entries); results != nil {
		return results
	}
	return d.Driver.Import(ctx, queue, entries)
}

// failing are results with the same error.
func failing(n int, kind error, fate driver.Fate) []driver.Result {
	results := make([]driver.Result, n)
	for i := range results {
		results[i].Err = &driver.Error{Driver: "memory", Op: "import", Kind: kind, Fate: fate}
	}
	return results
}

// waiting makes entries of jobs that wait.
func waiting(n int) []batch.Entry {
	entries := make([]batch.Entry, n)
	for i := range entries {
		entries[i] = batch.Entry{State: batch.StateWaiting, Message: driver.Message{
			ID: fmt.Sprintf("job-%d", i), Kind: "import", ContentType: "application/json", Body: []byte("{}"), EnqueuedAt: time.Now(),
		}}
	}
	return entries
}

// imported is a queue on a driver whose imports fail as before says, and what becomes
// of n entries.
func imported(t *testing.T, n int, before func(int, []*driver.Entry) []driver.Result) (*importing, *batch.Queue[*importing], []batch.Result, error) {
	d := &importing{Driver: memory.New(), before: before}
	q := batch.NewQueue(d, "q", batch.WithEnqueueTimeout(10*time.Second))
	results, err := batch.Import(t.Context(), q, waiting(n))
	return d, q, results, err
}

func TestImportSendsInParts(t *testing.T) {
	const jobs = 2500
	d, q, results, err := imported(t, jobs, func(int, []*driver.Entry) []driver.Result { return nil })
	if err != nil || len(results) != jobs || results[7].ID != "job-7" {
		t.Fatalf("%d results, %v", len(results), err)
	}
	if limit := d.Info().Limits.EnqueueBatch; d.calls != (jobs+limit-1)/limit {
		t.Errorf("%d requests for %d jobs of at most %d", d.calls, jobs, limit)
	}
	if depth, err := q.Depth(t.Context()); err != nil || depth.Waiting != jobs {
		t.Errorf("%+v, %v", depth, err)
	}
}

// What is certainly not stored is sent again, and nothing else.
func TestImportTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, q, results, err := imported(t, 3, func(call int, entries []*driver.Entry) []driver.Result {
			if call == 1 {
				results := failing(3, driver.ErrUnavailable, driver.FateNotStored)
				results[1] = failing(1, driver.ErrUnavailable, driver.FateUnknown)[0]
				return results
			}
			if len(entries) != 2 || entries[0].ID != "job-0" || entries[1].ID != "job-2" {
				t.Errorf("call %d has %d entries", call, len(entries))
			}
			return nil
		})
		var many *batch.ManyError
		if !errors.As(err, &many) || many.Unconfirmed != 1 || many.MaybeStored != 1 || many.Total != 3 || d.calls != 2 {
			t.Errorf("%v after %d calls", err, d.calls)
		}
		var e *batch.EnqueueError
		if !errors.As(results[1].Err, &e) || e.ID != "job-1" || e.Fate != batch.FateUnknown {
			t.Errorf("%v", results[1].Err)
		}
		if depth, _ := q.Depth(t.Context()); depth.Waiting != 2 {
			t.Errorf("%+v", depth)
		}
	})
}

// One timeout ends it: the rest is not sent, and not waited for.
func TestImportGivesUpOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		_, _, results, err := imported(t, 5000, func(_ int, entries []*driver.Entry) []driver.Result {
			return failing(len(entries), driver.ErrUnavailable, driver.FateNotStored)
		})
		var many *batch.ManyError
		if !errors.As(err, &many) || many.NotStored != 5000 {
			t.Errorf("%v", err)
		}
		if took := time.Since(begin); took > 10*time.Second {
			t.Errorf("it took %s", took)
		}
		if last := results[4999].Err; !errors.Is(last, context.DeadlineExceeded) || !errors.Is(last, batch.ErrUnavailable) {
			t.Errorf("%v", last)
		}
	})
}

// A queue that is deleted between two requests is declared again.
func TestImportDeclaresAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d *memory.Driver
		deleting := &importing{Driver: memory.New()}
		d = deleting.Driver
		deleting.before = func(call int, _ []*driver.Entry) []driver.Result {
			if call == 2 {
				if err := d.DeleteQueue(t.Context(), "q"); err != nil {
					t.Error(err)
				}
			}
			return nil
		}
		q := batch.NewQueue(deleting, "q")
		if _, err := batch.Import(t.Context(), q, waiting(1500)); err != nil {
			t.Fatal(err)
		}
		if depth, err := q.Depth(t.Context()); err != nil || depth.Waiting != 500 {
			t.Errorf("%+v, %v", depth, err)
		}
	})
}

// Nothing of an entry that cannot be stored as it is reaches the driver, and its error
// names it.
func TestImportRefusals(t *testing.T) {
	for name, x := range map[string]struct {
		change func(*batch.Entry)
		want   error
	}{
		"no ID":            {func(e *batch.Entry) { e.ID = "" }, batch.ErrInvalid},
		"a kind of spaces": {func(e *batch.Entry) { e.Kind = " " }, batch.ErrInvalid},
		"no content type":  {func(e *batch.Entry) { e.ContentType = "" }, batch.ErrInvalid},
		"no state":         {func(e *batch.Entry) { e.State = 0 }, batch.ErrInvalid},
		"another state":    {func(e *batch.Entry) { e.State = batch.StateDead + 1 }, batch.ErrInvalid},
		"waiting, delayed": {func(e *batch.Entry) { e.Delay = 1 }, batch.ErrInvalid},
		"delayed too long": {func(e *batch.Entry) { e.State, e.Delay = batch.StateScheduled, 1<<62 }, batch.ErrInvalid},
		"failed less":      {func(e *batch.Entry) { e.Failures = -1 }, batch.ErrInvalid},
		"a header":         {func(e *batch.Entry) { e.Headers = map[string]string{"batch-x": ""} }, batch.ErrInvalid},
		"too large":        {func(e *batch.Entry) { e.Body = make([]byte, 65<<20) }, batch.ErrTooLarge},
		"a priority":       {func(e *batch.Entry) { e.Level = batch.High }, batch.ErrCapability},
		"a key":            {func(e *batch.Entry) { e.DedupKey = "k" }, batch.ErrCapability},
		"a group":          {func(e *batch.Entry) { e.Group = "g" }, batch.ErrCapability},
	} {
		b, err := memory.NewBroker(memory.Options{})
		if err != nil {
			t.Fatal(err)
		}
		full, err := b.Open()
		if err != nil {
			t.Fatal(err)
		}
		poor, err := b.OpenPortable()
		if err != nil {
			t.Fatal(err)
		}
		q := batch.NewQueue(portableImporter{poor, full}, "q")
		entries := waiting(2)
		x.change(&entries[1])
		results, err := batch.Import(t.Context(), q, entries)
		var many *batch.ManyError
		if !errors.As(err, &many) || many.Refused != 1 || many.Unconfirmed != 1 {
			t.Errorf("%s: %v", name, err)
		}
		if got := results[1].Err; !errors.Is(got, x.want) || !strings.Contains(got.Error(), "entry 2 of 2, job ") {
			t.Errorf("%s: %v", name, got)
		}
		if depth, err := q.Depth(t.Context()); err != nil || depth.Waiting != 1 {
			t.Errorf("%s: %+v, %v", name, depth, err)
		}
	}
}

// portableImporter is a driver that can import, and nothing else that not every driver
// can.
type portableImporter struct {
	*memory.Portable
	driver.Importer
}

func TestRedriveWithBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := memory.New()
		q := batch.NewQueue(d, "q")
		dead := waiting(1)[0]
		dead.State, dead.Reason, dead.DeadAt = batch.StateDead, batch.ReasonUndecodable, time.Now()
		dead.Failures, dead.Deliveries, dead.LastError, dead.Group = 3, 5, "no", "g"
		if _, err := batch.Import(t.Context(), q, []batch.Entry{dead}); err != nil {
			t.Fatal(err)
		}
		page, _, err := q.DeadLetters().List(t.Context(), "", 1)
		if err != nil {
			t.Fatal(err)
		}
		if err := batch.RedriveWithBody(t.Context(), q, page[0], []byte("changed")); err != nil {
			t.Fatal(err)
		}
		if depth, err := q.Depth(t.Context()); err != nil || depth.Dead != 0 || depth.Scheduled != 1 {
			t.Fatalf("%+v, %v", depth, err)
		}
		c, err := d.Consume(t.Context(), "q", driver.ConsumeOptions{Lease: time.Minute, Prefetch: 1})
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Receive(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		if j := got[0]; j.ID != "job-0" || string(j.Body) != "changed" || j.Failures != 0 || j.Deliveries != 1 || j.LastError != "" || j.Group != "g" {
			t.Errorf("%+v", j)
		}
		// Again, although the dead letter is gone.
		err = batch.RedriveWithBody(t.Context(), q, page[0], []byte("changed"))
		if !errors.Is(err, batch.ErrNotFound) || !strings.Contains(err.Error(), "job job-0 is stored with its new body") {
			t.Errorf("%v", err)
		}
		// A body that cannot be is refused, and nothing changes.
		if err := batch.RedriveWithBody(t.Context(), q, page[0], make([]byte, 65<<20)); !errors.Is(err, batch.ErrTooLarge) {
			t.Errorf("%v", err)
		}
	})
}

// TestImportKeepsTheTimeOfWhatIsListed moves a scheduled job as ListJobs shows it.
func TestImportKeepsTheTimeOfWhatIsListed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := memory.New()
		from, to := batch.NewQueue(d, "from"), batch.NewQueue(d, "to")
		if _, err := from.Enqueue(t.Context(), task{}, batch.ID(from, "job"), batch.Delay(from, time.Hour)); err != nil {
			t.Fatal(err)
		}
		due := time.Now().Add(time.Hour)
		time.Sleep(20 * time.Minute)
		listed, _, err := batch.ListJobs(t.Context(), from, batch.StateScheduled, "", 10)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := batch.Import(t.Context(), to, listed); err != nil {
			t.Fatal(err)
		}
		job, err := batch.FindJob(t.Context(), to, "job")
		if err != nil || job.State != batch.StateScheduled || !job.DueAt.Equal(due) {
			t.Errorf("the job is %s until %s, %v, want scheduled until %s", job.State, job.DueAt, err, due)
		}
	})
}
