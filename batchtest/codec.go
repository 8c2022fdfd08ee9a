package batchtest

import (
	"context"
	"fmt"
	"maps"
	"reflect"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

// kindOf is the kind of A, which has to be one that a handler can be made for.
func kindOf[A batch.Args]() (kind string, err error) {
	t := reflect.TypeFor[A]()
	defer func() {
		if recover() != nil {
			err = fmt.Errorf("the method Kind of %s panics on a zero value", t)
		}
	}()
	if t.Kind() == reflect.Interface {
		return "", fmt.Errorf("%s is an interface: must be the type of the args of one kind", t)
	}
	var args A
	kind = target(&args).(batch.Args).Kind()
	if kind == "" {
		return "", fmt.Errorf("the kind of %s is empty: must be the type of the args of one kind", t)
	}
	return kind, nil
}

// target is what a codec decodes into: args, or what they point to if A is a pointer.
func target[A batch.Args](args *A) any {
	if t := reflect.TypeFor[A](); t.Kind() == reflect.Pointer {
		*args = reflect.New(t.Elem()).Interface().(A)
		return *args
	}
	return args
}

// jobOf is what a codec is told about a job.
func jobOf(queue string, m *driver.Message) *batch.CodecJob {
	job := &batch.CodecJob{ID: m.ID, Kind: m.Kind, Queue: queue, Headers: maps.Clone(m.Headers)}
	if job.Headers == nil {
		job.Headers = make(map[string]string)
	}
	return job
}

// encode gives a message the body of args, and the headers that the codec adds.
func encode(ctx context.Context, codec batch.Codec, queue string, m *driver.Message, args any) (err error) {
	defer recovered("encoding", &err)
	m.ContentType = codec.ContentType()
	withJob, ok := codec.(batch.JobCodec)
	if !ok {
		m.Body, err = codec.Encode(args)
		return err
	}
	job := jobOf(queue, m)
	if m.Body, err = withJob.EncodeJob(ctx, job, args); err == nil && len(job.Headers) > 0 {
		m.Headers = job.Headers
	}
	return err
}

// decode are the args of a message.
func decode[A batch.Args](ctx context.Context, codec batch.Codec, queue string, m *driver.Message) (args A, err error) {
	defer recovered("decoding", &err)
	if name := codec.ContentType(); m.ContentType != name {
		return args, fmt.Errorf("its content type is %q, and the codec of the queue's handle is for %q", m.ContentType, name)
	}
	into := target(&args)
	if withJob, ok := codec.(batch.JobCodec); ok {
		err = withJob.DecodeJob(ctx, jobOf(queue, m), m.Body, into)
	} else {
		err = codec.Decode(m.Body, into)
	}
	return args, err
}

// recovered makes an error of a panic of a codec.
func recovered(doing string, err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("panic while %s: %v", doing, r)
	}
}
