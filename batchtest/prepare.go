package batchtest

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/internal/uuid"
)

// defaultQueue is the name of the queue of a job that does not say.
const defaultQueue = "batchtest"

// WorkOption says how [Work] calls a handler, and with what: a [JobOption] about the job, or [Middleware],
// [Handling] or [Context].
type WorkOption interface {
	set(*work) error
}

// work is one job, with what is needed to work on it.
type work struct {
	entry      batch.Entry
	queue      string
	codec      batch.Codec
	middleware []batch.Middleware
	handling   []batch.HandleOption
	values     context.Context
	driver     *memory.Driver
}

// prepare makes the work that options ask for, and the job as a queue would have it. It is stored on a queue of
// the work's own, so it is one that a worker can get.
func prepare[A batch.Args](ctx context.Context, t testing.TB, args A, options []WorkOption) (*work, batch.Entry) {
	t.Helper()
	w := &work{queue: defaultQueue, codec: batch.JSON{}, driver: memory.New(), values: ctx}
	now := time.Now()
	w.entry.ID, w.entry.State = uuid.NewV7(now), batch.StateWaiting
	w.entry.EnqueuedAt = now.UTC().Truncate(time.Millisecond)
	kind, err := kindOf[A]()
	if v := reflect.ValueOf(args); err == nil && v.Kind() == reflect.Pointer && v.IsNil() {
		err = errors.New("the args are a nil pointer: must be a value")
	}
	if err != nil {
		t.Fatalf("batchtest: %v", err)
	}
	w.entry.Kind = kind
	for i, o := range options {
		if o == nil {
			t.Fatalf("batchtest: option %d is nil", i+1)
		}
		if err := o.set(w); err != nil {
			t.Fatalf("batchtest: %v", err)
		}
	}
	if w.entry.Deliveries == 0 {
		w.entry.Deliveries = w.entry.Failures
	}
	if err := encode(ctx, w.codec, w.queue, &w.entry.Message, args); err != nil {
		t.Fatalf("batchtest: the args of kind %s cannot be encoded by %T: %v", kind, w.codec, err)
	}
	q, err := batch.TryNewQueue(w.driver, w.queue, batch.WithCodec(w.codec))
	if err == nil {
		_, err = batch.Import(ctx, q, []batch.Entry{w.entry})
	}
	if err != nil {
		t.Fatalf("batchtest: no worker can get such a job: %v", err)
	}
	return w, w.entry
}
