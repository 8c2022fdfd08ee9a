package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/batch-go/batch"
)

// jobList prints jobs: each at once for programs, and as a table for people, with the body
// and the headers of each below it if they are wanted.
type jobList struct {
	app   *app
	queue string
	body  bool
	table *table
	below [][]string // what comes below each row
}

// newJobList makes a list with these columns.
func newJobList(a *app, queue string, body bool, columns ...string) *jobList {
	return &jobList{app: a, queue: queue, body: body, table: newTable(columns...)}
}

// add prints a job, or adds it to the table in these cells.
func (l *jobList) add(e *batch.Entry, cells ...cell) error {
	if l.app.json {
		return l.app.print(jobOf(l.queue, e, l.body))
	}
	l.table.add(cells...)
	if l.body {
		l.below = append(l.below, bodyLines(e))
	}
	return nil
}

// endEarly prints the jobs that there are, if something has ended the list.
func (l *jobList) endEarly() error {
	if len(l.table.rows) == 0 {
		return nil
	}
	return l.end()
}

// end prints the table.
func (l *jobList) end() error {
	if l.app.json {
		return nil
	}
	if !l.body {
		return l.app.show(l.table)
	}
	for i, row := range l.table.rows {
		one := newTable(l.table.columns...)
		one.rows = [][]cell{row}
		if err := l.app.show(one); err != nil {
			return err
		}
		if err := l.app.say("%s\n", strings.Join(l.below[i], "\n")); err != nil {
			return err
		}
	}
	return nil
}

// bodyLines are the headers and the body of a job, for people.
func bodyLines(e *batch.Entry) []string {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(e.Headers)) {
		lines = append(lines, fmt.Sprintf("  %s: %s", printable(name), printable(e.Headers[name])))
	}
	lines = append(lines, fmt.Sprintf("  %s, %d bytes:", printable(e.ContentType), len(e.Body)))
	for line := range strings.Lines(string(e.Body)) {
		lines = append(lines, "  "+printable(strings.TrimRight(line, "\r\n")))
	}
	return lines
}

// number is the cell of a number that is known.
func number(n int) cell { return text(strconv.Itoa(n)) }

// notThere is the error for IDs that were named and are not there.
func notThere(queue string, missing, of int) error {
	if of == 1 {
		return fmt.Errorf("queue %s has no dead letter with this ID: %w", queue, batch.ErrNotFound)
	}
	return fmt.Errorf("queue %s has no dead letters with %d of these %d IDs: %w", queue, missing, of, batch.ErrNotFound)
}
