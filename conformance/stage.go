package conformance

import (
	"context"
	cryptorand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/batch-go/batch/driver"
)

// cleanupTime bounds what is done after a case.
const cleanupTime = 20 * time.Second

// cleanupTime is that, and more on a machine that is late.
func (s *stage) cleanupTime() time.Duration { return cleanupTime + manySteps*s.machine.worst() }

// stage is what one case runs on: its queues, handles, workers and history. The
// methods that end the case must be called from its goroutine only.
type stage struct {
	ctx     context.Context // ends when the case's time is over
	harness *Harness
	info    driver.Info
	name    string // of the case
	rule    string // of the case
	leases  bool   // the case is about leases, and uses short ones
	history *History
	machine *pulse // how late the machine is during the case
	seed    uint64
	random  *rand.Rand              // the case's goroutine only
	queue   string                  // the name of the case's queue
	stop    context.CancelCauseFunc // ends ctx

	mu       sync.Mutex // guards following
	problems []string
	notes    []string
	tooSlow  string // why the case could not judge
	queues   []string
	handles  []driver.Driver
	endings  []func(context.Context) error
	gates    []*gate
	workers  int
	hangs    bool // a call of the driver does not return
}

// newStage makes the stage of a case, with the name of a queue.
func newStage(ctx context.Context, h *Harness, info driver.Info, name string) *stage {
	s := &stage{ctx: ctx, harness: h, info: info, name: name, history: NewHistory(), seed: seed()}
	s.random = rand.New(rand.NewPCG(s.seed, 0))
	s.queue = s.newQueue()
	return s
}

// seed is what the environment says, or a new one.
func seed() uint64 {
	if n, err := givenSeed(); err == nil && n != nil {
		return *n
	}
	return rand.Uint64()
}

// givenSeed is the seed of the environment, or nil.
func givenSeed() (*uint64, error) {
	text, ok := os.LookupEnv("BATCH_SEED")
	if !ok || text == "" {
		return nil, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("conformance: BATCH_SEED is %q, want a whole number from 0 on", text)
	}
	return &n, nil
}

// newQueue makes up the name of a queue, which is deleted after the case.
func (s *stage) newQueue() string {
	// Not from the seed: a repeated run must not meet the queues of the first.
	unique := strings.ToLower(cryptorand.Text()[:12])
	name := fmt.Sprintf("cf-%s-%s", unique, s.name)
	name = strings.TrimRight(name[:min(len(name), 40)], "-")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queues = append(s.queues, name)
	return name
}

// problem records what was wrong and goes on. It may be called from anywhere.
func (s *stage) problem(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.problems) < 10 {
		s.problems = append(s.problems, fmt.Sprintf(format, args...))
	}
}

// untested records for the summary that the case could not check all of its rule.
func (s *stage) untested(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notes = append(s.notes, s.name+": "+fmt.Sprintf(format, args...))
}

// failf records what was wrong and ends the case.
func (s *stage) failf(format string, args ...any) {
	s.problem(format, args...)
	runtime.Goexit()
}

// check ends the case if err is not nil. What says what was being done or
// judged.
func (s *stage) check(err error, what string, args ...any) {
	if err != nil {
		s.failf("%s: %v", fmt.Sprintf(what, args...), err)
	}
}

// is ends the case if err does not wrap the one that is wanted.
func (s *stage) is(err, want error, what string, args ...any) {
	if !errors.Is(err, want) {
		s.failf("%s: the error is %v, want one that wraps %q", fmt.Sprintf(what, args...), quoteErr(err), want)
	}
}

// notStored ends the case unless an error is a *driver.Error that says for certain that the
// call had no effect.
func (s *stage) notStored(err error, what string, args ...any) {
	var typed *driver.Error
	if !errors.As(err, &typed) || driver.FateOf(err) != driver.FateNotStored {
		s.failf("%s: the error is a %T with the fate %q, want a *driver.Error with %q", fmt.Sprintf(what, args...), err, driver.FateOf(err), driver.FateNotStored)
	}
}

// quoteErr is the text of an error in quotes, or nil.
func quoteErr(err error) string {
	if err == nil {
		return "nil"
	}
	return strconv.Quote(err.Error())
}

// equal ends the case if two values differ.
func equal[T comparable](s *stage, got, want T, what string, args ...any) {
	if got != want {
		s.failf("%s: got %v, want %v", fmt.Sprintf(what, args...), got, want)
	}
}

// caught makes a problem of a panic, which must not take other cases with it.
func (s *stage) caught() {
	if r := recover(); r != nil {
		s.problem("panic: %v\n%s", r, debug.Stack())
	}
}

// result is what could not be checked, and what was wrong, or nil.
func (s *stage) result() (notes []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.problems) == 0 {
		return s.notes, nil
	}
	return s.notes, &Violation{
		Case: s.name, Rule: s.rule, Problems: s.problems, Seed: s.seed,
		Broker: strings.TrimSpace(s.info.Broker + " " + s.info.Version), History: s.history.excerpt(40, s.problems),
		Late: s.machine.worst(),
	}
}

// open makes a handle on the broker, which stands for another process. It is
// closed after the case.
func (s *stage) open() driver.Driver {
	d, err := s.harness.open(s.ctx)
	s.check(err, "open a handle")
	s.keep(d)
	return &watched{d, s.watch()}
}

// keep closes a handle after the case.
func (s *stage) keep(d driver.Driver) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handles = append(s.handles, d)
}

// openOther is open for a driver whose queues are others, with one that has the name of the case's.
func (s *stage) openOther() driver.Driver {
	d, err := s.harness.openOther(s.ctx)
	s.check(err, "open a handle on other queues")
	s.keep(d)
	s.check(d.Declare(s.ctx, s.queue), "declare a queue of the same name elsewhere")
	s.after(func(ctx context.Context) error { return d.DeleteQueue(ctx, s.queue) })
	return &watched{d, s.watch()}
}

// declared is open with the case's queue declared.
func (s *stage) declared() driver.Driver {
	d := s.open()
	s.check(d.Declare(s.ctx, s.queue), "declare")
	return d
}

// watch looks after the calls of a handle. What should come at once has twice the time
// that the case waits for it: a case that waits in vain says more than this does.
func (s *stage) watch() *watch {
	return &watch{most: 30 * s.harness.Slack, hung: s.hung, odd: s.problem}
}

// hung records that a call of the driver does not return, and ends the case.
func (s *stage) hung(format string, args ...any) {
	s.problem(format, args...)
	s.mu.Lock()
	s.hangs = true
	s.mu.Unlock()
	s.stop(errors.New("a call of the driver hangs"))
}

// returnTime is how long a case has to come back when its context has ended: each of
// the calls that it makes must then, promptly. If one is known to hang it has little.
func (s *stage) returnTime() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hangs {
		return time.Second
	}
	return s.cleanupTime() / 2
}

// after calls end when the case is over, last first, before the queues are
// deleted.
func (s *stage) after(end func(context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endings = append(s.endings, end)
}

// cleanUp ends all that the case began. The case may have closed its handles, so
// the queues are deleted by a new one.
func (s *stage) cleanUp() {
	ctx, cancel := context.WithTimeout(context.Background(), s.cleanupTime())
	defer cancel()
	s.mu.Lock()
	endings, handles, queues := s.endings, s.handles, s.queues
	for _, g := range s.gates {
		g.open() // so that no handler keeps a worker from stopping
	}
	s.mu.Unlock()
	for i := len(endings) - 1; i >= 0; i-- {
		if err := endings[i](ctx); err != nil {
			s.problem("after the case: %v", err)
		}
	}
	if d, err := s.harness.open(ctx); err != nil {
		s.problem("after the case: open a handle: %v", err)
	} else {
		handles = append(handles, d)
		for _, queue := range queues {
			if err := d.DeleteQueue(ctx, queue); err != nil {
				s.problem("after the case: delete the queue: %v", err)
			}
		}
	}
	for _, d := range handles {
		if err := d.Close(ctx); err != nil {
			s.problem("after the case: close a handle: %v", err)
		}
	}
}

// lease is how long deliveries are held; zero where that is the connection.
func (s *stage) lease() time.Duration {
	if s.leases || s.harness.Lease == 0 {
		return s.harness.Lease
	}
	return min(max(s.harness.Lease, calmLease), s.info.Limits.MaxLease)
}

// calmLease is longer than any case holds a job without extending its lease.
const calmLease = time.Minute

// gate holds handlers back until it is opened.
type gate struct {
	once sync.Once
	done chan struct{}
}

// newGate makes a gate that is closed.
func newGate() *gate { return &gate{done: make(chan struct{})} }

// open lets all pass. It may be called again.
func (g *gate) open() { g.once.Do(func() { close(g.done) }) }

// gate makes one that is opened after the case at the latest, before its workers
// are stopped.
func (s *stage) gate() *gate {
	g := newGate()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gates = append(s.gates, g)
	return g
}

// wait returns nil when the gate opens, or the cause of ctx's end.
func (g *gate) wait(ctx context.Context) error {
	select {
	case <-g.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
