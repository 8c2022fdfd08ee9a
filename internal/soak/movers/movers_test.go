package movers

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/url"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/internal/brokers"
)

var (
	allPairs = flag.Bool("movers.all", false, "each kind of broker to each other, and to another name on itself")
	jobCount = flag.Int("movers.jobs", 300, "jobs of each pair")
	kills    = flag.Int("movers.kills", 1, "movers that are killed, of each pair")
	atOnce   = flag.Int("movers.parallel", 8, "pairs at once: they mostly wait for leases")
	seedFlag = flag.Uint64("movers.seed", 0, "of the random times; zero for one that differs")
)

// kind is a kind of broker.
type kind struct {
	name string
	// start starts one for the test and returns its URL.
	start func(*testing.T) string
	// alone says that one process at a time can open it, and inside that it is in the memory of this one.
	alone, inside bool
}

// kinds are those that are moved between, in the order of the ring.
var kinds = []kind{
	{"redis", func(t *testing.T) string { return brokers.Redis(t, brokers.Redis8).URL() }, false, false},
	{"rabbitmq", func(t *testing.T) string { return brokers.RabbitMQ(t, brokers.RabbitMQ4).URL() }, false, false},
	{"nats", func(t *testing.T) string { return brokers.NATS(t, brokers.NATS2).URL() }, false, false},
	{"postgres", func(t *testing.T) string { return brokers.PostgreSQL(t, brokers.PostgreSQL17).URL() }, false, false},
	{"sqs", func(t *testing.T) string {
		s := brokers.SQS(t)
		query := url.Values{"endpoint": {s.URL()}, "wait": {"1s"}}
		return "sqs://" + s.Username + ":" + s.Password + "@" + brokers.SQSRegion + "/?" + query.Encode()
	}, false, false},
	{"embedded", func(t *testing.T) string { return "jetstream://" + filepath.ToSlash(t.TempDir()) }, true, false},
	{"memory", startMemory, false, true},
}

// startMemory makes a broker in the memory of this process, that lasts as long as the test.
func startMemory(t *testing.T) string {
	address := fmt.Sprintf("memory://movers-%x", rand.Uint64())
	d, err := batch.Open[batch.Driver](t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return address
}

// remembers tells whether it remembers what it has imported.
func (k kind) remembers() bool { return k.name != "rabbitmq" && k.name != "sqs" }

func TestQueuesMoveBetweenBrokers(t *testing.T) {
	t.Parallel()
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d", seed)
	if *jobCount < 10 || *kills < 0 || *atOnce < 1 {
		t.Fatalf("-movers.jobs is %d, -movers.kills %d and -movers.parallel %d: want at least 10, 0 and 1", *jobCount, *kills, *atOnce)
	}
	rows := make([]row, len(kinds)*len(kinds))
	var all sync.WaitGroup
	slots := make(chan struct{}, *atOnce)
	for i, from := range kinds {
		for k, to := range kinds {
			if !*allPairs && k != (i+1)%len(kinds) && (i != 0 || k != 0) {
				continue
			}
			all.Go(func() {
				slots <- struct{}{}
				defer func() { <-slots }()
				t.Run(from.name+" to "+to.name, func(t *testing.T) {
					rows[i*len(kinds)+k] = movePair(t, from, to, rand.New(rand.NewPCG(seed, uint64(10*i+k))))
				})
			})
		}
	}
	all.Wait()
	atWork := 0
	t.Log("| from | to | jobs | movers killed | at work | lost | there twice | on both | done twice | found by the next mover |")
	for _, r := range rows {
		if r.from == "" {
			continue
		}
		t.Logf("| %s | %s | %d | %d | %d | %d | %d | %d | %d | %d |",
			r.from, r.to, r.jobs, r.killed, r.atWork, r.lost, r.doubled, r.both, r.twice, r.found)
		atWork += r.atWork
	}
	if atWork == 0 && *kills > 0 {
		t.Error("no mover was killed while it held jobs")
	}
}

// row is what a pair came to.
type row struct {
	from, to                   string
	jobs, killed, atWork, lost int
	doubled                    int // on the target
	both                       int // on the target, and a worker of the source ran them
	twice                      int // done more than once
	found                      int64
}

// movePair moves a queue, with movers that are killed, and counts what arrives.
func movePair(t *testing.T, from, to kind, random *rand.Rand) row {
	begin := time.Now()
	a := assignment{Queue: fmt.Sprintf("move-%s-%s-%x", from.name, to.name, random.Uint32()), From: from.start(t), Inside: from.inside || to.inside}
	a.ToQueue, a.To = a.Queue, a.From
	if to.name == from.name {
		a.ToQueue += "-new"
	} else {
		a.To = to.start(t)
	}
	l := newLedger(*jobCount, random)
	first := *jobCount
	if !from.alone {
		first -= *jobCount / 3
	}
	made := imported(t, a.From, a.Queue, first, l)
	stop, produced := func() {}, closed()
	if !from.alone {
		stop = l.workOn(t, a.From, a.Queue, true)
		produced = produce(t, a.From, a.Queue, first, *jobCount)
		for i := first; i < *jobCount; i++ {
			made.run = append(made.run, idOf(i))
		}
	}
	r := row{from: from.name, to: to.name, jobs: *jobCount}
	t.Logf("the jobs are there after %v", time.Since(begin))
	deaths := *kills
	if from.name == "sqs" && !*allPairs {
		deaths = 0 // the dead letters that a dead mover had listed are out of sight for two minutes there
	}
	for range deaths {
		killed, atWork := a.start(t).killAtWork(time.Duration(random.IntN(*jobCount/4+1))*time.Millisecond, nil)
		r.killed += count(killed)
		r.atWork += count(atWork)
	}
	<-produced
	p := a.start(t).wait(t)
	stop()
	r.found = p.Found
	t.Logf("%d movers were killed, %d of them at work; the last one, after %v: %+v", r.killed, r.atWork, time.Since(begin), p)
	r.judge(t, a, made, l)
	t.Logf("all that arrived has run after %v", time.Since(begin))
	if to.name == from.name { // else each side has an order of its own
		for group, order := range l.groups {
			if !slices.IsSorted(order) {
				t.Errorf("the jobs of %s ran in the order %v", group, order)
			}
		}
	}
	// RabbitMQ does not delay: a client passes a job on when it is due, and may leave two if it is killed meanwhile.
	if to.remembers() && from.name != "rabbitmq" && r.doubled > int(p.Doubled) {
		t.Errorf("%d jobs are there twice, and the mover said so of %d", r.doubled, p.Doubled)
	}
	if most := r.killed * 4 * 100; r.doubled+r.both > most+int(p.Doubled) {
		t.Errorf("%d jobs are there twice and %d on both sides, and the movers that were killed had no more than %d", r.doubled, r.both, most)
	}
	return r
}

// judge runs what has arrived, and counts what is lost, what is there more than once, and what was done more than once.
func (r *row) judge(t *testing.T, a assignment, made *jobs, l *ledger) {
	var letters, scheduled map[string]int
	withDriver(t, a.To, func(d batch.Importer) {
		admin, err := batch.Admin(d, a.ToQueue)
		if err != nil {
			t.Fatal(err)
		}
		letters, scheduled = made.lettersOf(t, admin), made.scheduledOf(t, admin)
	})
	stop := l.workOn(t, a.To, a.ToQueue, false)
	l.waitFor(t, made.run)
	stop()
	for i := range *jobCount {
		id := idOf(i)
		n, before, effects := l.runs[id]+letters[id]+scheduled[id], l.before[id], l.effects[id]
		if n == 0 {
			r.lost++
			t.Errorf("%s is lost", id)
		}
		r.doubled += count(n-before > 1)
		if n-before > 1 {
			t.Logf("%s is there twice: it failed %d times, ran %d times, %d of them on the source, and is %d times a dead letter and %d times scheduled",
				id, l.fails[i], l.runs[id], before, letters[id], scheduled[id])
		}
		r.both += count(before > 0 && n > before)
		if effects > 1 || effects == 1 && (made.dead[id] != nil || made.later[id] != nil) {
			r.twice++
			t.Errorf("%s was done %d times, and is there %d times", id, effects, n)
		}
	}
	l.tellWrong(t)
}

// count is 1 for what is so.
func count(so bool) int {
	if so {
		return 1
	}
	return 0
}

// closed is a channel that is.
func closed() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}
