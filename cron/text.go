package cron

import (
	"fmt"
	"strings"

	"github.com/batch-go/batch"
)

// ParseError says what is wrong with an expression, and where. It wraps
// [batch.ErrInvalid].
type ParseError struct {
	// Text is the expression, and Offset where in it the mistake begins, in bytes
	// from its start.
	Text   string
	Offset int
	// Field names the field with the mistake: "hour", "zone". It is empty if the
	// mistake is in none.
	Field string
	// Problem says what is wrong and what may stand there.
	Problem string
}

// Error shows the expression, the place and the problem.
func (e *ParseError) Error() string {
	field := ""
	if e.Field != "" {
		field = e.Field + ": "
	}
	text := e.Text
	if len(text) > maxText {
		text = text[:maxText]
	}
	return fmt.Sprintf("cron: %q, column %d: %s%s", text, e.Offset+1, field, e.Problem)
}

// Unwrap returns batch.ErrInvalid.
func (e *ParseError) Unwrap() error { return batch.ErrInvalid }

// maxText bounds the length of an expression, in bytes: with all that it can say it is
// shorter.
const maxText = 512

// parser reads one expression.
type parser struct{ text string }

// fail makes the error for what begins at offset.
func (p *parser) fail(offset int, field, format string, args ...any) error {
	return &ParseError{Text: p.text, Offset: offset, Field: field, Problem: fmt.Sprintf(format, args...)}
}

// blanks stand between words.
const blanks = " \t\r\n"

// word is a part of the text without blanks in it, and where it begins.
type word struct {
	text string
	at   int
}

// words are the parts of the text between blanks, such as the one at the end of a line of a
// file.
func (p *parser) words() []word {
	var list []word
	for at := 0; at < len(p.text); {
		if strings.IndexByte(blanks, p.text[at]) >= 0 {
			at++
			continue
		}
		end := at + strings.IndexAny(p.text[at:]+" ", blanks)
		list = append(list, word{p.text[at:end], at})
		at = end
	}
	return list
}
