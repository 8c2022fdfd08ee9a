// Package prombatch gives Prometheus what it wants to know of queues and workers. It is a module of its own, so that
// programs without Prometheus do not depend on that:
//
//	go get github.com/batch-go/batch@main github.com/batch-go/batch/prombatch@main
//
// Register what it has where the program registers its own metrics, and serve that by promhttp:
//
//	metrics := prombatch.New(prombatch.Config{})
//	depths := prombatch.NewDepths(d, prombatch.DepthConfig{Queues: []string{"emails"}})
//	prometheus.MustRegister(metrics, depths)
//	http.Handle("GET /metrics", promhttp.Handler())
//
//	emails := batch.NewQueue(d, "emails", batch.WithHooks(metrics))
//	w := batch.NewWorker(d, batch.WorkerConfig{Queues: queues, Hooks: []batch.Hook{metrics}})
//
// # What this process does
//
// [Metrics] is a hook of queues and workers, and counts what they do in this process. Sum it over processes.
//
//	batch_enqueues_total{queue,kind,result}             counter    jobs that were enqueued: stored, duplicate, not_stored, unknown
//	batch_enqueue_duration_seconds{queue,kind}          histogram  until the broker had confirmed, or refused
//	batch_job_outcomes_total{queue,kind,outcome}        counter    deliveries whose fate was decided
//	batch_job_duration_seconds{queue,kind,outcome}      histogram  runs of handlers
//	batch_job_wait_seconds{queue,kind}                  histogram  from the enqueue to the first start, a delay included
//	batch_job_dead_letters_total{queue,kind,reason}     counter    jobs that became dead letters here, by batch's reasons
//	batch_handlers_running{queue,kind}                  gauge      handlers that run now
//	batch_handlers_stuck_total{queue,kind}              counter    handlers that ignored the end of their context
//	batch_leases_lost_total{queue,kind}                 counter    jobs that the broker took away, and may run twice
//	batch_jobs_suspected_total{queue,kind}              counter    jobs that were run alone, as they may kill workers
//	batch_broker_faults_total{queue,op}                 counter    calls of workers to the broker that failed
//
// An outcome is done; retried, after a failure; snoozed; bounced, as this worker cannot run it; released, given back
// unharmed; dead; or lost, with its lease. So retries are batch_job_outcomes_total{outcome="retried"}. What is counted is
// the verdict: the broker is told afterwards.
//
// Programs that enqueue choose the names of kinds and perhaps of queues, so their labels are bounded: the first MaxKinds kinds and
// MaxQueues queues that are seen have their names, and all others are [Other]. IDs, errors and headers are never labels.
//
// # What the broker has
//
// [Depths] asks the broker for the depths of queues when it is scraped, at most once in CacheFor. One process is enough,
// and if there are several, their numbers are the same: take the maximum, not the sum.
//
//	batch_queue_jobs{queue,state}                gauge  waiting, scheduled, running, dead
//	batch_queue_due_jobs{queue}                  gauge  of the scheduled ones, those whose time has come
//	batch_queue_backlog_jobs{queue}              gauge  jobs that need a worker to take them: waiting and due
//	batch_queue_oldest_waiting_seconds{queue}    gauge  how long the oldest of those that wait has waited
//	batch_queue_up{queue}                        gauge  1 if the broker told the depth, 0 if it did not
//
// What the broker cannot tell is absent, and never zero. RabbitMQ, for one, does not tell how many jobs run: take the sum of
// batch_handlers_running there. A broker that does not answer within Timeout leaves batch_queue_up 0 and all else absent, and
// costs a scrape no more than that. The backlog is what an autoscaler needs: see docs/deploy.md.
//
// # Several brokers
//
// A registry takes one Metrics and one Depths. Name all queues of a broker in that one, and give the one Metrics to all
// queues and workers. A program with two brokers gives each its own, with a label that tells them apart:
//
//	for name, d := range brokers {
//		labels := prometheus.Labels{"broker": name}
//		prometheus.WrapRegistererWith(labels, registry).MustRegister(metrics[name], depths[name])
//	}
package prombatch
