package main

import (
	"bufio"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// style is a colour of a terminal, as the parameter of an escape sequence.
type style string

// The styles: the terminal's own sixteen colours, which people have set so that they can
// read them.
const (
	plain  style = ""
	bold   style = "1"
	faint  style = "2"
	red    style = "31"
	green  style = "32"
	yellow style = "33"
)

// paint puts a text into a style.
func (s style) paint(text string) string {
	if s == plain {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

// cell is one field of a table.
type cell struct {
	text  string
	style style
}

// table is what people see of a list. Names of columns that begin with > are to the right,
// as numbers are.
type table struct {
	columns []string
	rows    [][]cell
}

// newTable makes a table with these columns.
func newTable(columns ...string) *table { return &table{columns: columns} }

// add adds a row.
func (t *table) add(cells ...cell) { t.rows = append(t.rows, cells) }

// text is a cell in no style.
func text(s string) cell { return cell{text: s} }

// write writes the table. On a terminal of a width the last column is cut where a line
// ends, so that a long error does not break the lines; elsewhere all of it is written.
func (t *table) write(w io.Writer, width int, colours bool) error {
	head := make([]cell, len(t.columns))
	for i, name := range t.columns {
		head[i] = cell{strings.TrimPrefix(name, ">"), bold}
	}
	rows := append([][]cell{head}, t.rows...)
	widths := make([]int, len(t.columns))
	for _, row := range rows {
		for i := range row {
			row[i].text = printable(row[i].text)
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i].text))
		}
	}
	b := bufio.NewWriter(w)
	for _, row := range rows {
		t.writeRow(b, row, widths, width, colours)
	}
	return b.Flush()
}

// gap is between two columns.
const gap = "  "

// writeRow writes one line.
func (t *table) writeRow(b *bufio.Writer, row []cell, widths []int, width int, colours bool) {
	used, pending := 0, ""
	for i, c := range row {
		pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c.text))
		if strings.HasPrefix(t.columns[i], ">") {
			pending, pad = pending+pad, ""
		} else if i == len(row)-1 {
			pad = ""
			if width > 0 {
				c.text = cut(c.text, roomFrom(used, width))
			}
		}
		if c.text != "" {
			b.WriteString(pending) // blanks at the end of a line are left out
			pending = ""
		}
		if colours {
			c.text = c.style.paint(c.text)
		}
		b.WriteString(c.text)
		pending += pad + gap
		used += widths[i] + len(gap)
	}
	b.WriteByte('\n')
}

// leastRoom is how many characters the last column has at least that begins behind the end of a
// terminal's line.
const leastRoom = 20

// roomFrom is how many characters the last column has that begins after so many. Columns before
// it are never cut, as an ID that is cut is of no use: if they fill the line, it has the rest of
// the next.
func roomFrom(used, width int) int {
	if used < width {
		return width - used
	}
	room := width - used%width
	for room < leastRoom {
		room += width
	}
	return room
}

// cut shortens a text to so many characters.
func cut(s string, most int) string {
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most-1]) + "…"
}

// printable makes one line of a text that others wrote, which a terminal shows as it is:
// what controls a terminal, or changes the direction of what follows, becomes a mark.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case r == utf8.RuneError || !unicode.IsPrint(r):
			return '\uFFFD'
		}
		return r
	}, s)
}
