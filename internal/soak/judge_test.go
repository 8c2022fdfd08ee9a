package soak

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// keys are the headings and the first cells of a table's rows.
func keys(text string) []string {
	return regexp.MustCompile("(?m)^(?:## .*|\\| `[a-z-]+`)").FindAllString(text, -1)
}

// lines makes the history of one job of a text: one event a field, as in "E0 C1 S2:1",
// at so many seconds and with the argument behind the colon.
func lines(t *testing.T, text string, faults ...window) history {
	t.Helper()
	h := history{jobs: make(map[string][]event), faults: faults}
	for field := range strings.FieldsSeq(text) {
		at, arg, _ := strings.Cut(field[1:], ":")
		if arg == "" {
			arg = "0"
		}
		e, err := parseEvent(strings.Join([]string{at + "000000000", field[:1], "job", arg}, " "))
		if err != nil {
			t.Fatal(err)
		}
		h.jobs["job"] = append(h.jobs["job"], e)
	}
	return h
}

// at is a window from second to second.
func at(begin, end int64) window {
	return window{"broken", time.Unix(begin, 0), time.Unix(end, 0)}
}

func TestJudge(t *testing.T) {
	for text, want := range map[string]struct {
		faults []window
		dead   bool
		again  int
		wrong  string
	}{
		"E10 C11 S12:1 D13":                 {},
		"E10 C11 S12:1 F13 S14:2 D15":       {},
		"E10 C11 S12:1 X13":                 {dead: true},
		"E10 C11 S12:1 X14":                 {wrong: "is no dead letter"},
		"E10 S11:1 F12 C13 S14:2 D15":       {},
		"E10 C11":                           {wrong: "lost"},
		"E10 C11 S12:1":                     {wrong: "lost"},
		"E10 N11":                           {},
		"E10 N11 S12:1 D13":                 {wrong: "certainly not stored"},
		"E10 U11 S12:1 D13":                 {},
		"E10 U12":                           {},
		"E10":                               {},
		"E10:3000 C11 S12:1 D13":            {wrong: "early"},
		"E10:3000 C11 S13:1 D13":            {},
		"E10 C11 S12:2 D13":                 {wrong: "attempt 2"},
		"E10 C11 S12:1 F13 S14:3 D15":       {wrong: "attempt 3"},
		"E10 C11 S12:1 D13 S14:1 D15":       {again: 1, wrong: "without a cause"},
		"E10 C11 S12:1 D13 S15:1 D16":       {faults: []window{at(13, 14)}, again: 1},
		"E100 C101 S102:1 D103 S105:1 D106": {faults: []window{at(13, 14)}, again: 1, wrong: "without a cause"},
		"E100 C101 S102:1 D103 S105:1 D107": {faults: []window{at(106, 107)}, again: 1, wrong: "without a cause"},
		"E100 C101 S122:1 D123 S125:1 D126": {faults: []window{at(101, 102)}, again: 1},
		"E10 C11 S12:1 F13 S14:1 D15":       {faults: []window{at(13, 14)}, again: 1},
	} {
		v := judge(lines(t, text, want.faults...), map[string]bool{"job": want.dead})
		if v.Doubled != want.again {
			t.Errorf("%s: ran again %d times, want %d", text, v.Doubled, want.again)
		}
		if got := strings.Join(v.Wrong, "; "); want.wrong == "" && got != "" || !strings.Contains(got, want.wrong) {
			t.Errorf("%s: wrong is %q, want %q", text, got, want.wrong)
		}
	}
}

func TestJudgeUse(t *testing.T) {
	grows := func(memory, goroutines, descriptors, lines int) history {
		var h history
		for s := range 200 {
			h.others = append(h.others,
				event{at: time.Unix(int64(s), 0), op: opUsage, process: "p", id: strconv.Itoa(10+goroutines*s) + "/" + strconv.Itoa(10+descriptors*s), arg: int64(1<<20 + memory*s)},
				event{at: time.Unix(int64(s), 0), op: opLogged, process: "p", arg: int64(lines * s)})
		}
		return h
	}
	for name, c := range map[string]struct {
		history
		want string
	}{
		"flat":        {grows(0, 0, 0, 0), ""},
		"memory":      {grows(1<<20, 0, 0, 0), "memory grew"},
		"goroutines":  {grows(0, 1, 0, 0), "goroutines grew"},
		"descriptors": {grows(0, 0, 1, 0), "descriptors grew"},
		"lines":       {grows(0, 0, 0, 1), "logged"},
	} {
		var v verdict
		v.judgeUse(c.history)
		if got := strings.Join(v.Wrong, "; "); c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: wrong is %q, want %q", name, got, c.want)
		}
	}
}
