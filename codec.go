package batch

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"

	"github.com/batch-go/batch/driver"
)

// Codec turns args into a job's body and back. The content type is stored with
// the job, and a worker picks the codec by it, so you can change the codec while
// jobs of the old one are still stored. Methods are called concurrently.
type Codec interface {
	// ContentType is the MIME type of what Encode makes, 1 to 128 bytes of
	// printable ASCII. It must never change.
	ContentType() string
	// Encode returns the encoded args. The slice must not be modified
	// afterwards.
	Encode(args any) ([]byte, error)
	// Decode fills the value that args points to. If the type that the handler was
	// made for is a pointer, then args is such a pointer, to a new zero value. It must
	// not keep or modify body.
	Decode(body []byte, args any) error
}

// JobCodec is a [Codec] that is told about the job: one that encrypts with a key for
// each tenant, for example, or keeps large bodies elsewhere. A queue and a worker
// call these methods instead of Encode and Decode. ctx is that of the enqueue, or
// that of the worker, which ends when the worker has to give up its jobs; a decoder
// that waits for something keeps a slot of the worker busy.
type JobCodec interface {
	Codec
	// EncodeJob is Encode. It may add to job.Headers, which DecodeJob finds again.
	EncodeJob(ctx context.Context, job *CodecJob, args any) ([]byte, error)
	// DecodeJob is Decode. It must not modify job.
	DecodeJob(ctx context.Context, job *CodecJob, body []byte, args any) error
}

// CodecJob is what a [JobCodec] is told about a job.
type CodecJob struct {
	// ID, Kind and Queue name the job, its type and its queue. Queue is empty for a
	// job that [Queue.Prepare] makes, as it may be sent to any.
	ID, Kind, Queue string
	// Headers are the job's, not nil.
	Headers map[string]string
}

// contentTypeOf is the content type of a codec. It is an error if it is not fit, or if
// the codec panics, as a nil pointer may.
func contentTypeOf(codec Codec) (contentType string, err error) {
	defer func() {
		if recover() != nil {
			err = invalid("codec", fmt.Sprintf("of type %T", codec), "a value whose ContentType method does not panic, and not a nil pointer")
		}
	}()
	contentType = codec.ContentType()
	return contentType, checkContentType(contentType)
}

// encodeArgs runs the codec for a message, and turns a panic into an error.
func encodeArgs(ctx context.Context, codec Codec, queue string, m *driver.Message, args Args) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = newPanicError(fmt.Sprintf("the codec, of type %T", codec), r)
		}
	}()
	withJob, ok := codec.(JobCodec)
	if !ok {
		m.Body, err = codec.Encode(args)
		return sound(err, "the codec")
	}
	job := &CodecJob{ID: m.ID, Kind: m.Kind, Queue: queue, Headers: maps.Clone(m.Headers)}
	if job.Headers == nil {
		job.Headers = make(map[string]string)
	}
	if m.Body, err = withJob.EncodeJob(ctx, job, args); err != nil {
		return sound(err, "the codec")
	}
	return setHeaders(m, job.Headers)
}

// decodeBody runs the codec for a job's body.
func decodeBody(ctx context.Context, codec Codec, info *JobInfo, args any) error {
	withJob, ok := codec.(JobCodec)
	if !ok {
		return codec.Decode(info.Body, args)
	}
	job := &CodecJob{ID: info.ID, Kind: info.Kind, Queue: info.Queue, Headers: info.Headers}
	if job.Headers == nil {
		job.Headers = make(map[string]string)
	}
	return withJob.DecodeJob(ctx, job, info.Body, args)
}

// JSON is the default codec: encoding/json, content type application/json.
type JSON struct{}

// ContentType is application/json.
func (JSON) ContentType() string { return "application/json" }

// Encode is json.Marshal.
func (JSON) Encode(args any) ([]byte, error) { return json.Marshal(args) }

// Decode is json.Unmarshal. It ignores fields that args does not have, so an
// older worker can run what a newer producer enqueued.
func (JSON) Decode(body []byte, args any) error { return json.Unmarshal(body, args) }
