package batch_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
)

// patientCodec is a codec that waits for a store that does not answer, until its context ends.
type patientCodec struct{ batch.JSON }

func (patientCodec) EncodeJob(_ context.Context, _ *batch.CodecJob, args any) ([]byte, error) {
	return batch.JSON{}.Encode(args)
}

func (patientCodec) DecodeJob(ctx context.Context, _ *batch.CodecJob, _ []byte, _ any) error {
	<-ctx.Done()
	return ctx.Err()
}

// A decode that fails because the worker stops says nothing of the body: the job is given back.
func TestDecodingEndsWithTheWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memory.New(), func(c *batch.WorkerConfig) { c.Codecs = []batch.Codec{patientCodec{}} })
		batch.Handle(r.worker, func(context.Context, *batch.Job[task]) error { return nil })
		r.enqueue(t, task{})
		r.start(t)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = r.worker.Stop(ctx) // that it took too long is not what this is about
		if end := <-r.events.ended; end.Started || end.Verdict.Outcome != batch.OutcomeRelease {
			t.Errorf("ended as %+v, want given back", end)
		}
		if left := depth(t, r.queue); left.Waiting != 1 || left.Dead != 0 {
			t.Errorf("left = %+v, want the job waiting", left)
		}
	})
}
