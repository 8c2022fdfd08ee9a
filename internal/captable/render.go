package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/batch-go/batch/conformance"
)

const drivers = "github.com/batch-go/batch/driver/"

// column is a driver's type with what was seen of it.
type column struct {
	path, typ string // below drivers
	title     string
	note      string
	records   []*conformance.Record
}

// columns are all that the tables must have.
func columns() []*column {
	return []*column{
		{path: "memory", typ: "Driver", title: "memory", note: "Jobs live in the process and end with it."},
		{path: "redis", typ: "Driver", title: "Redis"},
		{path: "amqp", typ: "Driver", title: "RabbitMQ"},
		{path: "amqp", typ: "PriorityDriver", title: "RabbitMQ with priorities", note: "The URL has `priority=quorum`, on 4.3 and newer, or `priority=classic`."},
		{path: "nats", typ: "Driver", title: "NATS JetStream"},
		{path: "nats/embedded", typ: "Driver", title: "JetStream in the process", note: "Jobs live in a folder and survive the process."},
		{path: "postgres", typ: "Driver", title: "PostgreSQL", note: "Transactions are of type `pgx.Tx`."},
		{path: "postgres", typ: "SQLDriver", title: "PostgreSQL by the standard library", note: "Transactions are of type `*sql.Tx`, of package database/sql."},
		{path: "sqs", typ: "Driver", title: "Amazon SQS"},
		{path: "sqs", typ: "FIFODriver", title: "Amazon SQS FIFO"},
	}
}

// exempt are types of these drivers that are for tests.
var exempt = map[string]bool{drivers + "memory.Portable": true}

// capabilities are the rows, in the order of package batch.
var capabilities = []struct{ name, title, limit string }{
	{"Prioritizer", "strict priority", "PriorityLevels"},
	{"Delayer", "delay", "MaxDelay"},
	{"Deduplicator", "unique", "DedupWindow"},
	{"Grouper", "ordered groups", "MaxGroups"},
	{"AtomicEnqueuer", "atomic enqueue", "AtomicLimit"},
	{"Inspector", "inspect", ""},
	{"Pauser", "pause", ""},
	{"Importer", "import", ""},
	{"QueueLister", "list queues", ""},
	{"Purger", "purge", ""},
	{"TxEnqueuer", "transactions", "TxType"},
}

// faults are what a broker was put through.
var faults = []struct{ need, title string }{
	{"Harness.Restart", "the broker dies and comes back"},
	{"Harness.Freeze", "the broker freezes"},
	{"Harness.Cut", "connections break"},
	{"Harness.Foreign", "a foreign message in the queue"},
	{"Harness.Secrets", "credentials in the URL"},
	{"Harness.URL", "opened by URL"},
	{"Harness.OtherTransactions", "a transaction of another database"},
	{"Harness.OpenOther", "a delivery of another database"},
}

const every = "enqueue, retry, timeout, expiry, dead letters, depth"

// tables are the columns, filled.
type tables struct{ columns []*column }

// missingError names columns without a record.
type missingError struct{ titles []string }

func (e *missingError) Error() string {
	return "there is no record of a run of the whole suite on " + strings.Join(e.titles, ", ")
}

// arrange sorts the records into the columns. Drivers of other packages, such as tests' own, are left out.
func arrange(records []*conformance.Record) (*tables, error) {
	t := &tables{columns()}
	for _, r := range records {
		path, ok := strings.CutPrefix(r.Package, drivers)
		if !ok || exempt[r.Package+"."+r.Type] {
			continue
		}
		i := slices.IndexFunc(t.columns, func(c *column) bool { return c.path == path && c.typ == r.Type })
		if i < 0 {
			return nil, fmt.Errorf("%s.%s has no column", r.Package, r.Type)
		}
		c := t.columns[i]
		if len(c.records) > 0 && !slices.Equal(c.records[0].Capabilities, r.Capabilities) {
			return nil, fmt.Errorf("runs of %s.%s differ in capabilities", r.Package, r.Type)
		}
		c.records = append(c.records, r)
	}
	var missing []string
	for _, c := range t.columns {
		slices.SortFunc(c.records, func(a, b *conformance.Record) int { return strings.Compare(a.Test, b.Test) })
		if len(c.records) == 0 {
			missing = append(missing, c.title)
		}
	}
	if len(missing) > 0 {
		return nil, &missingError{missing}
	}
	return t, nil
}

// has tells whether the type has a capability.
func (c *column) has(capability string) bool {
	return slices.Contains(c.records[0].Capabilities, capability)
}

// brokers are the brokers and versions that were talked to.
func (c *column) brokers() string {
	versions := make(map[string][]string)
	for _, r := range c.records {
		if !slices.Contains(versions[r.Broker], r.Version) {
			versions[r.Broker] = append(versions[r.Broker], r.Version)
		}
	}
	var list []string
	for _, broker := range slices.Sorted(maps.Keys(versions)) {
		slices.Sort(versions[broker])
		list = append(list, strings.TrimSpace(broker+" "+strings.Join(versions[broker], ", ")))
	}
	return strings.Join(list, "; ")
}

// cases are those that ran for a need in any of the runs, in the suite's order; those without needs for "".
func (c *column) cases(need string) []string {
	var names []string
	for _, known := range conformance.Cases() {
		ran := slices.ContainsFunc(c.records, func(r *conformance.Record) bool {
			return slices.ContainsFunc(r.Cases, func(k conformance.RecordedCase) bool {
				return k.Name == known.Name && (slices.Contains(k.Needs, need) || need == "" && len(k.Needs) == 0)
			})
		})
		if ran {
			names = append(names, known.Name)
		}
	}
	return names
}

// limit is a limit's value, or its values with the tests that had them.
func (c *column) limit(name string) string {
	tests := make(map[string][]string)
	var values []string
	for _, r := range c.records {
		v, ok := r.Limits[name]
		if !ok {
			continue
		}
		v = humane(name, v)
		if len(tests[v]) == 0 {
			values = append(values, v)
		}
		tests[v] = append(tests[v], r.Test)
	}
	if len(values) == 1 {
		return values[0]
	}
	for i, v := range values {
		values[i] = v + " (" + code(tests[v]) + ")"
	}
	return strings.Join(values, "; ")
}

// humane is a limit as people write it.
func humane(name, value string) string {
	switch name {
	case "MaxBody", "MaxHeaders", "EnqueueBytes":
		n, err := strconv.ParseInt(value, 10, 64)
		switch {
		case err != nil:
		case n >= 1<<20 && n%(1<<10) == 0 && n%(1<<20) != 0:
			return fmt.Sprintf("%d KiB", n>>10)
		case n >= 1<<20 && n%(1<<20) == 0:
			return fmt.Sprintf("%d MiB", n>>20)
		case n >= 1<<10 && n%(1<<10) == 0:
			return fmt.Sprintf("%d KiB", n>>10)
		default:
			return value + " bytes"
		}
	case "DedupWindow":
		return "the URL's `dedup_window`" // a test's is short
	case "TxType":
		return code([]string{value})
	case "MaxGroups":
		if value == "0" {
			return "no bound"
		}
	}
	d, err := time.ParseDuration(value)
	if err != nil || value == "0" {
		return value
	}
	const day = 24 * time.Hour
	switch {
	case d == 0 && (name == "MaxLease" || name == "MinLease"):
		return "the connection"
	case d >= 2*day && d%day == 0:
		return fmt.Sprintf("%d days", d/day)
	case d >= time.Hour && d%time.Hour == 0:
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return d.String()
}

// code is a list of names in the font of code.
func code(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return "`" + strings.Join(names, "`, `") + "`"
}

// row is a line of a table.
func row(cells ...string) string {
	for i, cell := range cells {
		cells[i] = strings.ReplaceAll(cell, "|", `\|`)
	}
	var b strings.Builder
	for _, cell := range cells {
		b.WriteString(strings.TrimRight("| "+cell, " ") + " ")
	}
	return b.String() + "|\n"
}

// overview is the table of all drivers. Its titles link to their sections in the document.
func (t *tables) overview(document string) string {
	var b strings.Builder
	line := func(title string, cell func(c *column) string) {
		cells := []string{title}
		for _, c := range t.columns {
			cells = append(cells, cell(c))
		}
		b.WriteString(row(cells...))
	}
	yes := func(ok bool) string {
		if ok {
			return "yes"
		}
		return ""
	}
	line("", func(c *column) string {
		return "[" + c.title + "](" + document + "#" + strings.ReplaceAll(strings.ToLower(c.title), " ", "-") + ")"
	})
	b.WriteString(strings.Repeat("|---", len(t.columns)+1) + "|\n")
	line("tested on", (*column).brokers)
	line(every, func(c *column) string { return yes(len(c.cases("")) > 0) })
	for _, k := range capabilities {
		line(k.title, func(c *column) string { return yes(c.has(k.name)) })
	}
	return b.String()
}

// document is docs/capabilities.md.
func (t *tables) document() string {
	var b strings.Builder
	b.WriteString(`# Capabilities

<!-- This file is written by make capabilities, from runs of the conformance suite. -->

What each driver can do, on the brokers that [the conformance suite](../conformance/doc.go) ran on. Nothing
here is said by hand: a driver's type says what it is capable of, the suite proves that on the broker, and
what the type does not have is seen not to compile. The cases are [below](#cases).

`)
	b.WriteString(t.overview(""))
	for _, c := range t.columns {
		t.section(&b, c)
	}
	b.WriteString("\n## Cases\n\n| case | needs | rule |\n|---|---|---|\n")
	for _, k := range conformance.Cases() {
		b.WriteString(row("`"+k.Name+"`", strings.Join(k.Needs, ", "), k.Rule))
	}
	return b.String()
}

// section is what is known of one type.
func (t *tables) section(b *strings.Builder, c *column) {
	fmt.Fprintf(b, "\n## %s\n\n", c.title)
	text := fmt.Sprintf("`%s.%s` in [driver/%s](../driver/%s). %s", c.path[strings.LastIndex(c.path, "/")+1:], c.typ, c.path, c.path, c.note)
	b.WriteString(strings.TrimSpace(text) + "\n")
	b.WriteString("\n| broker | version | test | cases |\n|---|---|---|---|\n")
	for _, r := range c.records {
		b.WriteString(row(r.Broker, r.Version, "`"+r.Test+"`", strconv.Itoa(len(r.Cases))))
	}
	b.WriteString("\n| capability | | limit | proved by |\n|---|---|---|---|\n")
	b.WriteString(row(every, "yes", "", fmt.Sprintf("%d cases, which are those that need nothing", len(c.cases("")))))
	for _, k := range capabilities {
		if c.has(k.name) {
			limit := ""
			if k.limit != "" {
				limit = c.limit(k.limit)
			}
			b.WriteString(row(k.title, "yes", limit, code(c.cases(k.name))))
		} else {
			b.WriteString(row(k.title, "no", "", "`does-not-compile-"+k.name+"`"))
		}
	}
	for _, f := range faults {
		if cases := c.cases(f.need); len(cases) > 0 {
			b.WriteString(row(f.title, "yes", "", code(cases)))
		} else {
			b.WriteString(row(f.title, "not tested", "", ""))
		}
	}
	b.WriteString("\n| limit | value |\n|---|---|\n")
	ofCapability := make(map[string]bool)
	for _, k := range capabilities {
		ofCapability[k.limit] = true
	}
	for _, name := range slices.Sorted(maps.Keys(c.records[0].Limits)) {
		if !ofCapability[name] {
			b.WriteString(row("`"+name+"`", c.limit(name)))
		}
	}
}
