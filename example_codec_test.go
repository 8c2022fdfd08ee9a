package batch_test

import (
	"bytes"
	"context"
	"encoding/gob"
	"fmt"
	"log"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
)

// Matrix is the job of this example.
type Matrix struct{ Rows [][]float64 }

// Kind names the job on the wire.
func (Matrix) Kind() string { return "example.matrix" }

// Gob is a codec.
type Gob struct{}

// ContentType is stored with the job, so that a worker picks the right codec.
func (Gob) ContentType() string { return "application/x-gob" }

// Encode is called when a job is enqueued.
func (Gob) Encode(args any) ([]byte, error) {
	var b bytes.Buffer
	err := gob.NewEncoder(&b).Encode(args)
	return b.Bytes(), err
}

// Decode is called by the worker.
func (Gob) Decode(body []byte, args any) error {
	return gob.NewDecoder(bytes.NewReader(body)).Decode(args)
}

// While jobs of an older codec are stored, workers need both.
func ExampleCodec() {
	ctx := context.Background()
	d := memory.New()
	for _, q := range []*batch.Queue[*memory.Driver]{
		batch.NewQueue(d, "matrices"), // JSON
		batch.NewQueue(d, "matrices", batch.WithCodec(Gob{})),
	} {
		if _, err := q.Enqueue(ctx, Matrix{[][]float64{{1, 0}, {0, 1}}}); err != nil {
			log.Fatal(err)
		}
	}

	w := batch.NewWorker(d, batch.WorkerConfig{
		Queues: []batch.WorkerQueue{{Name: "matrices", Concurrency: 1}},
		Codecs: []batch.Codec{batch.JSON{}, Gob{}},
	})
	ran := make(chan string)
	batch.Handle(w, func(ctx context.Context, job *batch.Job[Matrix]) error {
		ran <- fmt.Sprint(job.ContentType, " ", job.Args.Rows)
		return nil
	})
	if err := w.Start(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println(<-ran)
	fmt.Println(<-ran)
	if err := w.Stop(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// application/json [[1 0] [0 1]]
	// application/x-gob [[1 0] [0 1]]
}
