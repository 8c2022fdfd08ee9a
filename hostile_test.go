package batch_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
)

// fickle is an error whose methods panic from the second call on.
type fickle struct{ errors, walks atomic.Int64 }

func (e *fickle) Error() string {
	if e.errors.Add(1) > 1 {
		panic("in Error")
	}
	return "fickle"
}

func (e *fickle) Unwrap() error {
	if e.walks.Add(1) > 2 { // sound walks twice
		panic("in Unwrap")
	}
	return nil
}

// hostileCodec is a codec that does something for each body that says so.
type hostileCodec struct {
	batch.JSON
	decode func() error
}

func (c hostileCodec) Decode(body []byte, args any) error {
	if strings.Contains(string(body), "666") {
		return c.decode()
	}
	return c.JSON.Decode(body, args)
}

// TestHostileValues has one slot run a bad job and then a good one, and stops the worker: the good one is done, the bad
// one is dead, and nothing is held.
func TestHostileValues(t *testing.T) {
	nothing := func() error { return nil }
	goexit := func() error { runtime.Goexit(); return nil }
	failed := func() error { return errors.New("failed") }
	policy := func(do func()) batch.RetryPolicy {
		return batch.RetryFunc(func(int, error) time.Duration { do(); return time.Second })
	}
	for _, tt := range []struct {
		name            string
		handler, decode func() error
		policy          batch.RetryPolicy
	}{
		{name: "panic with an error that panics in As", handler: func() error { panic(&fragile{inAs: true}) }},
		{name: "panic with an error that panics in Unwrap", handler: func() error { panic(&fragile{inUnwrap: true}) }},
		{name: "panic with an error that panics in Error", handler: func() error { panic(&fragile{inError: true}) }},
		{name: "panic with a nil error", handler: func() error { panic((*fragile)(nil)) }},
		{name: "an error whose Error panics with itself", handler: func() error { return &selfish{} }},
		{name: "fickle error", handler: func() error { return &fickle{} }},
		{name: "policy panics with a hostile error", handler: failed, policy: policy(func() { panic(&fragile{inAs: true}) })},
		{name: "policy Goexit", handler: failed, policy: policy(runtime.Goexit)},
		{name: "decoder panics with a hostile error", decode: func() error { panic(&fragile{inAs: true}) }},
		{name: "decoder Goexit", decode: goexit},
		{name: "decoder fickle", decode: func() error { return &fickle{} }},
		{name: "unreadable fickle", decode: func() error { return batch.Unreadable(&fickle{}) }},
		{name: "unreadable nil pointer", decode: func() error { return batch.Unreadable((*fragile)(nil)) }},
		{name: "permanent fickle", handler: func() error { return batch.Permanent(&fickle{}) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				handler, decode := tt.handler, tt.decode
				if handler == nil {
					handler = nothing
				}
				if decode == nil {
					decode = nothing
				}
				r := newRig(t, memory.New(), func(c *batch.WorkerConfig) {
					c.Queues[0].Concurrency, c.Queues[0].Prefetch = 1, batch.NoPrefetch
					c.Codecs = []batch.Codec{hostileCodec{decode: decode}}
					c.MaxAttempts, c.RetryPolicy, c.BounceTimeout = 2, batch.ConstantBackoff(time.Second), time.Hour
					if tt.policy != nil {
						c.RetryPolicy = tt.policy
					}
				})
				batch.Handle(r.worker, func(_ context.Context, job *batch.Job[task]) error {
					if job.Args.N == 0 || job.Args.N == 666 {
						return handler()
					}
					return nil
				})
				bad := 666
				if tt.decode == nil {
					bad = 0
				}
				r.enqueue(t, task{bad})
				r.start(t)
				time.Sleep(3 * time.Hour) // fake time
				r.enqueue(t, task{1})
				time.Sleep(time.Minute)
				if left := depth(t, r.queue); left != (batch.Depth{Dead: 1}) {
					t.Errorf("left %+v, want one dead", left)
				}
				letters, _, err := r.queue.DeadLetters().List(t.Context(), "", 10)
				if err == nil && len(letters) == 1 {
					t.Log(letters[0].Reason, letters[0].LastError)
				}
				r.stop(t)
			})
		})
	}
}

// selfish panics with itself.
type selfish struct{}

func (e *selfish) Error() string { panic(e) }
func (e *selfish) As(any) bool   { panic(e) }
