package batchtest

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	// mostDifferences is how many lines a difference has. Nobody reads more, and what differs in all is another value.
	mostDifferences = 10
	// mostShown is the length in bytes of a value in a message.
	mostShown = 200
	// deepest is how far into values a difference goes.
	deepest = 32
)

// difference says in what two values differ, a line for each place, beginning with name. It is empty if they are deeply
// equal.
func difference(name string, got, want any) []string {
	if reflect.DeepEqual(got, want) {
		return nil
	}
	var d differ
	d.compare(name, reflect.ValueOf(got), reflect.ValueOf(want), 0)
	switch {
	case len(d.lines) == 0:
		d.note(name, reflect.ValueOf(got), reflect.ValueOf(want))
	case len(d.lines) > mostDifferences:
		left := len(d.lines) - mostDifferences
		d.lines = append(d.lines[:mostDifferences], fmt.Sprintf("and %d more places", left))
	}
	return d.lines
}

// differ gathers the lines of a difference.
type differ struct{ lines []string }

// note adds a line.
func (d *differ) note(path string, got, want reflect.Value) {
	has, wants := apart(textOf(got), textOf(want))
	d.lines = append(d.lines, fmt.Sprintf("%s is %s, want %s", path, has, wants))
}

// compare goes into what has parts, and compares the rest.
func (d *differ) compare(path string, got, want reflect.Value, depth int) {
	leaf := !got.IsValid() || !want.IsValid() || got.Type() != want.Type() || depth == deepest
	if leaf || isLeaf(got) {
		if equal(got, want) {
			return
		}
		if leaf || textOf(got) != textOf(want) { // otherwise their text hides what differs
			d.note(path, got, want)
			return
		}
	}
	switch got.Kind() {
	case reflect.Pointer, reflect.Interface:
		if got.IsNil() || want.IsNil() {
			if got.IsNil() != want.IsNil() {
				d.note(path, got, want)
			}
			return
		}
		d.compare(path, got.Elem(), want.Elem(), depth+1)
	case reflect.Struct:
		for i := range got.NumField() {
			d.compare(path+"."+got.Type().Field(i).Name, got.Field(i), want.Field(i), depth+1)
		}
	case reflect.Slice, reflect.Array:
		if got.Len() != want.Len() || got.Kind() == reflect.Slice && got.IsNil() != want.IsNil() {
			d.note(path, got, want)
			return
		}
		for i := range got.Len() {
			d.compare(fmt.Sprintf("%s[%d]", path, i), got.Index(i), want.Index(i), depth+1)
		}
	case reflect.Map:
		d.compareMaps(path, got, want, depth)
	default:
		if !equal(got, want) {
			d.note(path, got, want)
		}
	}
}

// compareMaps goes through the keys of both maps, in the order of their text.
func (d *differ) compareMaps(path string, got, want reflect.Value, depth int) {
	if got.IsNil() != want.IsNil() {
		d.note(path, got, want)
		return
	}
	keys := got.MapKeys()
	for _, key := range want.MapKeys() {
		if !got.MapIndex(key).IsValid() {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(show(a), show(b)) })
	for _, key := range keys {
		d.compare(fmt.Sprintf("%s[%s]", path, show(key)), got.MapIndex(key), want.MapIndex(key), depth+1)
	}
}

// isLeaf tells whether a value is shown as a whole: it has a text of its own, or is a text.
func isLeaf(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		return false
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return true
		}
	}
	return v.Type().Implements(reflect.TypeFor[fmt.Stringer]()) || v.Type().Implements(reflect.TypeFor[encoding.TextMarshaler]())
}

// equal compares values as a whole.
func equal(got, want reflect.Value) bool {
	switch {
	case !got.IsValid() || !want.IsValid():
		return got.IsValid() == want.IsValid()
	case !got.CanInterface() || !want.CanInterface(): // an unexported field
		return textOf(got) == textOf(want)
	}
	a, isTime := got.Interface().(time.Time)
	if b, both := want.Interface().(time.Time); isTime && both {
		return a.Equal(b)
	}
	return reflect.DeepEqual(got.Interface(), want.Interface())
}

// show is a value as text, shortened if it is long.
func show(v reflect.Value) string { return shorten(textOf(v)) }

// textOf is a value as text.
func textOf(v reflect.Value) (text string) {
	defer func() {
		if recover() != nil { // a method of the value's
			text = "a value of type " + v.Type().String()
		}
	}()
	for v.Kind() == reflect.Interface || v.Kind() == reflect.Pointer && !v.IsNil() && !isLeaf(v.Elem()) {
		v = v.Elem()
	}
	switch {
	case !v.IsValid():
		return "none"
	case v.Kind() == reflect.String && !isLeaf(v):
		return fmt.Sprintf("%q", v.String())
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8 && utf8.Valid(v.Bytes()):
		return fmt.Sprintf("%q", v.Bytes())
	}
	return textOfWhole(v)
}

// textOfWhole is textOf for what is no text. Package fmt writes an address for a pointer inside of a value, and JSON
// what it points to.
func textOfWhole(v reflect.Value) string {
	if !v.CanInterface() {
		return fmt.Sprintf("%+v", v)
	}
	whole := v.Interface()
	if at, ok := whole.(time.Time); ok {
		return at.Format(time.RFC3339Nano)
	}
	if hasPointers(v, 0) && !isLeaf(v) {
		if text, err := json.Marshal(whole); err == nil {
			return string(text)
		}
	}
	return fmt.Sprintf("%+v", whole)
}

// hasPointers tells whether there is a pointer inside of a value.
func hasPointers(v reflect.Value, depth int) bool {
	if depth == deepest {
		return true
	}
	switch v.Kind() {
	case reflect.Pointer:
		return !v.IsNil()
	case reflect.Interface:
		return !v.IsNil() && hasPointers(v.Elem(), depth+1)
	case reflect.Struct:
		for i := range v.NumField() {
			if hasPointers(v.Field(i), depth+1) {
				return true
			}
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if hasPointers(v.Index(i), depth+1) {
				return true
			}
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			if hasPointers(v.MapIndex(key), depth+1) {
				return true
			}
		}
	}
	return false
}

// shorten cuts a text off that is too long for a message.
func shorten(text string) string {
	if len(text) > mostShown {
		return strings.ToValidUTF8(text[:mostShown], "") + "..."
	}
	return text
}

// apart shortens two texts that differ. What both begin with is left out if the difference would not be seen otherwise.
func apart(got, want string) (string, string) {
	n := 0
	for n < min(len(got), len(want)) && got[n] == want[n] {
		n++
	}
	if n < mostShown {
		return shorten(got), shorten(want)
	}
	cut := max(n-20, 0)
	from := func(text string) string {
		return fmt.Sprintf("(%d bytes, from byte %d) ...%s", len(text), cut, shorten(strings.ToValidUTF8(text[cut:], "")))
	}
	return from(got), from(want)
}
