package cron_test

import (
	"context"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/cron"
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/idempotency"
)

// table is a source that a test can change.
type table struct {
	mu      sync.Mutex
	entries []cron.Entry[*memory.Driver]
	err     error
	changed chan struct{}
}

// Entries implements cron.Source.
func (s *table) Entries(context.Context) ([]cron.Entry[*memory.Driver], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil && s.err.Error() == "panic" {
		panic("panic")
	}
	return s.entries, s.err
}

// Changed implements cron.Notifier.
func (s *table) Changed() <-chan struct{} { return s.changed }

// set changes the table.
func (s *table) set(err error, entries ...cron.Entry[*memory.Driver]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries, s.err = entries, err
}

// listKinds are the events by which a test sees what became of a list.
var listKinds = []cron.EventKind{
	cron.TickStored, cron.TickLeft, cron.TickSkipped, cron.ScheduleStarted, cron.ScheduleChanged, cron.ScheduleRemoved, cron.ScheduleRefused, cron.ClockSetBack,
}

// after fails the test unless what was told in a while is what is wanted, in any order.
func (b *bench) after(d time.Duration, want ...string) {
	b.Helper()
	time.Sleep(d)
	synctest.Wait()
	var got []string
	if told := b.told(listKinds...); told != "" {
		got = strings.Split(told, ", ")
	}
	slices.Sort(got)
	if slices.Sort(want); !slices.Equal(got, want) {
		b.Errorf("at %s, told: %q, want: %q", time.Now().UTC().Format(time.TimeOnly), got, want)
	}
}

// Schedules change while the scheduler runs. What is the same goes on, whatever else
// changes.
func TestSourceChanges(t *testing.T) {
	inBubble(t, func(b *bench) {
		every := func(name, when string) cron.Entry[*memory.Driver] { return b.entry(name, when, cron.Skip(time.Second)) }
		s := &table{}
		s.set(nil, every("a", "* * * * *"), every("b", "*/2 * * * *"))
		stop := b.run(s, cron.WithPoll(10*time.Second))
		defer stop()
		b.after(time.Second, "schedule started a", "schedule started b", "tick stored a 00:00", "tick stored b 00:00")
		b.after(time.Minute, "tick stored a 00:01")
		s.set(nil, every("b", "*/2 * * * *"), every("a", "* * * * *"))
		b.after(time.Minute, "tick stored a 00:02", "tick stored b 00:02") // the order is no change
		s.set(nil, every("a", "30 * * * *"), every("b", "*/2 * * * *"))
		b.after(time.Minute, "schedule changed a")
		other := every("a", "30 * * * *")
		other.Args = tickArgs{"other"}
		s.set(nil, other, every("b", "1 1 1 1 *"), every("c", "*/4 * * * *"))
		b.after(10*time.Second, "schedule changed a", "schedule changed b", "schedule started c")
		s.set(errors.New("away"))
		b.after(50*time.Second, "tick stored c 00:04")
		s.set(errors.New("panic"))
		b.after(4*time.Minute, "tick stored c 00:08")
		s.set(nil, every("c", "* * * * *"))
		b.after(time.Minute, "schedule removed a", "schedule removed b", "schedule changed c", "tick stored c 00:09")
		s.set(nil)
		b.after(time.Minute, "schedule removed c")
	})
}

// An entry that is not valid is refused by itself, is told of once, and what was there of
// its name goes on.
func TestSourceRefusals(t *testing.T) {
	inBubble(t, func(b *bench) {
		good := b.entry("a", "* * * * *", cron.Skip(time.Second))
		good.Since = time.Now().Add(time.Second)
		bad, long := b.entry("a", "* * * *", cron.Missed{}), b.entry("long", "* * * * *", cron.Last(25*time.Hour))
		s := &table{}
		s.set(nil, good)
		stop := b.run(s, cron.WithPoll(time.Second))
		defer stop()
		b.after(time.Second, "schedule started a")
		s.set(nil, bad, long)
		b.after(time.Minute, "schedule refused a", "schedule refused long", "tick stored a 00:01")
		s.set(nil, good, good, long)
		b.after(time.Minute, "schedule refused a", "tick stored a 00:02")
		s.set(nil, good)
		b.after(time.Minute, "tick stored a 00:03")
		// Two mistakes of one name are two, and told of once.
		s.set(nil, good, good, bad)
		b.after(time.Minute, "schedule refused a", "schedule refused a", "tick stored a 00:04")
	})
}

// A change of Missed leaves the ticks as they are, those that are pending too, and a tick
// that comes in the moment of the change.
func TestChangeOfMissed(t *testing.T) {
	inBubble(t, func(b *bench) {
		e := b.entry("a", "* * * * *", cron.All(time.Hour, 10))
		e.Since = time.Now().Add(time.Second)
		s := &table{}
		s.set(nil, e)
		stop := b.run(s, cron.WithPoll(time.Second))
		defer stop()
		b.after(61*time.Second, "schedule started a", "tick stored a 00:01")
		b.setDown(errors.New("away"))
		b.after(2 * time.Minute)
		e.Missed = cron.All(2*time.Hour, 10)
		s.set(nil, e)
		b.after(2*time.Second, "schedule changed a", "tick left a 00:02-00:03")
		b.setDown(nil)
		b.after(10*time.Second, "tick stored a 00:02", "tick stored a 00:03")
	})
}

// Zones of one name and other offsets are a change.
func TestChangeOfZone(t *testing.T) {
	inBubble(t, func(b *bench) {
		at := func(offset int) cron.Entry[*memory.Driver] {
			return cron.Entry[*memory.Driver]{Name: "a", When: cron.Expr("0 12 * * *").In(time.FixedZone("", offset)), Args: tickArgs{}}
		}
		s := &table{}
		s.set(nil, at(3600))
		stop := b.run(s)
		defer stop()
		b.after(time.Second, "schedule started a")
		s.set(nil, at(7200))
		b.after(10*time.Hour+time.Minute, "schedule changed a", "tick stored a 12:00")
	})
}

// A source that can tell of changes is read at once.
func TestSourceThatTells(t *testing.T) {
	inBubble(t, func(b *bench) {
		s := &table{changed: make(chan struct{}, 1)}
		stop := b.run(s, cron.WithPoll(24*time.Hour))
		defer stop()
		e := b.entry("a", "* * * * *", cron.Skip(time.Second))
		s.set(nil, e)
		b.after(time.Minute - time.Second)
		s.changed <- struct{}{}
		b.after(time.Minute, "schedule started a", "tick stored a 00:01")
		close(s.changed)
		b.after(time.Minute, "tick stored a 00:02")
	})
}

// A source that is away when the scheduler starts may still have schedules that missed a
// tick.
func TestSourceThatIsAwayAtFirst(t *testing.T) {
	inBubble(t, func(b *bench) {
		s := cron.SourceFunc[*memory.Driver](func(context.Context) ([]cron.Entry[*memory.Driver], error) {
			if time.Now().Second() < 30 {
				return nil, errors.New("away")
			}
			return []cron.Entry[*memory.Driver]{b.entry("a", "@hourly", cron.Last(time.Minute))}, nil
		})
		stop := b.run(s)
		defer stop()
		if told := b.told(cron.SourceFailed); told == "" {
			t.Error("nothing was told of the source")
		}
		b.after(40*time.Second, "schedule started a", "tick stored a 00:00")
	})
}

// unencodable are args that are none.
type unencodable struct{ C chan int }

// Kind names them.
func (unencodable) Kind() string { return "tick" }

// Mistakes of the program are found when the scheduler is made.
func TestMistakes(t *testing.T) {
	d, err := memory.NewBroker(memory.Options{DedupWindow: 10 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	h, err := d.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close(t.Context())
	q := batch.NewQueue(h, "ticks")
	type entry = cron.Entry[*memory.Driver]
	make1 := func(tick cron.Tick) (batch.Args, error) { return tickArgs{}, nil }
	hourly := cron.Every(time.Hour)
	good := cron.NewEntry(q, "good", hourly, tickArgs{})
	var none *tickArgs
	for want, test := range map[string]struct {
		entries []entry
		options []cron.Option
	}{
		"":                         {[]entry{good}, nil},
		"name of a schedule":       {[]entry{{Name: "a b", When: hourly, Args: tickArgs{}}}, nil},
		"1 to 45 bytes":            {[]entry{{Name: strings.Repeat("x", 46), When: hourly, Args: tickArgs{}}}, nil},
		"the only one of the name": {[]entry{good, good}, nil},
		"must be set, one of both": {[]entry{{Name: "a", When: hourly}}, nil},
		"one of both":              {[]entry{{Name: "a", When: hourly, Args: none}}, nil},
		"only one of both":         {[]entry{{Name: "a", When: hourly, Args: tickArgs{}, Make: make1}}, nil},
		"Group with Delay":         {[]entry{{Name: "a", When: hourly, Args: tickArgs{}, Options: []batch.Option[*memory.Driver]{batch.Group(q, "g"), batch.Delay(q, time.Hour)}}}, nil},
		"schedule \"a\": batch: ":  {[]entry{{Name: "a", When: hourly, Args: tickArgs{}, Options: []batch.Option[*memory.Driver]{{}}}}, nil},
		"must be encodable":        {[]entry{{Name: "a", When: hourly, Args: unencodable{}}}, nil},
		"the zero Schedule":        {[]entry{{Name: "a", Args: tickArgs{}}}, nil},
		"column 1: ":               {[]entry{{Name: "a", When: cron.Expr("@never"), Args: tickArgs{}}}, nil},
		"DedupWindow of 10m0s":     {[]entry{{Name: "a", When: hourly, Args: tickArgs{}, Missed: cron.Last(8 * time.Minute)}}, nil},
		"24m30s together":          {[]entry{{Name: "a", When: hourly, Args: tickArgs{}, Missed: cron.Last(4 * time.Minute)}}, []cron.Option{cron.WithMaxSkew(10 * time.Minute)}},
		"invalid Missed 1ms":       {[]entry{good}, []cron.Option{cron.WithMissed(cron.Skip(time.Millisecond))}},
		"0 ticks":                  {[]entry{good}, []cron.Option{cron.WithMissed(cron.All(time.Minute, 0))}},
		"MaxSkew -1ns":             {[]entry{good}, []cron.Option{cron.WithMaxSkew(-1)}},
		"must be 100ms to 24h0m0s": {[]entry{good}, []cron.Option{cron.WithPoll(25 * time.Hour)}},
		"zero Option":              {[]entry{good}, []cron.Option{{}}},
		"invalid clock":            {[]entry{good}, []cron.Option{cron.WithClock(nil)}},
		"invalid log":              {[]entry{good}, []cron.Option{cron.WithLog(nil)}},
		"invalid observer":         {[]entry{good}, []cron.Option{cron.WithObserver(nil)}},
		"given to NewWithStore":    {[]entry{good}, []cron.Option{cron.WithClaim(time.Minute)}},
	} {
		_, err := cron.TryNew(q, cron.Fixed(test.entries...), test.options...)
		if want == "" {
			if err != nil {
				t.Errorf("a scheduler without mistakes: %v", err)
			}
			continue
		}
		if !errors.Is(err, batch.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, want one with %q", err, want)
		}
	}
	if _, err := cron.TryNew[*memory.Driver](q, nil); !errors.Is(err, batch.ErrInvalid) {
		t.Errorf("without a source: %v", err)
	}
	if _, err := cron.TryNew[*memory.Driver](nil, cron.Fixed(good)); !errors.Is(err, batch.ErrInvalid) {
		t.Errorf("without a queue: %v", err)
	}
	if _, err := cron.TryNewWithStore(q, nil, cron.Fixed(good)); !errors.Is(err, batch.ErrInvalid) {
		t.Errorf("without a store: %v", err)
	}
	short := good
	short.Missed = cron.Last(30 * time.Second)
	if _, err := cron.TryNewWithStore(q, idempotency.NewMemory(0), cron.Fixed(short)); !errors.Is(err, batch.ErrInvalid) || !strings.Contains(err.Error(), "longer than the Claim of 30s") {
		t.Errorf("with claims as long as Missed: %v", err)
	}
	defer func() {
		if recover() == nil {
			t.Error("New took a mistake")
		}
	}()
	cron.New(q, cron.Fixed(entry{}))
}

// TestStoreIsNeededWithoutUniqueKeys is the promise of the types.
func TestStoreIsNeededWithoutUniqueKeys(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "build", "./testdata/refused").CombinedOutput()
	if want := "does not satisfy batch.Deduplicator (missing method DedupWindow)"; err == nil || !strings.Contains(string(out), want) {
		t.Errorf("%v, want an error with %q:\n%s", err, want, out)
	}
}
