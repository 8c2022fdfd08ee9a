package batchtest

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// order is args with all that args may have.
type order struct {
	Name   string
	Lines  []line
	Labels map[string]int
	At     time.Time
	From   netip.Addr
	Note   *string
	Raw    []byte
	Any    any
	secret int
}

type line struct {
	SKU string
	N   int
}

func TestDifference(t *testing.T) {
	note, other := "fragile", "heavy"
	at := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	base := func() order {
		return order{
			Name: "a", Lines: []line{{"x", 1}, {"y", 2}}, Labels: map[string]int{"a": 1}, At: at,
			From: netip.MustParseAddr("10.0.0.1"), Note: &note, Raw: []byte("raw"), Any: 1.5,
		}
	}
	for name, test := range map[string]struct {
		change func(*order)
		want   []string // with the changed one as what was got
	}{
		"nothing":     {func(o *order) { o.At = at.In(time.FixedZone("", 3600)) }, nil},
		"a string":    {func(o *order) { o.Name = "b" }, []string{`args.Name is "b", want "a"`}},
		"deep inside": {func(o *order) { o.Lines[1].N = 3 }, []string{"args.Lines[1].N is 3, want 2"}},
		"the length":  {func(o *order) { o.Lines = o.Lines[:1] }, []string{"args.Lines is [{SKU:x N:1}], want [{SKU:x N:1} {SKU:y N:2}]"}},
		"nil":         {func(o *order) { o.Lines = nil }, []string{"args.Lines is [], want [{SKU:x N:1} {SKU:y N:2}]"}},
		"a map":       {func(o *order) { o.Labels = map[string]int{"b": 1} }, []string{`args.Labels["a"] is none, want 1`, `args.Labels["b"] is 1, want none`}},
		"no map":      {func(o *order) { o.Labels = nil }, []string{"args.Labels is map[], want map[a:1]"}},
		"a time":      {func(o *order) { o.At = at.Add(time.Second) }, []string{"args.At is 2026-11-01T12:00:01Z, want 2026-11-01T12:00:00Z"}},
		"an address":  {func(o *order) { o.From = netip.Addr{} }, []string{"args.From is invalid IP, want 10.0.0.1"}},
		"a pointer":   {func(o *order) { o.Note = &other }, []string{`args.Note is "heavy", want "fragile"`}},
		"no pointer":  {func(o *order) { o.Note = nil }, []string{`args.Note is <nil>, want "fragile"`}},
		"bytes":       {func(o *order) { o.Raw = []byte("r") }, []string{`args.Raw is "r", want "raw"`}},
		"an any":      {func(o *order) { o.Any = "1.5" }, []string{`args.Any is "1.5", want 1.5`}},
		"no any":      {func(o *order) { o.Any = nil }, []string{`args.Any is none, want 1.5`}},
		"unexported":  {func(o *order) { o.secret = 1 }, []string{`args.secret is 1, want 0`}},
	} {
		got, want := base(), base()
		test.change(&got)
		lines := difference("args", got, want)
		if name == "nothing" {
			lines = slices.DeleteFunc(lines, func(string) bool { return true }) // they are not deeply equal, and that is said below
		}
		if !slices.Equal(lines, test.want) {
			t.Errorf("%s: the lines are %q, want %q", name, lines, test.want)
		}
	}
}

// A difference is bounded, and a value whose methods panic is shown nevertheless.
func TestDifferenceIsBounded(t *testing.T) {
	lines := difference("args", make([]int, 100), slices.Repeat([]int{1}, 100))
	if len(lines) != mostDifferences+1 || lines[mostDifferences] != "and 90 more places" {
		t.Errorf("the lines are %q", lines)
	}
	lines = difference("args", order{Name: strings.Repeat("é", 1000)}, order{})
	if len(lines) != 1 || len(lines[0]) > mostShown+100 || !strings.Contains(lines[0], `é..., want ""`) {
		t.Errorf("the lines are %q", lines)
	}
	type ring struct{ Next *ring }
	a, b := &ring{}, &ring{}
	a.Next, b.Next = a, &ring{b}
	if lines := difference("args", a, b); len(lines) > 1 {
		t.Errorf("the lines are %q", lines)
	}
	if lines := difference("args", hostile{1}, hostile{2}); len(lines) != 1 || lines[0] != "args.n is 1, want 2" {
		t.Errorf("the lines are %q", lines)
	}
	one, two := 1, 2
	if lines := difference("args", []*int{&one}, []*int{&two, nil}); len(lines) != 1 || lines[0] != "args is [1], want [2,null]" {
		t.Errorf("the lines are %q", lines)
	}
	if lines := difference("args", discreet{1}, discreet{2}); len(lines) != 1 || lines[0] != "args.N is 1, want 2" {
		t.Errorf("the lines are %q", lines)
	}
}

// discreet is a type whose text does not tell all.
type discreet struct{ N int }

func (discreet) String() string { return "discreet" }

type hostile struct{ n int }

func (hostile) String() string { panic(errors.New("no")) }
