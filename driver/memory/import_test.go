package memory

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch/driver"
)

// entry is a job as it was elsewhere.
func entry(id string, state driver.State, change ...func(*driver.Message)) *driver.Entry {
	e := &driver.Entry{Message: *message(id), State: state}
	for _, f := range change {
		f(&e.Message)
	}
	return e
}

func (r *rig) load(entries ...*driver.Entry) {
	r.Helper()
	if results := r.d.Import(r.Context(), "q", entries); results != nil {
		r.Fatalf("%+v", results)
	}
}

// A job of a group that is imported as scheduled holds those behind it back, and one
// that is due waits for those before it. The model has all else of Import.
func TestImportGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		r.add("first", group("g"))
		r.load(entry("second", driver.StateScheduled, group("g"), delay(time.Minute)), entry("third", driver.StateWaiting, group("g")))
		r.get(10, "first")
		time.Sleep(2 * testLease)
		first := r.get(10, "first")[0]
		r.end(first, driver.OutcomeDone)
		r.none()
		time.Sleep(time.Minute)
		r.end(r.get(10, "second")[0], driver.OutcomeDone)
		r.end(r.get(10, "third")[0], driver.OutcomeDone)

		r.add("fourth", group("g"))
		r.load(entry("fifth", driver.StateScheduled, group("g"), delay(time.Second)))
		time.Sleep(time.Minute)
		fourth := r.get(10, "fourth")[0]
		r.none()
		r.ok(r.d.Delete(t.Context(), "q", "fifth"))
		r.end(fourth, driver.OutcomeDone)
		r.depth(0, 0, 0, 0)
	})
}

// Dead letters of a time before the broker come first, and can be paged through.
func TestImportDead(t *testing.T) {
	r := newRig(t, Options{})
	r.add("last")
	r.end(r.get(1, "last")[0], driver.OutcomeDead)
	for i, id := range []string{"c", "b", "a"} {
		e := entry(id, driver.StateDead)
		e.DeadAt = time.Date(1990-i, 1, 1, 0, 0, 0, 1e6, time.UTC)
		e.Reason, e.LastError = driver.ReasonPoison, "why"
		r.load(e)
	}
	all := listAll(r, driver.StateDead, 1)
	var got []string
	for _, e := range all {
		got = append(got, e.ID)
	}
	if !slices.Equal(got, []string{"a", "b", "c", "last"}) {
		t.Fatalf("listed %v", got)
	}
	if want := time.Date(1988, 1, 1, 0, 0, 0, 1e6, time.UTC); !all[0].DeadAt.Equal(want) || all[0].Reason != driver.ReasonPoison {
		t.Fatalf("%+v", all[0])
	}
	n, err := r.d.Redrive(t.Context(), "q", driver.Selection{All: true})
	r.ok(err)
	if n != 4 {
		t.Fatalf("%d redriven", n)
	}
}

func TestImportRefusals(t *testing.T) {
	r := newRig(t, Options{})
	for name, e := range map[string]*driver.Entry{
		"no state":             entry("a", 0),
		"an unknown state":     entry("a", driver.StateDead+1),
		"a delay of a waiting": entry("a", driver.StateWaiting, delay(1)),
		"a delay of a dead":    entry("a", driver.StateDead, delay(1)),
		"no such level":        entry("a", driver.StateWaiting, level(9)),
	} {
		results := r.d.Import(t.Context(), "q", []*driver.Entry{e, entry(name, driver.StateWaiting)})
		if len(results) != 2 || results[1].Err != nil {
			t.Fatalf("%s: %+v", name, results)
		}
		r.is(results[0].Err, driver.ErrConfig)
	}
}

// What was imported holds no key: its removal frees none, and its key is not taken.
func TestImportHasNoKey(t *testing.T) {
	r := newRig(t, Options{})
	r.add("a", key("k"))
	r.load(entry("a2", driver.StateWaiting, key("k")), entry("b", driver.StateWaiting, key("free")))
	r.ok(r.d.Delete(t.Context(), "q", "a2"))
	if !r.try("x", key("k")).Duplicate {
		t.Fatal("the key of another job was freed")
	}
	r.add("c", key("free"))
}

// An import key counts towards the bounds for as long as it is remembered, and no longer.
func TestImportKeysAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{DedupWindow: time.Minute})
		once := func(id, key string) *driver.Entry {
			e := entry(id, driver.StateWaiting)
			e.ImportKey = key
			return e
		}
		empty := func() bool {
			bytes, jobs := r.d.broker.capacity.used()
			return bytes == 0 && jobs == 0
		}
		r.load(once("a", "k"), once("b", "l"))
		results := r.d.Import(t.Context(), "q", []*driver.Entry{once("c", "k"), once("d", "m"), once("e", "m")})
		if len(results) != 3 || results[0].DuplicateOf != "a" || results[1].Duplicate || results[2].DuplicateOf != "d" {
			t.Fatalf("%+v", results)
		}
		for _, d := range r.get(10, "a", "b", "d") {
			r.end(d, driver.OutcomeDone)
		}
		if empty() {
			t.Error("remembered keys count nothing")
		}
		r.ok(r.d.ForgetImports(t.Context(), "q", []string{"k", "nothing"}))
		r.load(once("again", "k"))
		r.end(r.get(10, "again")[0], driver.OutcomeDone)
		time.Sleep(time.Minute)
		r.load(once("later", "k"))
		r.end(r.get(10, "later")[0], driver.OutcomeDone)
		r.ok(r.d.DeleteQueue(t.Context(), "q"))
		if !empty() {
			t.Error("what is forgotten still counts")
		}
	})
}
