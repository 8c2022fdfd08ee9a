package otelbatch_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/otelbatch"
)

// codec is JSON with a function that is called first.
type codec struct {
	batch.JSON
	encode func() error
}

func (c codec) Encode(args any) ([]byte, error) {
	if err := c.encode(); err != nil {
		return nil, err
	}
	return c.JSON.Encode(args)
}

// enqueueStart is a hook for the start of enqueues.
type enqueueStart func(e *batch.EnqueueStart)

func (h enqueueStart) OnEnqueueStart(_ context.Context, e *batch.EnqueueStart) context.Context {
	h(e)
	return nil
}

// panickingPropagator panics when it is to write.
type panickingPropagator struct{ propagation.TraceContext }

func (panickingPropagator) Inject(context.Context, propagation.TextMapCarrier) { panic("boom") }

// enqueueing is a way in which an enqueue ends.
type enqueueing struct {
	options []batch.QueueOption
	codec   func() batch.Codec
	config  func(*otelbatch.Config)
	set     func(d *faulty)
	// call is an enqueue of one job, unless there is one here.
	call func(ctx context.Context, r *rig) error

	errorType string // of each span
	spans     int    // 1 if zero, none if negative
	sent      int    // of the counter
}

var enqueueings = map[string]enqueueing{
	"stored":     {sent: 1},
	"hook twice": {sent: 1, call: nil},
	"duplicate": {sent: 2, spans: 2, call: func(ctx context.Context, r *rig) error {
		_, _ = r.queue.Enqueue(ctx, task{}, batch.Unique(r.queue, "key"))
		_, err := r.queue.Enqueue(ctx, task{}, batch.Unique(r.queue, "key"))
		return err
	}},
	"many": {sent: 3, spans: 3, call: func(ctx context.Context, r *rig) error {
		_, err := batch.EnqueueAll(ctx, r.queue, []task{{1}, {2}, {3}})
		return err
	}},
	"atomic": {sent: 2, spans: 2, call: func(ctx context.Context, r *rig) error {
		_, err := batch.EnqueueAtomic(ctx, r.queue, []batch.Request[*faulty]{{Args: task{1}}, {Args: task{2}}})
		return err
	}},
	"atomic with one that does not encode": {errorType: "invalid", spans: 2, call: func(ctx context.Context, r *rig) error {
		_, err := batch.EnqueueAtomic(ctx, r.queue, []batch.Request[*faulty]{{Args: task{1}}, {Args: unencodable{}}})
		return err
	}},
	"too large": {errorType: "too_large", call: func(ctx context.Context, r *rig) error {
		_, err := r.queue.Enqueue(ctx, batch.Raw{JobKind: "task", ContentType: "text/plain", Body: make([]byte, r.driver.Info().Limits.MaxBody+1)})
		return err
	}},
	"an option that is invalid": {spans: -1, call: func(ctx context.Context, r *rig) error {
		_, err := r.queue.Enqueue(ctx, task{}, batch.MaxAttempts(r.queue, -1))
		return err
	}},
	"codec fails":     {options: []batch.QueueOption{batch.WithCodec(codec{encode: func() error { return errBoom }})}, errorType: "invalid"},
	"codec panics":    {options: []batch.QueueOption{batch.WithCodec(codec{encode: func() error { panic("boom") }})}, errorType: "panic"},
	"codec ends it":   {options: []batch.QueueOption{batch.WithCodec(codec{encode: func() error { runtime.Goexit(); return nil }})}, errorType: "panic"},
	"codec ends many": {codec: endsSecond, errorType: "panic", spans: 2, call: enqueueingTwo},
	"codec ends all":  {codec: endsSecond, errorType: "panic", spans: 2, call: enqueueingBoth},
	"later hook":      {options: []batch.QueueOption{batch.WithHooks(enqueueStart(func(*batch.EnqueueStart) { panic("boom") }))}, errorType: "panic"},
	"hook ends it":    {options: []batch.QueueOption{batch.WithHooks(enqueueStart(func(*batch.EnqueueStart) { runtime.Goexit() }))}, errorType: "panic"},
	"hook's header":   {options: []batch.QueueOption{batch.WithHooks(enqueueStart(func(e *batch.EnqueueStart) { e.Headers["batch-x"] = "" }))}, errorType: "invalid"},
	"propagator":      {config: func(c *otelbatch.Config) { c.Propagator = panickingPropagator{} }},
	"middleware":      {options: []batch.QueueOption{batch.WithEnqueueMiddleware(refuse)}, spans: -1},
	"broker away":     {set: func(d *faulty) { d.enqueue = failing(batch.ErrUnavailable, driver.FateNotStored) }, errorType: "unavailable", sent: 1},
	"broker breaks":   {set: func(d *faulty) { d.enqueue = failing(batch.ErrUnavailable, driver.FateUnknown) }, errorType: "unavailable", sent: 1},
	"broker full":     {set: func(d *faulty) { d.enqueue = slowly(failing(batch.ErrFull, driver.FateNotStored)) }, errorType: "full", sent: 1},
	"broker hangs":    {set: func(d *faulty) { d.enqueue = hanging }, errorType: "deadline_exceeded", sent: 1},
	"cannot declare":  {set: func(d *faulty) { d.declare = func() error { return fault(batch.ErrConflict, driver.FateNotStored) } }, errorType: "conflict"},
	"context has ended": {call: func(ctx context.Context, r *rig) error {
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		_, err := r.queue.Enqueue(ctx, task{})
		return err
	}, errorType: "canceled"},
}

// failing fails every enqueue.
func failing(kind error, fate driver.Fate) func(context.Context, []*driver.Message) []driver.Result {
	return func(_ context.Context, messages []*driver.Message) []driver.Result {
		results := make([]driver.Result, len(messages))
		for i := range results {
			results[i].Err = fault(kind, fate)
		}
		return results
	}
}

// slowly is a call that takes a second, of fake time.
func slowly(call func(context.Context, []*driver.Message) []driver.Result) func(context.Context, []*driver.Message) []driver.Result {
	return func(ctx context.Context, messages []*driver.Message) []driver.Result {
		time.Sleep(time.Second)
		return call(ctx, messages)
	}
}

// hanging does not answer.
func hanging(ctx context.Context, messages []*driver.Message) []driver.Result {
	<-ctx.Done()
	return failing(ctx.Err(), driver.FateUnknown)(ctx, messages)
}

// refuse is a middleware that sends nothing.
func refuse(batch.Enqueuer) batch.Enqueuer {
	return func(_ context.Context, jobs []*batch.EnqueueJob) []batch.Result {
		results := make([]batch.Result, len(jobs))
		for i := range results {
			results[i].Err = errBoom
		}
		return results
	}
}

// endsSecond is a codec that ends the goroutine at the second job.
func endsSecond() batch.Codec {
	jobs := 0
	return codec{encode: func() error {
		if jobs++; jobs == 2 {
			runtime.Goexit()
		}
		return nil
	}}
}

// enqueueingTwo enqueues two jobs in one call.
func enqueueingTwo(ctx context.Context, r *rig) error {
	_, err := batch.EnqueueAll(ctx, r.queue, []task{{1}, {2}, {3}})
	return err
}

// enqueueingBoth enqueues two jobs or none.
func enqueueingBoth(ctx context.Context, r *rig) error {
	_, err := batch.EnqueueAtomic(ctx, r.queue, []batch.Request[*faulty]{{Args: task{1}}, {Args: task{2}}})
	return err
}

// unencodable is a job that no codec encodes.
type unencodable struct{ C chan int }

func (unencodable) Kind() string { return "unencodable" }

// TestEveryEnqueueHasOneSpanThatEnds ends enqueues in all ways.
func TestEveryEnqueueHasOneSpanThatEnds(t *testing.T) {
	for name, e := range enqueueings {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				options := append([]batch.QueueOption{batch.WithEnqueueTimeout(time.Minute)}, e.options...)
				if e.codec != nil {
					options = append(options, batch.WithCodec(e.codec()))
				}
				r := newRig(t, e.config, options...)
				if name == "hook twice" {
					r.queue = batch.NewQueue(r.driver, "tasks", batch.WithHooks(r.hook, r.hook))
				}
				if e.set != nil {
					e.set(r.driver)
				}
				call := e.call
				if call == nil {
					call = func(ctx context.Context, r *rig) error { _, err := r.queue.Enqueue(ctx, task{}); return err }
				}
				returned := make(chan error, 1)
				go func() {
					defer close(returned)
					returned <- call(t.Context(), r)
				}()
				err := <-returned
				e.check(r, err)
			})
		})
	}
}

// check looks at the spans and the counter.
func (e *enqueueing) check(r *rig, err error) {
	t := r.t
	t.Helper()
	spans := r.ended("send tasks")
	if want := max(e.spans, 0); e.spans != 0 && len(spans) != want || e.spans == 0 && len(spans) != 1 {
		t.Fatalf("there are %d spans, want %d (one if 0)", len(spans), e.spans)
	}
	for _, span := range spans {
		if got := valueOf(span, "error.type"); got != e.errorType {
			t.Errorf("error.type is %q, want %q (%v)", got, e.errorType, err)
		}
		if (span.Status().Code == codes.Error) != (e.errorType != "") {
			t.Errorf("the status is %+v", span.Status())
		}
	}
	metrics, failure := r.collect()
	if failure != nil {
		t.Fatal(failure)
	}
	sent := 0
	for _, p := range points(metrics["messaging.client.sent.messages"]) {
		sent += int(p.value)
		if strings.Contains(p.attributes, "error.type="+e.errorType) != (e.errorType != "") {
			t.Errorf("sent jobs are counted with %s, want the error type %q", p.attributes, e.errorType)
		}
	}
	if sent != e.sent {
		t.Errorf("%d jobs are counted as sent, want %d", sent, e.sent)
	}
}

// TestDuplicatesAreNoError looks at the span of one.
func TestDuplicatesAreNoError(t *testing.T) {
	r := newRig(t, nil)
	r.enqueue(task{}, batch.Unique(r.queue, "key"))
	r.enqueue(task{}, batch.Unique(r.queue, "key"))
	spans := r.ended("send")
	if len(spans) != 2 || valueOf(spans[0], "batch.enqueue.duplicate") != "" || valueOf(spans[1], "batch.enqueue.duplicate") != "true" {
		t.Errorf("want two spans, of which the second is a duplicate's: %v", spans)
	}
	var failed *batch.EnqueueError
	r.driver.enqueue = failing(batch.ErrFull, driver.FateNotStored)
	if _, err := r.queue.Enqueue(t.Context(), task{}); !errors.As(err, &failed) {
		t.Fatal(err)
	}
	if spans = r.ended("send"); valueOf(spans[2], "batch.enqueue.fate") != failed.Fate.String() {
		t.Errorf("the fate is %q, want %q", valueOf(spans[2], "batch.enqueue.fate"), failed.Fate)
	}
}
