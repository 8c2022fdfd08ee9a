package batch_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
)

// received runs a worker with one handler for A until n jobs have come.
func received[A batch.Args](t *testing.T, d batch.Driver, n int, config batch.WorkerConfig, options ...batch.HandleOption) []*batch.Job[A] {
	t.Helper()
	config.Queues = []batch.WorkerQueue{{Name: "tasks", Concurrency: 1}}
	w := batch.NewWorker(d, config)
	came := make(chan *batch.Job[A], n)
	batch.Handle(w, func(_ context.Context, job *batch.Job[A]) error { came <- job; return nil }, options...)
	if err := w.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	var jobs []*batch.Job[A]
	for range n {
		select {
		case job := <-came:
			jobs = append(jobs, job)
		case <-time.After(30 * time.Second):
			t.Fatal("no job came")
		}
	}
	if err := w.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	return jobs
}

func TestRawIsNotEncoded(t *testing.T) {
	d := memory.New()
	q := batch.NewQueue(d, "tasks", batch.WithCodec(failingCodec{}))
	raw := batch.Raw{JobKind: task{}.Kind(), ContentType: "application/json", Body: []byte(`{"n":7}`)}
	for _, args := range []batch.Args{raw, &raw} {
		if _, err := q.Enqueue(t.Context(), args); err != nil {
			t.Fatal(err)
		}
	}
	for _, job := range received[task](t, d, 2, batch.WorkerConfig{}) {
		if job.Args.N != 7 {
			t.Errorf("the args are %+v", job.Args)
		}
	}
	for field, bad := range map[string]batch.Args{
		"kind":         batch.Raw{ContentType: "application/json"},
		"content type": batch.Raw{JobKind: "kind"},
		"body":         batch.Raw{JobKind: "kind", ContentType: "text/plain", Body: make([]byte, d.Info().Limits.MaxBody+1)},
		"args":         (*batch.Raw)(nil),
	} {
		_, err := q.Enqueue(t.Context(), bad)
		var refused *batch.InvalidError
		if !errors.As(err, &refused) || refused.Field != field {
			t.Errorf("Enqueue = %v, want an InvalidError for %s", err, field)
		}
	}
	w := batch.NewWorker(d, batch.WorkerConfig{Queues: []batch.WorkerQueue{{Name: "tasks"}}})
	if err := batch.TryHandle(w, func(context.Context, *batch.Job[batch.Raw]) error { return nil }); !errors.Is(err, batch.ErrInvalid) {
		t.Errorf("a handler for Raw: %v, want an error that wraps ErrInvalid", err)
	}
}

// failingCodec encodes nothing.
type failingCodec struct{ batch.JSON }

func (failingCodec) Encode(any) ([]byte, error) { return nil, errors.New("called") }

func TestAliasesRunOlderNames(t *testing.T) {
	d := memory.New()
	q := batch.NewQueue(d, "tasks")
	kinds := []string{"task.old", "task.older", task{}.Kind()}
	for _, kind := range kinds {
		if _, err := q.Enqueue(t.Context(), batch.Raw{JobKind: kind, ContentType: "application/json", Body: []byte(`{"n":7}`)}); err != nil {
			t.Fatal(err)
		}
	}
	wrapped := 0
	count := func(next batch.Handler) batch.Handler { wrapped++; return next }
	var got []string
	for _, job := range received[task](t, d, 3, batch.WorkerConfig{Middleware: []batch.Middleware{count}}, batch.HandleAliases("task.old"), batch.HandleAliases("task.older")) {
		got = append(got, job.Kind)
	}
	if !slices.Equal(got, kinds) {
		t.Errorf("kinds %q ran, want %q", got, kinds)
	}
	if wrapped != 1 {
		t.Errorf("the middleware was put around the handler %d times", wrapped)
	}
	for _, aliases := range [][]string{{"a b"}, {""}, {"twice", "twice"}, {task{}.Kind()}} {
		w := batch.NewWorker(d, batch.WorkerConfig{Queues: []batch.WorkerQueue{{Name: "tasks"}}})
		err := batch.TryHandle(w, func(context.Context, *batch.Job[task]) error { return nil }, batch.HandleAliases(aliases...))
		if !errors.Is(err, batch.ErrInvalid) {
			t.Errorf("aliases %q: %v, want an error that wraps ErrInvalid", aliases, err)
		}
		if err := batch.TryHandle(w, func(context.Context, *batch.Job[task]) error { return nil }); err != nil {
			t.Errorf("after refused aliases, the handler alone: %v", err)
		}
	}
}

func TestWithGivesOptionsToEveryJob(t *testing.T) {
	d := memory.New()
	q := batch.NewQueue(d, "tasks")
	high := q.With(batch.Priority(q, batch.High), batch.Header(q, "Tenant", "a"))
	low := high.With(batch.Priority(q, batch.Low))
	for _, c := range []struct {
		q      *batch.Queue[*memory.Driver]
		more   []batch.Option[*memory.Driver]
		level  batch.Level
		header string
	}{
		{q, nil, batch.Normal, ""},
		{high, nil, batch.High, "a"},
		{low, nil, batch.Low, "a"},
		{high, []batch.Option[*memory.Driver]{batch.Priority(q, batch.Critical), batch.Header(q, "Tenant", "b")}, batch.Critical, "b"},
	} {
		receipt, err := c.q.Enqueue(t.Context(), task{}, c.more...)
		if err != nil {
			t.Fatal(err)
		}
		job, err := batch.FindJob(t.Context(), q, receipt.ID)
		if err != nil || job.Level != c.level || job.Headers["Tenant"] != c.header {
			t.Errorf("the job is at level %s for tenant %q, %v, want %s and %q", job.Level, job.Headers["Tenant"], err, c.level, c.header)
		}
	}
	if _, err := q.With(batch.Option[*memory.Driver]{}).Enqueue(t.Context(), task{}); !errors.Is(err, batch.ErrInvalid) {
		t.Errorf("with the zero option: %v, want an error that wraps ErrInvalid", err)
	}
}

func TestEnqueueAllTakesJobsOfOneType(t *testing.T) {
	d := memory.New()
	q := batch.NewQueue(d, "tasks")
	results, err := batch.EnqueueAll(t.Context(), q, []task{{1}, {2}, {3}}, batch.Header(q, "Tenant", "a"))
	if err != nil || len(results) != 3 {
		t.Fatalf("EnqueueAll = %+v, %v", results, err)
	}
	for i, job := range received[task](t, d, 3, batch.WorkerConfig{}) {
		if job.Args.N != i+1 || job.Headers["Tenant"] != "a" || job.ID != results[i].ID {
			t.Errorf("job %d is %+v", i, job.JobInfo)
		}
	}
	_, err = batch.EnqueueAll(t.Context(), q, []task{{1}, {2}}, batch.MaxAttempts(q, -1))
	var many *batch.ManyError
	if !errors.As(err, &many) || many.Refused != 2 {
		t.Errorf("EnqueueAll = %v, want both refused", err)
	}
}

// tenantCodec is JSON with a key for each tenant, which it keeps in the body.
type tenantCodec struct{ batch.JSON }

func (tenantCodec) ContentType() string { return "application/x-tenant" }

func (c tenantCodec) EncodeJob(ctx context.Context, job *batch.CodecJob, args any) ([]byte, error) {
	job.Headers["Key"] = "1"
	body, err := c.Encode(args)
	return slices.Concat([]byte(job.Kind+" "+job.Headers["Tenant"]+" "), body), err
}

func (c tenantCodec) DecodeJob(ctx context.Context, job *batch.CodecJob, body []byte, args any) error {
	prefix := job.Kind + " " + job.Headers["Tenant"] + " "
	rest, ok := strings.CutPrefix(string(body), prefix)
	if !ok || job.Headers["Key"] != "1" || job.Queue != "tasks" || job.ID == "" || ctx == nil {
		return errors.New("the codec was told something else")
	}
	return c.Decode([]byte(rest), args)
}

func TestJobCodecKnowsTheJob(t *testing.T) {
	d := memory.New()
	q := batch.NewQueue(d, "tasks", batch.WithCodec(tenantCodec{}))
	given := map[string]string{"Tenant": "acme"}
	if _, err := q.Enqueue(t.Context(), task{7}, batch.Headers(q, given)); err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(given, map[string]string{"Tenant": "acme"}) {
		t.Errorf("the caller's headers became %v", given)
	}
	jobs := received[task](t, d, 1, batch.WorkerConfig{Codecs: []batch.Codec{tenantCodec{}}})
	if jobs[0].Args.N != 7 {
		t.Errorf("the args are %+v", jobs[0].Args)
	}
}

// What a caller does with a map after Headers is of no effect on the option, which a With
// handle uses for each of its jobs: meanwhile too, as the race detector sees.
func TestHeadersAreCopied(t *testing.T) {
	d := memory.New()
	q := batch.NewQueue(d, "tasks")
	given := map[string]string{"Tenant": "acme"}
	with := q.With(batch.Headers(q, given))
	changed := make(chan struct{})
	go func() {
		defer close(changed)
		given["Tenant"], given["no name"] = "another", ""
	}()
	for n := range 3 {
		if _, err := with.Enqueue(t.Context(), task{n}); err != nil {
			t.Fatal(err)
		}
	}
	<-changed
	for _, job := range received[task](t, d, 3, batch.WorkerConfig{}) {
		if !maps.Equal(job.Headers, map[string]string{"Tenant": "acme"}) {
			t.Errorf("job %d has the headers %v", job.Args.N, job.Headers)
		}
	}
}

// pointed is handled by pointer, as the types are that protobuf generates.
type pointed struct{ N int }

// Kind works on a nil pointer too.
func (*pointed) Kind() string { return "pointed" }

// strictCodec decodes into pointers to structs only, as protobuf does.
type strictCodec struct{ batch.JSON }

func (c strictCodec) Decode(body []byte, args any) error {
	if _, ok := args.(*pointed); !ok {
		return errors.New("not a message")
	}
	return c.JSON.Decode(body, args)
}

func TestPointersAreDecodedInto(t *testing.T) {
	d := memory.New()
	q := batch.NewQueue(d, "tasks")
	if _, err := q.Enqueue(t.Context(), &pointed{7}); err != nil {
		t.Fatal(err)
	}
	jobs := received[*pointed](t, d, 1, batch.WorkerConfig{Codecs: []batch.Codec{strictCodec{}}})
	if jobs[0].Args == nil || jobs[0].Args.N != 7 {
		t.Errorf("the args are %+v", jobs[0].Args)
	}
}

func TestUniqueWithinIsBounded(t *testing.T) {
	d := memory.New()
	q := batch.NewQueue(d, "tasks")
	for _, within := range []time.Duration{0, -time.Second, time.Second - 1, d.DedupWindow() + 1} {
		_, err := q.Enqueue(t.Context(), task{}, batch.UniqueWithin(q, "key", within))
		var refused *batch.InvalidError
		if !errors.As(err, &refused) || refused.Field != "UniqueWithin" {
			t.Errorf("UniqueWithin %s: %v, want an InvalidError", within, err)
		}
	}
}
