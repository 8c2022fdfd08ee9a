package health

import (
	"net/http"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/internal/depths"
)

// ScaleConfig configures [Scale]. Only Queues is required: a field that is zero has its default. One that is out of bounds
// is refused.
type ScaleConfig struct {
	// Queues are the names of the queues to tell about.
	Queues []string
	// Timeout is how long a request waits for the broker: 1 ms to a minute. Defaults to 2 s, which is within the 3 s that
	// KEDA waits.
	Timeout time.Duration
	// CacheFor is how long an answer of the broker is told again, also if it is an error: up to an hour. Defaults to 5 s.
	CacheFor time.Duration
}

// complete sets the defaults. Bounds are checked where the times are used.
func (c *ScaleConfig) complete() {
	if c.Timeout == 0 {
		c.Timeout = 2 * time.Second
	}
	if c.CacheFor == 0 {
		c.CacheFor = 5 * time.Second
	}
}

// Load is the answer of [Scale].
type Load struct {
	// Queues are those of the configuration, by name.
	Queues map[string]QueueLoad `json:"queues"`
	// Total has the sums over the queues.
	Total TotalLoad `json:"total"`
}

// QueueLoad is the load of one queue. A number that is unknown is nil, and null in JSON.
type QueueLoad struct {
	// Backlog is how many jobs wait for a worker to take them: Waiting and Due. A Due that is unknown counts as one job,
	// as there may be one, and nothing but a worker would move it.
	Backlog *int64 `json:"backlog"`
	// Demand is Backlog and Running.
	Demand *int64 `json:"demand"`

	// Waiting and the others are as in [batch.Depth].
	Waiting    *int64   `json:"waiting"`
	Due        *int64   `json:"due"`
	Scheduled  *int64   `json:"scheduled"`
	Running    *int64   `json:"running"`
	Dead       *int64   `json:"dead"`
	AgeSeconds *float64 `json:"age_seconds"`
	// Error says why nothing is known, and is empty if something is.
	Error string `json:"error,omitempty"`
}

// TotalLoad has sums over queues. One is nil, and null in JSON, if it is unknown of any of them.
type TotalLoad struct {
	Backlog *int64 `json:"backlog"`
	Demand  *int64 `json:"demand"`
}

// Scale answers an autoscaler with a [Load] as JSON: 200 if the broker has told something about one of the queues, and 503
// if it has not within Timeout. A queue that does not exist is an error and not an empty queue: a name that was mistyped
// would never start a worker. A configuration that is out of bounds is a programming error and panics; [TryScale] returns
// it instead.
func Scale(d batch.Driver, config ScaleConfig) http.Handler {
	h, err := TryScale(d, config)
	if err != nil {
		panic(err.Error())
	}
	return h
}

// TryScale is [Scale], but returns mistakes as errors that wrap [batch.ErrInvalid].
func TryScale(d batch.Driver, config ScaleConfig) (http.Handler, error) {
	config.complete()
	source, err := depths.New(d, config.Queues, config.Timeout, config.CacheFor)
	if err != nil {
		return nil, err
	}
	return probe(func(r *http.Request) (bool, any) { return loadOf(source.Read(r.Context())) }), nil
}

// loadOf is the answer for some queues, and whether anything is known of one.
func loadOf(queues []depths.Queue) (known bool, load Load) {
	load.Queues = make(map[string]QueueLoad, len(queues))
	var total totals
	for _, q := range queues {
		known = known || q.Err == nil
		load.Queues[q.Name] = queueLoadOf(q)
		total.add(q)
	}
	load.Total = TotalLoad{Backlog: depths.Known(total.backlog), Demand: depths.Known(total.demand)}
	return known, load
}

// queueLoadOf is the answer for one queue.
func queueLoadOf(q depths.Queue) QueueLoad {
	d := q.Depth
	load := QueueLoad{
		Backlog: depths.Known(q.Backlog()), Demand: depths.Known(q.Demand()),
		Waiting: depths.Known(d.Waiting), Due: depths.Known(d.Due), Scheduled: depths.Known(d.Scheduled), Running: depths.Known(d.Running), Dead: depths.Known(d.Dead),
		AgeSeconds: depths.KnownAge(d.Age),
	}
	if q.Err != nil {
		load.Error = q.Err.Error()
	}
	return load
}

// totals are sums, negative once one of the numbers was unknown.
type totals struct{ backlog, demand int64 }

// add adds the numbers of a queue.
func (t *totals) add(q depths.Queue) {
	for _, sum := range []struct {
		to *int64
		n  int64
	}{{&t.backlog, q.Backlog()}, {&t.demand, q.Demand()}} {
		if *sum.to < 0 || sum.n < 0 {
			*sum.to = batch.UnknownCount
			continue
		}
		*sum.to += sum.n
	}
}
