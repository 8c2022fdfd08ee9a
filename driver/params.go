package driver

import (
	"fmt"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

// Params reads the query of a driver's URL strictly: a parameter that nothing
// has read when [Params.Err] is called is an error, as is a value that does not
// parse or is out of bounds. It is not safe for concurrent use.
type Params struct {
	driver string
	values url.Values
	known  map[string]bool
	errs   []error
}

// faults are what was wrong with the parameters, as one error.
type faults struct{ errs []error }

// Error is one line.
func (f *faults) Error() string {
	texts := make([]string, len(f.errs))
	for i, err := range f.errs {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

// Unwrap makes each of them reachable.
func (f *faults) Unwrap() []error { return f.errs }

// NewParams prepares to read u's query for the named driver.
func NewParams(driver string, u *url.URL) *Params {
	p := &Params{driver: driver, known: make(map[string]bool)}
	values, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		p.Refuse("the query cannot be parsed") // the cause repeats a part of it
	}
	p.values = values
	return p
}

// Format prints the driver's name alone, by any verb: the values may be credentials.
func (p Params) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "parameters for %s", p.driver) }

// Has tells whether the parameter is given. It counts as reading it.
func (p *Params) Has(name string) bool {
	p.known[name] = true
	return p.values.Has(name)
}

// String reads a parameter, or fallback where it is not given.
func (p *Params) String(name, fallback string) string {
	p.known[name] = true
	all := p.values[name]
	if len(all) > 1 {
		p.Refuse("parameter %s is given %d times", name, len(all))
	}
	if len(all) == 0 {
		return fallback
	}
	return all[0]
}

// Strings reads a parameter that may be given several times.
func (p *Params) Strings(name string) []string {
	p.known[name] = true
	return p.values[name]
}

// Int reads a whole number between low and high.
func (p *Params) Int(name string, fallback, low, high int) int {
	text := p.String(name, "")
	if text == "" && !p.values.Has(name) {
		return fallback
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < low || n > high {
		p.Refuse("parameter %s=%q is not a whole number from %d to %d", name, text, low, high)
		return fallback
	}
	return n
}

// Duration reads a duration in Go's form (1m30s) between low and high.
func (p *Params) Duration(name string, fallback, low, high time.Duration) time.Duration {
	text := p.String(name, "")
	if text == "" && !p.values.Has(name) {
		return fallback
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < low || d > high {
		p.Refuse("parameter %s=%q is not a duration from %s to %s", name, text, low, high)
		return fallback
	}
	return d
}

// Bool reads true or false.
func (p *Params) Bool(name string, fallback bool) bool {
	text := p.String(name, "")
	if text == "" && !p.values.Has(name) {
		return fallback
	}
	switch text {
	case "true":
		return true
	case "false":
		return false
	}
	p.Refuse("parameter %s=%q is not true or false", name, text)
	return fallback
}

// Choice reads one of two or more words.
func (p *Params) Choice(name, fallback string, words ...string) string {
	word := p.String(name, fallback)
	if !slices.Contains(words, word) {
		last := len(words) - 1
		p.Refuse("parameter %s=%q is not %s or %s", name, word, strings.Join(words[:last], ", "), words[last])
		return fallback
	}
	return word
}

// Refuse adds an error, formatted as by fmt.Errorf, to those that [Params.Err]
// reports. It is for what the other methods do not check. The text must not
// repeat a credential.
func (p *Params) Refuse(format string, args ...any) {
	p.errs = append(p.errs, fmt.Errorf(format, args...))
}

// Err is nil, or an error that wraps [ErrConfig] and names everything that was
// wrong. If a parameter is unknown, it also lists the known ones.
func (p *Params) Err() error {
	errs := slices.Clone(p.errs)
	var unknown, known []string
	for name := range p.values {
		if !p.known[name] {
			unknown = append(unknown, shown(name))
		}
	}
	if len(unknown) > 0 {
		for name := range p.known {
			known = append(known, name)
		}
		sort.Strings(unknown)
		sort.Strings(known)
		errs = append(errs, fmt.Errorf("unknown parameter %s; known: %s", strings.Join(unknown, ", "), strings.Join(known, ", ")))
	}
	if len(errs) == 0 {
		return nil
	}
	return &Error{Driver: p.driver, Op: "open", Kind: ErrConfig, Fate: FateNotStored, Err: &faults{errs}}
}

// shown is the name of an unknown parameter as an error shows it. What follows an
// unescaped question mark in a password is not a name.
func shown(name string) string {
	for _, c := range []byte(name) {
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_') {
			return "(not shown: a name has a-z, 0-9 and _ only)"
		}
	}
	return name
}
