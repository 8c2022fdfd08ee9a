package cron

import (
	"slices"
	"strconv"
	"strings"
)

// fieldKind is one of the six fields of an expression: what its values are.
type fieldKind struct {
	name      string
	low, high int
	// names stand for the values from low on.
	names []string
}

// The fields. A weekday is 0 to 7, as both 0 and 7 are Sunday.
var (
	secondField  = &fieldKind{name: "second", high: 59}
	minuteField  = &fieldKind{name: "minute", high: 59}
	hourField    = &fieldKind{name: "hour", high: 23}
	dayField     = &fieldKind{name: "day", low: 1, high: 31}
	monthField   = &fieldKind{name: "month", low: 1, high: 12, names: []string{"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}}
	weekdayField = &fieldKind{name: "weekday", high: 7, names: []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}}
)

// field is what a field says.
type field struct {
	// set has a bit for each value.
	set uint64
	// star is whether it has a * or a ?, and step whether it has a /.
	star, step bool
	// fromEnd has bit n for the day n days before the last of the month.
	fromEnd uint64
	// nth has for each weekday bit n for its nth of the month, and lastWeek for the last.
	nth [7]uint8
}

// lastWeek is the bit of a weekday's last of the month.
const lastWeek = 1 << 7

// fieldParser reads one field.
type fieldParser struct {
	*parser
	*fieldKind
	field
}

// field reads a field: a list of items between commas.
func (p *parser) field(w word, kind *fieldKind) (field, error) {
	f := fieldParser{parser: p, fieldKind: kind}
	at := w.at
	for item := range strings.SplitSeq(w.text, ",") {
		if err := f.item(item, at); err != nil {
			return field{}, err
		}
		at += len(item) + 1
	}
	return f.field, nil
}

// wrong makes the error for what begins at offset.
func (f *fieldParser) wrong(at int, format string, args ...any) error {
	return f.fail(at, f.name, format, args...)
}

// item reads one item of the list, which begins at offset at.
func (f *fieldParser) item(text string, at int) error {
	if text == "" {
		return f.wrong(at, "a value is missing")
	}
	if f.fieldKind == dayField && (text[0] == 'L' || text[0] == 'l') {
		return f.lastDay(text[1:], at+1)
	}
	span, stepText, stepped := strings.Cut(text, "/")
	low, high := f.low, f.high
	rest := span[min(1, len(span)):]
	switch {
	case span == "":
		return f.wrong(at, "a value is missing before the /")
	case span[0] == '*', span[0] == '?' && (f.fieldKind == dayField || f.fieldKind == weekdayField):
		f.star = true
		if f.fieldKind == weekdayField {
			high = 6
		}
	default:
		var err error
		if low, rest, err = f.value(span, at); err != nil {
			return err
		}
		switch {
		case rest == "" && stepped: // to the end, which a Sunday is only if it is named
			if f.fieldKind == weekdayField && low < 7 {
				high = 6
			}
		case strings.HasPrefix(rest, "-"):
			if high, rest, err = f.upper(low, rest[1:], at+len(span)-len(rest)+1); err != nil {
				return err
			}
		case f.fieldKind == weekdayField && rest != "" && !stepped:
			return f.nthDay(low%7, rest, at+len(span)-len(rest))
		default:
			high = low
		}
	}
	if rest != "" {
		return f.wrong(at+len(span)-len(rest), "%q is unexpected", rest)
	}
	step := 1
	if stepped {
		f.step = true
		var err error
		if step, err = f.number(stepText, at+len(span)+1, "a step", 1, max(f.high, 1)); err != nil {
			return err
		}
	}
	for v := low; v <= high; v += step {
		f.add(v)
	}
	return nil
}

// add puts a value into the set.
func (f *fieldParser) add(v int) {
	if f.fieldKind == weekdayField {
		v %= 7
	}
	f.set |= 1 << v
}

// value reads a number or a name from the front of text, and returns what is behind it.
func (f *fieldParser) value(text string, at int) (v int, rest string, err error) {
	n := 0
	for n < len(text) && isLetter(text[n]) {
		n++
	}
	if n > 0 {
		// A weekday may have an L behind its name.
		if n == 4 && f.fieldKind == weekdayField && (text[3] == 'L' || text[3] == 'l') {
			n = 3
		}
		i := slices.Index(f.names, strings.ToUpper(text[:n]))
		switch {
		case i >= 0:
			return f.low + i, text[n:], nil
		case len(f.names) == 0:
			return 0, "", f.wrong(at, "%q is no number from %d to %d", text, f.low, f.high)
		}
		return 0, "", f.wrong(at, "%q is none of %s, and no number from %d to %d", text, strings.Join(f.names, ", "), f.low, f.high)
	}
	for n < len(text) && isDigit(text[n]) {
		n++
	}
	if f.fieldKind == dayField && n < len(text) && (text[n] == 'W' || text[n] == 'w') {
		return 0, "", f.wrong(at+n, "W, the nearest working day, is not supported")
	}
	v, err = f.number(text[:n], at, "a value", f.low, f.high)
	if n == 0 {
		err = f.wrong(at, "%q is no number from %d to %d", text, f.low, f.high)
	}
	return v, text[n:], err
}

// upper reads the end of a range that begins with low.
func (f *fieldParser) upper(low int, text string, at int) (high int, rest string, err error) {
	if text == "" {
		return 0, "", f.wrong(at, "the end of the range is missing")
	}
	high, rest, err = f.value(text, at)
	if err != nil {
		return 0, "", err
	}
	if f.fieldKind == weekdayField && high == 0 && !isDigit(text[0]) {
		high = 7 // FRI-SUN
	}
	if high < low {
		return 0, "", f.wrong(at, "the range ends before it begins: write two, one to %d and one from %d", f.high, f.low)
	}
	return high, rest, nil
}

// number reads all of text as a number from low to high.
func (f *fieldParser) number(text string, at int, what string, low, high int) (int, error) {
	if text == "" {
		return 0, f.wrong(at, "%s is missing", what)
	}
	for i := range len(text) {
		if !isDigit(text[i]) {
			return 0, f.wrong(at+i, "%q is unexpected in %s", text[i:], what)
		}
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < low || n > high {
		return 0, f.wrong(at, "%s of %s is not from %d to %d", what, text, low, high)
	}
	return n, nil
}

// lastDay reads what is behind an L in the day's field: nothing, or - and a number of days.
func (f *fieldParser) lastDay(text string, at int) error {
	before := 0
	if text != "" {
		if text[0] != '-' {
			return f.wrong(at, "%q is unexpected after L: want nothing, or - and a number of days", text)
		}
		var err error
		if before, err = f.number(text[1:], at+1, "a number of days", 1, 30); err != nil {
			return err
		}
	}
	f.fromEnd |= 1 << before
	return nil
}

// nthDay reads what is behind a weekday: L for its last of the month, or # and a number.
func (f *fieldParser) nthDay(weekday int, text string, at int) error {
	switch {
	case text == "L" || text == "l":
		f.nth[weekday] |= lastWeek
		return nil
	case text[0] == '#':
		n, err := f.number(text[1:], at+1, "a number of the week", 1, 5)
		f.nth[weekday] |= 1 << n
		return err
	}
	return f.wrong(at, "%q is unexpected after a weekday: want L, or # and 1 to 5", text)
}

// isDigit is about ASCII.
func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// isLetter is about ASCII.
func isLetter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }
