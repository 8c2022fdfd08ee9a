// Package health tells an orchestrator and an autoscaler how a program with a worker is doing: HTTP handlers for
// liveness, for readiness and for the number of jobs that need workers, each with a JSON body that says why.
//
//	config := batch.WorkerConfig{Queues: []batch.WorkerQueue{{Name: "emails"}}}
//	check := health.Watch(d, &config, health.Config{})
//	w := batch.NewWorker(d, config)
//	// batch.Handle(w, ...)
//	http.Handle("GET /livez", check.Live(w))
//	http.Handle("GET /readyz", check.Ready(w))
//	http.Handle("GET /scale", health.Scale(d, health.ScaleConfig{Queues: []string{"emails"}}))
//
// # Liveness
//
// [Check.Live] answers from what the process itself knows, and never asks the broker: if it did, an outage of the broker
// would restart all workers, which mends nothing and makes the outage worse. It fails if a restart may help: the worker
// has failed or stopped while the process goes on, too many handlers are stuck, or the loop that extends the leases of
// running jobs has come to a standstill.
//
// # Readiness
//
// [Check.Ready] fails until the worker runs, when it drains, and while the broker has not answered for longer than
// Patience. Whatever the worker asks of the broker is an answer, so a busy worker costs nothing. On a queue where nothing
// happens the check asks for the depth now and then, and while the broker is away no more often than once in a tenth of
// Patience, whatever the number of probes. A probe waits for that only if nothing else is known, and for ProbeTimeout at most.
//
// # Autoscaling
//
// [Scale] is for the metrics-api scaler of KEDA and its like. Its answer has the depth of each queue, and two sums to scale
// by; what a broker cannot tell is null and never zero, which an autoscaler takes for an error and not for an empty queue:
//
//	{"queues": {"emails": {"backlog": 12, "demand": 15, "waiting": 11, "due": 1, "scheduled": 4,
//	  "running": 3, "dead": 0, "age_seconds": 2.5}}, "total": {"backlog": 12, "demand": 15}}
//
// Serve it from a program that is there when there are no workers, such as the one that enqueues: workers that were scaled
// down to zero answer nobody. All that ask share one look at the broker for CacheFor, so any number of probes on a broker
// that is away are one call.
//
// The handlers answer GET and HEAD. They show names of queues, counts and the text of errors, which have no credentials and
// nothing of a job. They are meant for the network of a cluster: put what authenticates around them elsewhere.
package health
