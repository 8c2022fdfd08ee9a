package secret

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"html"
	"log/slog"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// verbs are all that fmt has, and the flags that change what a value of many parts
// looks like.
var verbs = []string{"%v", "%+v", "%#v", "%s", "%+s", "%q", "%+q", "%#q", "%x", "%X", "% x", "%#x", "%d", "%o", "%b", "%c", "%U", "%t", "%e", "%g", "%T", "%p"}

// Find prints value in every way that a program could: by the verbs of package fmt, by
// itself and as a part of other values, and by the encoders json, xml and slog. It
// returns a line for each of secrets that is shown, however it is spelled: in the
// encodings of URLs, of Go, of JSON and of HTML, in base64, or as the numbers of its
// bytes. An error is looked at with all that it wraps. The lines do not repeat the
// secrets, and are for a person: their form may change.
func Find(value any, secrets ...string) []string {
	var found []string
	look := func(v any) {
		all := printed(v)
		for i, s := range secrets {
			ways := showing(all, spellings(s))
			if len(ways) > 0 {
				found = append(found, fmt.Sprintf("%T by %s, one of %d ways, shows secret %d of %d", v, ways[0], len(ways), i+1, len(secrets)))
			}
		}
	}
	look(value)
	if err, ok := value.(error); ok {
		eachCause(err, make(map[error]bool), func(cause error) { look(cause) })
	}
	return found
}

// showing returns the ways, sorted, in which something is printed that has one of the
// spellings.
func showing(printed map[string]string, spellings []string) []string {
	var ways []string
	for way, text := range printed {
		if slices.ContainsFunc(spellings, func(s string) bool { return strings.Contains(text, s) }) {
			ways = append(ways, way)
		}
	}
	slices.Sort(ways)
	return ways
}

// eachCause calls do for what an error wraps, and for what that wraps.
func eachCause(err error, seen map[error]bool, do func(error)) {
	var causes []error
	switch wrapper := err.(type) {
	case interface{ Unwrap() error }:
		causes = []error{wrapper.Unwrap()}
	case interface{ Unwrap() []error }:
		causes = wrapper.Unwrap()
	}
	for _, cause := range causes {
		if cause == nil || reflect.TypeOf(cause).Comparable() && seen[cause] {
			continue
		}
		if reflect.TypeOf(cause).Comparable() {
			seen[cause] = true
		}
		do(cause)
		eachCause(cause, seen, do)
	}
}

// printed is a value in every form, by the way in which it got it. A pointer's value
// is printed too, and both as fields: of an unexported one fmt does not call the
// methods. Nor does fmt stop at a pointer inside of a value, if the verb does not suit
// it: then it prints what that points to.
func printed(value any) map[string]string {
	all := make(map[string]string)
	shapes := map[string]any{
		"itself": value, "a slice": []any{value}, "a map": map[string]any{"key": value},
		"a field": struct{ Value any }{value}, "an unexported field": struct{ value any }{value},
	}
	if v := reflect.ValueOf(value); v.Kind() == reflect.Pointer && !v.IsNil() && v.Elem().CanInterface() {
		pointee := v.Elem().Interface()
		shapes["its pointee"], shapes["an unexported field of its pointee"] = pointee, struct{ value any }{pointee}
	}
	for shape, v := range shapes {
		for _, verb := range verbs {
			all[verb+" as "+shape] = fmt.Sprintf(verb, v)
		}
		for name, text := range encoded(v) {
			all[name+" as "+shape] = text
		}
	}
	return all
}

// encoded is a value by each of the encoders, or the error of one that cannot.
func encoded(v any) map[string]string {
	all := make(map[string]string)
	note := func(name string, encode func() ([]byte, error)) {
		defer func() {
			if r := recover(); r != nil {
				all[name] = fmt.Sprint(r) // an encoder that cannot, and says so by a panic
			}
		}()
		text, err := encode()
		all[name] = string(text)
		if err != nil {
			all[name] += err.Error()
		}
	}
	note("json", func() ([]byte, error) { return json.Marshal(v) })
	note("xml", func() ([]byte, error) { return xml.Marshal(v) })
	for name, handler := range map[string]func(*bytes.Buffer) slog.Handler{
		"slog's text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
		"slog's JSON": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
	} {
		note(name, func() ([]byte, error) {
			var b bytes.Buffer
			log := slog.New(handler(&b))
			log.With("with", v).Info("message", "value", v, slog.Group("group", "value", v))
			return b.Bytes(), nil
		})
	}
	return all
}

// spellings are the forms in which a text can be printed.
func spellings(s string) []string {
	quoted := strconv.Quote(s)
	inJSON, err := json.Marshal(s)
	if err != nil {
		inJSON = []byte(quoted)
	}
	inHex := hex.EncodeToString([]byte(s))
	all := []string{
		s, url.QueryEscape(s), url.PathEscape(s), url.UserPassword("", s).String()[1:],
		quoted[1 : len(quoted)-1], string(inJSON[1 : len(inJSON)-1]), html.EscapeString(s),
		inHex, strings.ToUpper(inHex), fmt.Sprintf("% x", s), strings.Trim(fmt.Sprint([]byte(s)), "[]"),
		strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", []byte(s)), "[]byte{"), "}"),
	}
	for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		all = append(all, e.EncodeToString([]byte(s)))
	}
	slices.Sort(all)
	return slices.Compact(all)
}
