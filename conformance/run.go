package conformance

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

// Run runs every case that the harness and the driver's type call for, as
// subtests of t, and checks that the compiler refuses the capabilities that the
// type does not have.
func Run(t *testing.T, h Harness) {
	t.Helper()
	r := begin(t, h)
	for _, c := range Cases() {
		if !c.suits(&r.harness, r.capabilities) {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			// Cases mostly wait, so they are not held to the number of processors
			// as parallel subtests are: each is under way before its subtest
			// pauses.
			result := r.launch(t, c)
			t.Parallel()
			if err := <-result; err != nil {
				t.Error(err)
			}
		})
	}
	close(r.counted)
	t.Run("capabilities", func(t *testing.T) {
		for _, err := range partly(r.subject) {
			t.Error(err)
		}
	})
	refusals(t, r.subject)
	t.Cleanup(func() { r.summarize(t) })
}

// run is one run of the suite.
type run struct {
	harness      Harness
	subject      reflect.Type
	info         driver.Info
	capabilities []string
	limits       map[string]string
	began        time.Time
	// slots has a place for each case of a phase that may run beside others.
	slots [alone]chan struct{}
	// counted is closed when unfinished has all cases that the command line chose.
	counted chan struct{}
	// unfinished counts the cases of each phase that are to end before the next.
	unfinished [phases]sync.WaitGroup
	// leasing counts the cases about leases that wait for a place. They take longest, so they begin
	// first: else the phase would end with some of them, and nothing beside.
	leasing sync.WaitGroup
	// turn is held by the case of the phase alone that runs.
	turn sync.Mutex

	mu    sync.Mutex // guards following
	ran   map[string]int
	took  map[string]time.Duration
	notes []string
}

// begin opens a handle to see what is to be tested.
func begin(t *testing.T, h Harness) *run {
	t.Helper()
	if h.Open == nil {
		t.Fatal("conformance: Harness.Open is nil")
	}
	d, err := h.open(t.Context())
	if err != nil {
		t.Fatalf("conformance: the broker cannot be opened, so nothing was tested: %v", err)
	}
	r := &run{
		subject: reflect.TypeOf(d), info: d.Info(), capabilities: batch.Capabilities(d), limits: limits(d), began: time.Now(),
		counted: make(chan struct{}),
		ran:     make(map[string]int), took: make(map[string]time.Duration),
	}
	if err := d.Close(t.Context()); err != nil {
		t.Fatalf("conformance: close the first handle: %v", err)
	}
	if err := h.transacts(d); err != nil {
		t.Fatal(err)
	}
	if r.harness, err = h.withDefaults(r.info.Limits); err != nil {
		t.Fatal(err)
	}
	if _, err := givenSeed(); err != nil {
		t.Fatal(err)
	}
	r.slots[untimed] = make(chan struct{}, r.harness.Parallel)
	r.slots[measured] = make(chan struct{}, r.harness.Waiting)
	return r
}

// launch starts a case and returns where its result will be.
func (r *run) launch(t *testing.T, c Case) <-chan error {
	result := make(chan error, 1)
	ctx := t.Context()
	now := c.phase()
	r.unfinished[now].Add(1)
	first := now == measured && c.leases
	if first {
		r.leasing.Add(1)
	}
	go func() {
		defer r.unfinished[now].Done()
		<-r.counted
		for before := range now {
			r.unfinished[before].Wait()
		}
		if now == alone {
			r.turn.Lock()
			defer r.turn.Unlock()
		} else {
			if now == measured && !first {
				r.leasing.Wait()
			}
			r.slots[now] <- struct{}{}
			defer func() { <-r.slots[now] }()
			if first {
				r.leasing.Done()
			}
		}
		start := time.Now()
		notes, err := c.execute(ctx, &r.harness, r.info)
		r.mu.Lock()
		r.notes = append(r.notes, notes...)
		r.count(c)
		r.took[c.Name] = time.Since(start)
		r.mu.Unlock()
		result <- err
	}()
	return result
}

// every is where cases without needs are counted.
const every = "every driver"

// count notes that a case ran. r.mu must be held.
func (r *run) count(c Case) {
	if len(c.Needs) == 0 {
		r.ran[every]++
	}
	for _, need := range c.Needs {
		r.ran[need]++
	}
}

// filtered tells whether the command line leaves out subtests.
func filtered() bool {
	for _, name := range []string{"test.run", "test.skip"} {
		if f := flag.Lookup(name); f != nil && (strings.Contains(f.Value.String(), "/") || name == "test.skip" && f.Value.String() != "") {
			return true
		}
	}
	return false
}

// summarize logs what was tested and on what, and fails if a capability was
// declared and not tested.
func (r *run) summarize(t *testing.T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "conformance of %s on %s %s", r.subject, r.info.Broker, r.info.Version)
	if r.harness.Broker != "" {
		fmt.Fprintf(&b, " (%s)", r.harness.Broker)
	}
	fmt.Fprintf(&b, ", %.1f s\n", time.Since(r.began).Seconds())
	fmt.Fprintf(&b, "  %-18s %d cases\n", every, r.ran[every])
	for _, c := range allCapabilities {
		switch declared := slices.Contains(r.capabilities, c.name); {
		case declared:
			fmt.Fprintf(&b, "  %-18s %d cases\n", c.name, r.ran[c.name])
		default:
			fmt.Fprintf(&b, "  %-18s not declared: must not compile\n", c.name)
		}
	}
	given := r.harness.gives()
	for _, need := range []string{needsURL, needsForeign, needsSecrets, needsRestart, needsFreeze, needsCut, needsOpenAt, needsOne, needsOther, needsElsewhere, needsCounts} {
		switch n := r.ran[need]; {
		case n > 0:
			fmt.Fprintf(&b, "  %-18s %d cases\n", need, n)
		case given[need]:
			fmt.Fprintf(&b, "  %-18s given, and none of its cases ran: NOT TESTED\n", need)
		default:
			fmt.Fprintf(&b, "  %-18s not given: NOT TESTED\n", need)
		}
	}
	for _, note := range r.notes {
		fmt.Fprintf(&b, "  NOT TESTED: %s\n", note)
	}
	b.WriteString("  slowest:")
	for _, name := range r.slowest(5) {
		fmt.Fprintf(&b, " %s %.1f s;", name, r.took[name].Seconds())
	}
	t.Log(strings.TrimSuffix(b.String(), ";"))
	if filtered() {
		t.Log("the command line left cases out, so this is no statement on the driver")
		return
	}
	for _, err := range untested(r.capabilities, r.ran) {
		t.Error(err)
	}
	if folder := os.Getenv(reportVariable); folder != "" && !t.Failed() {
		if err := r.record(t.Name()).write(folder); err != nil {
			t.Errorf("%s: %v", reportVariable, err)
		}
	}
}

// slowest names the n cases that took longest. r.mu must be held.
func (r *run) slowest(n int) []string {
	var names []string
	for name := range r.took {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return int(r.took[b] - r.took[a]) })
	return names[:min(n, len(names))]
}

// record is the record of a run that is over, and was passed. r.mu must be held.
func (r *run) record(test string) *Record {
	subject := r.subject
	if subject.Kind() == reflect.Pointer {
		subject = subject.Elem()
	}
	rec := &Record{
		Package: subject.PkgPath(), Type: subject.Name(), Driver: r.info.Driver,
		Broker: r.info.Broker, Version: release(r.info.Version), Test: test,
		Limits: r.limits, Capabilities: r.capabilities,
	}
	for _, c := range Cases() {
		if _, ok := r.took[c.Name]; ok {
			rec.Cases = append(rec.Cases, RecordedCase{c.Name, c.Needs})
		}
	}
	for _, c := range allCapabilities {
		if !slices.Contains(r.capabilities, c.name) {
			rec.Refused = append(rec.Refused, c.name)
		}
	}
	return rec
}
