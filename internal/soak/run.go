package soak

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/conformance/proxy"
	"github.com/batch-go/batch/internal/brokers"
)

// run is a load on one broker.
type run struct {
	target  target
	server  *brokers.Instance // nil where there is none
	network *proxy.Proxy      // nil where there is no server
	direct  string            // the broker's own URL
	url     string            // the one through the network
	queue   string
	record  *record
	// producer and worker are the processes of the moment. An embedded broker is in one
	// process, which is both.
	producer, worker *process
	started          int // processes so far
}

// queueName is the queue of all runs: each has a broker, or a time, of its own.
const queueName = "soak"

// newRun starts the broker and what lies in front of it.
func newRun(t testing.TB, k target) *run {
	t.Helper()
	r := &run{target: k, queue: queueName, record: newRecord()}
	r.server, r.direct = k.start(t)
	r.url = r.direct
	if r.server != nil {
		var err error
		if r.network, err = proxy.Listen(r.server.Addr); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = r.network.Close() })
		// In a query it is escaped.
		r.url = strings.NewReplacer(r.server.Addr, r.network.Addr(), url.QueryEscape(r.server.Addr), url.QueryEscape(r.network.Addr())).Replace(r.direct)
		if r.url == r.direct {
			t.Fatalf("%s is not in the URL of the broker", r.server.Addr)
		}
	}
	return r
}

// load begins a load.
func (r *run) load(ctx context.Context) error {
	r.record = newRecord()
	for _, p := range r.processes() {
		if err := r.launch(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// processes are those of the load, the worker last.
func (r *run) processes() []**process {
	if r.server == nil {
		return []**process{&r.worker}
	}
	return []**process{&r.producer, &r.worker}
}

// producers and every are the load: about 300 jobs a second.
const (
	producers = 4
	every     = 10 * time.Millisecond
)

// launch starts the process for a place, and waits until it works.
func (r *run) launch(ctx context.Context, place **process) error {
	r.started++
	a := assignment{URL: r.url, Queue: r.queue, Lease: r.target.lease}
	if place == &r.worker {
		a.Name, a.Worker = fmt.Sprintf("w%d", r.started), true
	} else {
		a.Name = fmt.Sprintf("p%d", r.started)
	}
	if place == &r.producer || r.server == nil {
		a.Producers, a.Every = producers, every
	}
	p, err := start(a.Name, a, r.record)
	if err != nil {
		return err
	}
	*place = p
	select {
	case <-p.ready:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("soak: %s does not start: %w; its last lines:\n%s", p.name, context.Cause(ctx), p.log)
	}
}

// replace kills the process at a place and puts another there.
func (r *run) replace(ctx context.Context, place **process) error {
	(*place).kill()
	return r.launch(ctx, place)
}

// disturb does a fault, and records when.
func (r *run) disturb(ctx context.Context, f fault, d time.Duration) error {
	if f.name == "none" {
		return f.do(ctx, r, d)
	}
	end := r.record.begin(f.name)
	defer end()
	if err := f.do(ctx, r, d); err != nil {
		return fmt.Errorf("soak: fault %s: %w", f.name, err)
	}
	return nil
}

// finish ends the load, lets a worker finish what there is, and judges.
func (r *run) finish(ctx context.Context, patience time.Duration) (verdict, error) {
	var problems []error
	if r.producer != nil {
		problems = append(problems, r.producer.stop(patience))
	} else {
		// One process is both: another goes on without enqueueing.
		problems = append(problems, r.worker.stop(patience))
		a := assignment{URL: r.url, Queue: r.queue, Lease: r.target.lease, Name: "last", Worker: true}
		p, err := start(a.Name, a, r.record)
		if err != nil {
			return verdict{}, err
		}
		r.worker = p
	}
	draining, stop := context.WithTimeout(ctx, patience)
	left := r.record.drained(draining)
	stop()
	problems = append(problems, r.worker.stop(patience))
	dead, err := r.deadLetters(ctx)
	problems = append(problems, err)
	h := r.record.history()
	v := judge(h, dead)
	v.judgeUse(h)
	if left > 0 {
		v.wrong("%d confirmed jobs had not come to an end %s after the load", left, patience)
	}
	return v, errors.Join(problems...)
}

// deadLetters are the IDs of those of the queue, past the network. It deletes the
// queue, for the next run.
func (r *run) deadLetters(ctx context.Context) (map[string]bool, error) {
	d, err := batch.Open[batch.Driver](ctx, r.direct)
	if err != nil {
		return nil, err
	}
	defer d.Close(context.WithoutCancel(ctx))
	q := batch.NewQueue(d, r.queue)
	ids := make(map[string]bool)
	for cursor := ""; ; {
		page, next, err := q.DeadLetters().List(ctx, cursor, 1000)
		if err != nil {
			return ids, err
		}
		for _, letter := range page {
			ids[letter.ID] = true
		}
		if cursor = next; cursor == "" {
			return ids, q.Delete(ctx)
		}
	}
}

// one is a load with one fault.
func (r *run) one(ctx context.Context, f fault, d time.Duration) (verdict, error) {
	if err := r.load(ctx); err != nil {
		return verdict{}, err
	}
	pause(ctx, d)
	err := r.disturb(ctx, f, d)
	pause(ctx, d)
	v, e := r.finish(ctx, patience)
	return v, errors.Join(err, e)
}

// patience is how long what was confirmed may take to come to an end when the load
// and the faults have ended.
const patience = time.Minute

// long is a load with random faults for a time.
func (r *run) long(ctx context.Context, t testing.TB, d time.Duration, seed uint64) (verdict, error) {
	random := rand.New(rand.NewPCG(seed, 0))
	if err := r.load(ctx); err != nil {
		return verdict{}, err
	}
	var possible []fault
	for _, f := range faults() {
		if f.suits(r.target) && f.name != "none" {
			possible = append(possible, f)
		}
	}
	var problem error
	for end := time.Now().Add(d); time.Now().Before(end) && problem == nil; {
		f, length := possible[random.IntN(len(possible))], time.Duration(1+random.IntN(8))*time.Second
		t.Logf("%s for %s", f.name, length)
		problem = r.disturb(ctx, f, min(length, time.Until(end)))
		pause(ctx, min(time.Duration(2+random.IntN(8))*time.Second, time.Until(end)))
	}
	v, err := r.finish(ctx, patience)
	return v, errors.Join(problem, err)
}
