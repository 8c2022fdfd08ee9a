package main

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestTable(t *testing.T) {
	for _, test := range []struct {
		name    string
		width   int
		colours bool
		want    string
	}{
		{"of a program", 0, false, "NAME   N  ERROR\na      1  something long\nbbb   22\n"},
		{"of a narrow terminal", 16, false, "NAME   N  ERROR\na      1  somet…\nbbb   22\n"},
		{"with colours", 0, true, "\x1b[1mNAME\x1b[0m   \x1b[1mN\x1b[0m  \x1b[1mERROR\x1b[0m\na      \x1b[31m1\x1b[0m  something long\nbbb   22  \n"},
	} {
		table := newTable("NAME", ">N", "ERROR")
		table.add(text("a"), cell{"1", red}, text("something long"))
		table.add(text("bbb"), text("22"), text(""))
		var b strings.Builder
		if err := table.write(&b, test.width, test.colours); err != nil {
			t.Fatal(err)
		}
		if got := b.String(); strings.TrimRight(got, " \n") != strings.TrimRight(test.want, " \n") {
			t.Errorf("%s:\n%q, want\n%q", test.name, got, test.want)
		}
	}
}

// TestNarrowTerminal: a long last column never takes more than the rest of a line, also if the
// columns before it fill one or more.
func TestNarrowTerminal(t *testing.T) {
	for _, test := range []struct{ used, width, want int }{
		{10, 80, 70}, {79, 80, 1}, {80, 80, 80}, {87, 80, 73}, {150, 80, 90}, {87, 40, 33}, {87, 3, 21}, {0, 1, 1},
	} {
		if got := roomFrom(test.used, test.width); got != test.want {
			t.Errorf("after %d characters of a terminal of %d there is room for %d, want %d", test.used, test.width, got, test.want)
		}
	}
	table := newTable("ID", "LAST ERROR")
	table.add(text(strings.Repeat("x", 90)), text(strings.Repeat("long ", 400)))
	var b strings.Builder
	if err := table.write(&b, 80, false); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(b.String()) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 160 {
			t.Errorf("a row takes %d characters: %q", n, line)
		}
	}
}

func TestShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0.0s", 1234 * time.Millisecond: "1.2s", 59 * time.Second: "59s", 61 * time.Second: "1m1s", time.Hour: "1h",
		90 * time.Minute: "1h30m", 26 * time.Hour: "1d2h", 48 * time.Hour: "2d",
	} {
		if got := short(d); got != want {
			t.Errorf("short(%s) = %q, want %q", d, got, want)
		}
	}
}

func TestProgressLine(t *testing.T) {
	p := &progress{what: "redriving", total: 200}
	p.set(50)
	const want = "redriving  [#######.......................]  50 of 200  30s left"
	if got := p.line(10 * time.Second); got != want {
		t.Errorf("the bar is %q, want %q", got, want)
	}
	p.set(900) // more than there were: others died meanwhile
	if got := p.line(10 * time.Second); !strings.HasSuffix(got, "[##############################]  200 of 200") {
		t.Errorf("the bar is %q", got)
	}
	p = &progress{what: "reading"}
	p.set(7)
	if got := p.line(time.Second); got != "reading  7  1s" {
		t.Errorf("without a total the bar is %q", got)
	}
}
