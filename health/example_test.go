package health_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/health"
)

// Export is the job of this example.
type Export struct{ Shop string }

// Kind names the job on the wire.
func (Export) Kind() string { return "example.export" }

// get answers a request as the server of the program would.
func get(h http.Handler, path string) string {
	r := httptest.NewRecorder()
	h.ServeHTTP(r, httptest.NewRequest(http.MethodGet, path, nil))
	body, err := io.ReadAll(r.Body)
	if err != nil {
		log.Fatal(err)
	}
	return fmt.Sprintf("%d %s", r.Code, body)
}

// A worker with probes for Kubernetes.
func ExampleWatch() {
	ctx := context.Background()
	d := memory.New()
	config := batch.WorkerConfig{Queues: []batch.WorkerQueue{{Name: "exports"}}}
	check := health.Watch(d, &config, health.Config{})
	w := batch.NewWorker(d, config)
	batch.Handle(w, func(ctx context.Context, job *batch.Job[Export]) error { return nil })

	mux := http.NewServeMux()
	mux.Handle("GET /livez", check.Live(w))
	mux.Handle("GET /readyz", check.Ready(w))

	fmt.Print(get(mux, "/readyz"))
	if err := w.Start(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Print(get(mux, "/livez"))
	if err := w.Stop(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Print(get(mux, "/livez"))
	// Output:
	// 503 {"ready":false,"state":"new","why":"the worker has not started","broker_answered_seconds_ago":null}
	// 200 {"alive":true,"state":"running","stuck_handlers":0}
	// 503 {"alive":false,"state":"stopped","why":"the worker has stopped","stuck_handlers":0}
}

// The number of jobs that need a worker, for an autoscaler. The program that enqueues serves it.
func ExampleScale() {
	ctx := context.Background()
	d := memory.New()
	exports := batch.NewQueue(d, "exports")
	for _, shop := range []string{"berlin", "paris"} {
		if _, err := exports.Enqueue(ctx, Export{shop}); err != nil {
			log.Fatal(err)
		}
	}
	scale := health.Scale(d, health.ScaleConfig{Queues: []string{"exports", "export"}})
	var load health.Load
	r := httptest.NewRecorder()
	scale.ServeHTTP(r, httptest.NewRequest(http.MethodGet, "/scale", nil))
	if err := json.Unmarshal(r.Body.Bytes(), &load); err != nil {
		log.Fatal(err)
	}
	fmt.Println("exports:", *load.Queues["exports"].Backlog)
	fmt.Println("export:", load.Queues["export"].Backlog, load.Queues["export"].Error) // a mistyped name is not an empty queue
	// Output:
	// exports: 2
	// export: <nil> memory: depth on queue export: not found: the queue does not exist
}
