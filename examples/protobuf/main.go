// Command protobuf runs a job whose args are a protobuf message. Its codec is all that it takes.
package main

import (
	"context"
	"fmt"
	"log"

	"google.golang.org/protobuf/proto"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
)

//go:generate protoc --go_out=. --go_opt=paths=source_relative welcome.proto

// Kind names the job on the wire. The method stands in the package of the generated type.
func (*Welcome) Kind() string { return "welcome" }

// Protobuf is a codec for messages of protobuf.
type Protobuf struct{}

// ContentType is stored with the job, so that a worker picks the right codec.
func (Protobuf) ContentType() string { return "application/protobuf" }

// Encode is called when a job is enqueued.
func (Protobuf) Encode(args any) ([]byte, error) {
	m, ok := args.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is no protobuf message", args)
	}
	return proto.Marshal(m)
}

// Decode is called by the worker.
func (Protobuf) Decode(body []byte, args any) error {
	m, ok := args.(proto.Message)
	if !ok {
		return fmt.Errorf("%T is no protobuf message", args)
	}
	return proto.Unmarshal(body, m)
}

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

// run enqueues one job and returns when it has run.
func run(ctx context.Context) error {
	d := memory.New()
	emails := batch.NewQueue(d, "emails", batch.WithCodec(Protobuf{}))
	if _, err := emails.Enqueue(ctx, &Welcome{UserId: 7}); err != nil {
		return err
	}
	w := batch.NewWorker(d, batch.WorkerConfig{
		Queues: []batch.WorkerQueue{{Name: "emails"}},
		Codecs: []batch.Codec{Protobuf{}},
	})
	done := make(chan struct{})
	batch.Handle(w, func(ctx context.Context, job *batch.Job[*Welcome]) error {
		fmt.Println(job.Kind, job.ContentType, job.Args.GetUserId())
		close(done)
		return nil
	})
	if err := w.Start(ctx); err != nil {
		return err
	}
	<-done
	return w.Stop(ctx)
}
