package dash

import (
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/batch-go/batch"
)

// unknown is what stands for what a broker cannot tell.
const unknown = "unknown"

// count is a number of jobs with its thousands apart, or that it is unknown.
func count(n int64) string {
	if n == batch.UnknownCount {
		return unknown
	}
	return thousands(n)
}

// thousands sets the thousands of a number apart.
func thousands(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// short is a duration in at most two units, as people say it and as the command line does: 3d4h, 5m12s, 0.4s.
func short(d time.Duration) string {
	const day = 24 * time.Hour
	part := func(n time.Duration, unit string) string {
		if n == 0 {
			return ""
		}
		return strconv.Itoa(int(n)) + unit
	}
	switch {
	case d < 10*time.Second:
		return strconv.FormatFloat(max(d, 0).Seconds(), 'f', 1, 64) + "s"
	case d < time.Minute:
		return part(d/time.Second, "s")
	case d < time.Hour:
		return part(d/time.Minute, "m") + part(d%time.Minute/time.Second, "s")
	case d < day:
		return part(d/time.Hour, "h") + part(d%time.Hour/time.Minute, "m")
	}
	return part(d/day, "d") + part(d%day/time.Hour, "h")
}

// ago is how long before now something was, or how long after it will be.
func ago(t, now time.Time) string {
	if t.After(now) {
		return "in " + short(t.Sub(now))
	}
	return short(now.Sub(t)) + " ago"
}

// size is a number of bytes as people say it.
func size(n int) string {
	switch {
	case n == 1:
		return "1 byte"
	case n < 1<<10:
		return strconv.Itoa(n) + " bytes"
	case n < 1<<20:
		return strconv.FormatFloat(float64(n)/(1<<10), 'f', 1, 64) + " KiB"
	}
	return strconv.FormatFloat(float64(n)/(1<<20), 'f', 1, 64) + " MiB"
}

// printable makes a text that others wrote safe to be read: what is no text, controls or changes the direction of what
// follows becomes a mark. Lines and tabs stay. That it cannot be code is up to the templates.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError:
			return '\uFFFD'
		case r == '\n' || r == '\t' || unicode.IsPrint(r) || unicode.Is(unicode.Zs, r):
			return r
		}
		return '\uFFFD'
	}, s)
}

// line is the first line of a printable text, with at most most characters.
func line(s string, most int) string {
	s = strings.TrimSpace(s)
	if first, _, more := strings.Cut(s, "\n"); more {
		s = strings.TrimSpace(first) + " …"
	}
	if len(s) > 4*most {
		s = s[:4*most] // no rune is longer
	}
	s = printable(s)
	if utf8.RuneCountInString(s) > most {
		s = string([]rune(s)[:most-1]) + "…"
	}
	return s
}

// gist is what errors of one cause have in common: the first line, with a mark for what differs from one job to the next,
// which are numbers and what looks like an ID.
func gist(s string) string {
	var b strings.Builder
	for _, word := range strings.SplitAfter(line(s, 200), " ") {
		start := 0
		for start < len(word) {
			end := start
			for end < len(word) && isWordByte(word[end]) {
				end++
			}
			if end == start {
				b.WriteByte(word[start])
				start++
				continue
			}
			if part := word[start:end]; strings.ContainsAny(part, "0123456789") {
				b.WriteString("#")
			} else {
				b.WriteString(part)
			}
			start = end
		}
	}
	return b.String()
}

// isWordByte tells whether a byte is of a number, an ID or a word.
func isWordByte(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '_' || c >= utf8.RuneSelf
}

// waiting is a number of waiting jobs in words.
func waiting(n int64) string {
	if n == 1 {
		return "1 waiting job"
	}
	return thousands(n) + " waiting jobs"
}

// letters is a number of dead letters in words, as the command line says it.
func letters(n int64) string {
	switch {
	case n < 0:
		return "all dead letters"
	case n == 1:
		return "1 dead letter"
	}
	return thousands(n) + " dead letters"
}
