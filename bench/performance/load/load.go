// Package load has the workloads, one a file, and measures a peer that does one.
package load

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/batch-go/batch/bench/performance/peer"
)

// Workers is how many handlers run at the same time, and Callers how many goroutines enqueue.
const (
	Workers = 64
	Callers = 64
)

// A Workload is something for a peer to do.
type Workload struct {
	Name   string
	What   string // in a sentence of the page
	Kind   Kind
	Queues int    // 1 if it is zero
	Body   int    // bytes of a job as JSON; 256 if it is zero
	Disk   bool   // whether it is worth doing on [peer.Synced] too, where the disk decides
	on     string // the one broker that it is for; all if it is empty
	run    func(context.Context, *run) error
}

// For tells whether a workload is for a broker.
func (w Workload) For(broker string) bool {
	if broker == peer.Synced {
		return w.Disk && w.on != peer.Postgres
	}
	return w.on == "" || w.on == broker
}

// Kind says which figures of a Result a workload has.
type Kind string

// The kinds.
const (
	Rate    Kind = "rate"    // jobs a second
	Latency Kind = "latency" // percentiles
	Idle    Kind = "idle"    // what it costs to have queues
)

// Workloads returns all of them, in the order of the page.
func Workloads() []Workload {
	var all []Workload
	all = append(all, enqueues()...)
	all = append(all, transactions()...)
	all = append(all, processes()...)
	all = append(all, failing(), backlog(), delays())
	all = append(all, pickups()...)
	return append(all, manyQueues()...)
}

// Find returns the workload of that name.
func Find(name string) (Workload, error) {
	for _, w := range Workloads() {
		if w.Name == name {
			return w, nil
		}
	}
	return Workload{}, fmt.Errorf("no workload %q", name)
}

// A Scale says how much of a workload is done.
type Scale struct {
	Time     time.Duration // of what is done for a time
	Jobs     int           // of what is done for a number of jobs, at most
	Backlog  int           // jobs of the backlog
	Delayed  int           // jobs with a delay
	Window   time.Duration // in which they are due
	Patience time.Duration // how long the jobs of a measurement are waited for
}

// Quick and Full are the forms. A round of the full form takes about a quarter of an hour a broker. Counted is for
// what is not timed.
var (
	Quick = Scale{Time: time.Second, Jobs: 5_000, Backlog: 50_000, Delayed: 2_000, Window: 10 * time.Second, Patience: 15 * time.Second}
	Full  = Scale{Time: 2 * time.Second, Jobs: 50_000, Backlog: 1_000_000, Delayed: 100_000, Window: 10 * time.Second, Patience: time.Minute}

	Counted = Scale{Time: 2 * time.Second, Jobs: 50_000, Backlog: 50_000, Patience: time.Minute}
)

// A Result is what one measurement has shown.
type Result struct {
	Jobs int           // that were done in the time taken
	Took time.Duration // for them

	Sent, Arrived, Again int // all jobs: those that were confirmed, those of them handled, and more than once

	// Latencies, of workloads of that kind.
	P50, P99, P999, Max time.Duration
	Rate                float64 // jobs a second at which they were measured; zero if it was one at a time

	Cost
	// Idle has what an idle worker costs in a second, of workloads of that kind.
	Start       time.Duration // until the worker could work
	Goroutines  int
	Connections int

	Memory float64 // bytes of the broker a job that waits, of the backlog
	Note   string  // what went otherwise than it should
}

// run is one measurement.
type run struct {
	peer   peer.Peer
	queues []string
	body   int
	scale  Scale
	meter  *meter
	seen   *seen
	result Result
}

// A Broker says where the meters find it.
type Broker struct {
	Process string // a PID in its container; empty if that is not known
	Redis   string // its address, if it is one
	SQL     string // its URL, if it is PostgreSQL
	Fsyncs  bool   // whether syncs are counted, which takes a little time
}

// Measure has a peer do a workload.
func Measure(ctx context.Context, name string, open func(context.Context, peer.Place) (peer.Peer, error), at peer.Place, scale Scale, broker Broker) (Result, error) {
	w, err := Find(name)
	if err != nil {
		return Result{}, err
	}
	prefix := fmt.Sprint("p", time.Now().UnixNano()%1e12)
	at.Queues = nil
	for i := range max(1, w.Queues) {
		at.Queues = append(at.Queues, fmt.Sprint(prefix, "-", i))
	}
	p, err := open(ctx, at)
	if err != nil {
		return Result{}, fmt.Errorf("open: %w", err)
	}
	r := &run{peer: p, queues: at.Queues, body: w.Body, scale: scale, meter: newMeter(broker), seen: newSeen()}
	if r.body == 0 {
		r.body = 256
	}
	err = w.run(ctx, r)
	r.result.Sent, r.result.Arrived, r.result.Again = r.seen.counts()
	if cerr := p.Close(); cerr != nil && err == nil {
		r.result.Note = strings.TrimSpace(r.result.Note + " close: " + cerr.Error())
	}
	if r.meter.failed != nil {
		err = errors.Join(err, r.meter.failed)
	}
	return r.result, err
}

// job returns the next job, whose number is new.
func (r *run) job() peer.Job {
	j := peer.Job{N: r.seen.next()}
	if n := r.body - len(`{"N":,"P":""}`) - len(strconv.FormatInt(j.N, 10)); n > 0 {
		j.P = pad[:n]
	}
	return j
}

// pad is what jobs are padded with.
var pad = strings.Repeat("x", 64<<10)

// jobs returns n of them.
func (r *run) jobs(n int) []peer.Job {
	all := make([]peer.Job, n)
	for i := range all {
		all[i] = r.job()
	}
	return all
}

// fill enqueues n jobs on the first queue, or as many as the time allows.
func (r *run) fill(ctx context.Context, n int, limit time.Duration) error {
	deadline := time.Now().Add(limit)
	for n > 0 && time.Now().Before(deadline) {
		k := min(n, 1000)
		all := r.jobs(k)
		if err := r.peer.EnqueueMany(ctx, r.queues[0], all); err != nil {
			return fmt.Errorf("fill: %w", err)
		}
		r.seen.sent(k)
		n -= k
	}
	return nil
}

// work has jobs handled until stop.
func (r *run) work(ctx context.Context, concurrency int, handle peer.Handler) (stop func(), err error) {
	stopWork, err := r.peer.Work(ctx, concurrency, handle)
	if err != nil {
		return nil, fmt.Errorf("work: %w", err)
	}
	return func() {
		if err := stopWork(); err != nil {
			r.result.Note = strings.TrimSpace(r.result.Note + " stop: " + err.Error())
		}
	}, nil
}

// errCut is why not all jobs were handled.
var errCut = errors.New("cut: the time was over before all jobs were handled")

// settle waits until every job that was sent has been handled.
func (r *run) settle() error {
	if !r.seen.await(r.scale.Patience) {
		return errCut
	}
	return nil
}

// drain has what was enqueued handled, which shows that it was stored.
func (r *run) drain(ctx context.Context) error {
	stop, err := r.work(ctx, Workers, r.seen.handle)
	if err != nil {
		return err
	}
	defer stop()
	if r.settle() != nil {
		r.result.Note = "the jobs were not all handled in " + r.scale.Patience.String() + " after the measurement"
	}
	return nil
}
