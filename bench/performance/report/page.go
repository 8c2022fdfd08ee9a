package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/batch-go/batch/bench/performance/load"
	"github.com/batch-go/batch/bench/performance/peer"
	"github.com/batch-go/batch/bench/performance/peers"
)

// head is what stands first on the page.
const head = `<!-- Written by make performance. Do not edit. -->

# Performance

batch beside other Go libraries, and beside the raw clients. ` + "`make performance`" + ` measures it all again, and
` + "`make performance BROKER=redis WORKLOAD=enqueue-1,process PEER=batch,asynq ROUNDS=5`" + ` a part of it; with QUICK=1 it
takes a few seconds a figure instead of half a minute. What measures is in [bench/performance](../bench/performance/doc.go),
and the figures of all rounds are in [results.json](performance/results.json).

- All peers of a table used the same broker, with the same bodies of JSON (256 bytes unless a row says otherwise), as many
  callers and workers, and as safe as each other: durable, confirmed by the broker before the call returns, and
  acknowledged after the handler. Each measurement was a process of its own. In a round each peer was measured once, in
  random order.
- **of batch** is the rate as a part of that of batch. **jobs/s** is the median of the rounds, with the lowest and the highest. Latencies are medians of the rounds' percentiles.
- **CPU** and **allocations** are those of our process for a job, the load's own included. **Broker CPU** and **wire**,
  bytes in both directions, and **packets** are of the broker's container for a job. **Commands** are what Redis ran for a job, those
  inside scripts included, and **WAL** is what PostgreSQL wrote to its log.
`

// counted stands behind it if syncs were counted.
const counted = `- **Fsyncs** are how often the broker's container and our process synced a file to the disk, for a job: as the kernel counts
  them, in a measurement of their own that is not timed. What syncs by time, such as every second, has more jobs in between
  the faster it is.
`

// rules stands last above the brokers.
const rules = `- Every job has a number. A row says so if one that was confirmed was not handled
  in the time that a measurement has: it is lost, or the peer is slow.
- Rates say as much about the machine as about the libraries: broker, load and library share it. Ratios are what counts.

`

// brokerTitle is the heading of a broker.
func brokerTitle(broker string) string {
	switch broker {
	case peer.Redis:
		return "Redis"
	case peer.RabbitMQ:
		return "RabbitMQ"
	case peer.NATS:
		return "NATS JetStream"
	case peer.SQS:
		return "SQS (fauxqs)"
	case peer.Postgres:
		return "PostgreSQL"
	case peer.Files:
		return "No broker, or a database; a crash of the machine may lose the last second"
	case peer.Synced:
		return "No broker, or a database; a crash of the machine loses nothing"
	}
	return broker
}

// settings say how each broker was set up.
func settings(broker string) string {
	switch broker {
	case peer.Redis:
		return "appendonly yes, appendfsync everysec, in a container."
	case peer.RabbitMQ:
		return "Quorum queues on one node, in a container."
	case peer.NATS:
		return "Streams on files, work queues, sync_interval 2 min (the default), in a container."
	case peer.SQS:
		return "A stand-in for the service, with its queues in memory and at hand, so that no request has to travel."
	case peer.Postgres:
		return "synchronous_commit on, shared_buffers 512 MB, else its defaults, in a container; all peers on the same server."
	case peer.Files:
		return "On the same disk. PostgreSQL in a container, with synchronous_commit=off, shared_buffers 512 MB."
	case peer.Synced:
		return "On the same disk. PostgreSQL in a container, shared_buffers 512 MB."
	}
	return ""
}

// Page makes the page.
func Page(r *Results) string {
	var b strings.Builder
	b.WriteString(head)
	if slices.ContainsFunc(r.Entries, func(e Entry) bool { return e.Counted != nil }) {
		b.WriteString(counted)
	}
	b.WriteString(rules)
	if form := r.forms(); form != "" {
		b.WriteString(form + "\n\n")
	}
	fmt.Fprintf(&b, "Machine: %s.\n\n", r.Machine)
	for _, broker := range peer.Brokers() {
		if r.has(broker) {
			r.section(&b, broker)
		}
	}
	b.WriteString("## Versions\n\n| module | version |\n|---|---|\n")
	for _, m := range slices.Sorted(maps.Keys(r.Versions)) {
		fmt.Fprintf(&b, "| %s | %s |\n", m, r.Versions[m])
	}
	return b.String()
}

// forms says which figures are only of the quick form.
func (r *Results) forms() string {
	rounds, quick, first, last := 0, 0, "", ""
	for _, e := range r.Entries {
		rounds = max(rounds, len(e.Rounds))
		if e.Form == "quick" {
			quick++
		}
		when := e.When.Format("2006-01-02")
		if first == "" || when < first {
			first = when
		}
		last = max(last, when)
	}
	text := fmt.Sprintf("Up to %d rounds, %s", rounds, first)
	if rounds == 1 {
		text = "One round, " + first
	}
	if last != first {
		text += " to " + last
	}
	text += "."
	switch {
	case quick == 0:
		return text
	case quick == len(r.Entries):
		return text + " **These are figures of the quick form: they show that every row runs and counts right. Their rates are no comparison.**"
	}
	return text + fmt.Sprintf(" **%d of %d rows are of the quick form, "+marked+".**", quick, len(r.Entries))
}

// has tells whether there is anything of a broker.
func (r *Results) has(broker string) bool {
	return slices.ContainsFunc(r.Entries, func(e Entry) bool { return e.Broker == broker })
}

// plotted tells whether there is a plot of a broker's rates, or of its latencies.
func (r *Results) plotted(broker string, rates bool) bool {
	return slices.ContainsFunc(load.Workloads(), func(w load.Workload) bool {
		return w.For(broker) && (w.Kind == load.Rate) == rates && len(r.entries(broker, w.Name)) > 0
	})
}

// section writes what there is of a broker.
func (r *Results) section(b *strings.Builder, broker string) {
	fmt.Fprintf(b, "## %s\n\n", brokerTitle(broker))
	if v := r.Brokers[broker]; v != "" {
		fmt.Fprintf(b, "%s. ", v)
	}
	fmt.Fprintf(b, "%s\n\n", settings(broker))
	for _, plot := range []string{"rates", "latencies"} {
		if !r.plotted(broker, plot == "rates") {
			continue
		}
		fmt.Fprintf(b, "![%s of %s](performance/%s-%s.svg)\n\n", plot, broker, broker, plot)
	}
	b.WriteString("| peer | how it is set up |\n|---|---|\n")
	for _, row := range peers.Rows(broker) {
		fmt.Fprintf(b, "| %s | %s |\n", row.Name, row.Note)
	}
	b.WriteString("\n")
	for _, w := range load.Workloads() {
		if w.For(broker) {
			r.table(b, broker, w)
		}
	}
}

// table writes the table of a workload, if batch was measured in it.
func (r *Results) table(b *strings.Builder, broker string, w load.Workload) {
	if r.Find(broker, w.Name, peers.Ours) == nil {
		return
	}
	fmt.Fprintf(b, "**%s**: %s.\n\n", w.Name, w.What)
	columns := r.filled(broker, w)
	b.WriteString("| peer |")
	for _, c := range columns {
		fmt.Fprintf(b, " %s |", c.title)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(columns)) + "\n")
	for _, row := range peers.Rows(broker) {
		e := r.Find(broker, w.Name, row.Name)
		switch {
		case row.Open == nil: // its note says why, once
		case row.Lacks[w.Name] != "":
			emptyLine(b, row.Name, "no: "+row.Lacks[w.Name], columns)
		case e != nil && len(e.Rounds) == 0:
			emptyLine(b, row.Name, "failed: "+clean(e.Failed), columns)
		case e != nil:
			r.line(b, e, columns)
		}
	}
	b.WriteString("\n")
}

// filled are the columns that any row has something in.
func (r *Results) filled(broker string, w load.Workload) []column {
	return slices.DeleteFunc(columnsOf(w), func(c column) bool {
		return !slices.ContainsFunc(r.entries(broker, w.Name), func(e *Entry) bool { return c.cell(r, e) != "" })
	})
}

// emptyLine is a row that has a reason in the place of figures.
func emptyLine(b *strings.Builder, name, reason string, columns []column) {
	fmt.Fprintf(b, "| %s | %s |%s\n", name, reason, strings.Repeat(" |", max(0, len(columns)-1)))
}

// line is a row of a table.
func (r *Results) line(b *strings.Builder, e *Entry, columns []column) {
	cells := []string{e.Peer}
	if e.Form == "quick" && strings.Contains(r.forms(), marked) {
		cells[0] += " q"
	}
	for _, c := range columns {
		cells = append(cells, c.cell(r, e))
	}
	if notes := e.notes(); notes != "" {
		cells[len(cells)-1] += " " + notes
	}
	fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | "))
}

// marked is said of rows of the quick form among others.
const marked = "marked with q"

// notes say what was not as it should be.
func (e *Entry) notes() string {
	var all []string
	for _, r := range e.Rounds {
		if r.Arrived < r.Sent {
			all = append(all, fmt.Sprintf("%d of %d jobs not handled in time", r.Sent-r.Arrived, r.Sent))
		}
		if r.Again > 0 {
			all = append(all, fmt.Sprintf("%d of %d jobs handled twice", r.Again, r.Sent))
		}
		if r.Note != "" {
			all = append(all, r.Note)
		}
	}
	if e.Failed != "" {
		all = append(all, "a round failed: "+e.Failed)
	}
	if len(all) == 0 {
		return ""
	}
	slices.Sort(all)
	return clean("(" + strings.Join(slices.Compact(all), "; ") + ")")
}

// clean makes a text fit for a cell.
func clean(text string) string {
	return strings.NewReplacer("|", "/", "\n", " ").Replace(text)
}
