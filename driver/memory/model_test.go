package memory

import (
	"cmp"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
)

// random is a source of randomness whose seed is printed and comes from
// BATCH_SEED if that is set, to replay a failure.
func random(t *testing.T) (*rand.Rand, uint64) {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv("BATCH_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("BATCH_SEED: %v", err)
		}
		seed = n
	}
	t.Logf("BATCH_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0)), seed
}

// The model is the queue as a flat list, searched and sorted for every question.

type modelState int

const (
	modelWaiting modelState = iota
	modelScheduled
	modelRunning
	modelDead
	modelGone
)

type modelJob struct {
	m            driver.Message
	state        modelState
	place        int
	at           time.Time // due, died or lease's end
	failures     int
	lastError    string
	bounces      int
	bouncedSince time.Time
	reason       string
	deliveries   int
	redeliveries int
	holder       *driver.Delivery
	since        time.Time // when it began to wait
}

type model struct {
	jobs   []*modelJob // all that were ever confirmed
	places int
	keys   map[string]modelKey
	paused bool
	window time.Duration
}

type modelKey struct {
	id   string
	ends time.Time
	job  *modelJob
}

// gone is a job that was removed before it ran to its end.
func (m *model) gone(j *modelJob) {
	j.state = modelGone
	if m.keys[j.m.DedupKey].job == j {
		delete(m.keys, j.m.DedupKey)
	}
}

func (m *model) age(now time.Time) (age time.Duration) {
	for _, j := range m.in(modelWaiting) {
		age = max(age, now.Sub(j.since))
	}
	return age
}

func (m *model) place() int { m.places++; return m.places }

func (m *model) in(states ...modelState) []*modelJob {
	var list []*modelJob
	for _, j := range m.jobs {
		if slices.Contains(states, j.state) {
			list = append(list, j)
		}
	}
	return list
}

// turn is whether nothing of the job's group is before it.
func (m *model) turn(j *modelJob) bool {
	if j.m.Group == "" {
		return true
	}
	for _, o := range m.in(modelWaiting, modelScheduled, modelRunning) {
		if o.m.Group == j.m.Group && o.place < j.place {
			return false
		}
	}
	return true
}

func byLine(a, b *modelJob) int {
	return cmp.Or(cmp.Compare(b.m.Level, a.m.Level), cmp.Compare(a.place, b.place))
}

func byTime(a, b *modelJob) int {
	return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.place, b.place))
}

// eligible is what can be handed out, in order.
func (m *model) eligible() []*modelJob {
	if m.paused {
		return nil
	}
	list := slices.DeleteFunc(m.in(modelWaiting), func(j *modelJob) bool { return !m.turn(j) })
	slices.SortFunc(list, byLine)
	return list
}

func (m *model) back(j *modelJob, since time.Time) {
	j.state, j.since = modelWaiting, since
	if j.m.Group == "" {
		j.place = m.place()
	}
}

func (m *model) schedule(j *modelJob, at time.Time) {
	j.state, j.at = modelScheduled, at
	if j.m.Group == "" {
		j.place = m.place()
	}
}

// advance brings the model up to now.
func (m *model) advance(now time.Time) {
	due := m.in(modelScheduled)
	slices.SortFunc(due, byTime)
	for _, j := range due {
		if !j.at.After(now) {
			m.back(j, j.at)
		}
	}
	for _, j := range m.in(modelRunning) {
		if !j.at.After(now) {
			m.lose(j, j.at)
		}
	}
	for k, v := range m.keys {
		if !v.ends.After(now) {
			delete(m.keys, k)
		}
	}
}

func (m *model) lose(j *modelJob, since time.Time) {
	j.state, j.since, j.holder = modelWaiting, since, nil
	j.redeliveries++
}

// next is when time brings something, or zero.
func (m *model) next() time.Time {
	var next time.Time
	for _, j := range m.in(modelScheduled, modelRunning) {
		if next.IsZero() || j.at.Before(next) {
			next = j.at
		}
	}
	return next
}
