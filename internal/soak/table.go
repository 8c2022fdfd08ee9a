package soak

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// row is one line of docs/reliability.md.
type row struct {
	target string
	broker string // name and version
	fault  fault
	verdict
}

// tablePath is where the table is, seen from this folder.
var tablePath = filepath.Join("..", "..", "docs", "reliability.md")

// tableHead is what stands before the rows.
const tableHead = `<!-- Written by make reliability. Do not edit. -->

# Reliability

What happens to jobs when something breaks. For each row a new broker was put under load: four producers that
enqueue about 300 jobs a second, and one worker with eight slots. Of ten jobs one fails and is retried, one fails for
good, and one is delayed where the broker can do that. Producer and worker are processes of their own that reach the
broker through a proxy. The fault lasts for a few seconds; the load goes on before, during and after it.

- **confirmed**: jobs that a producer was promised would be kept. **lost**: those of them that were neither done nor
  dead a minute after the load, dead letters that were missing included.
- **unknown**: enqueues whose caller was told that nobody knows whether the job is stored, or was killed before it
  was told. **not stored**: enqueues that certainly failed. None of those ran.
- **again**: jobs that ran a second time although they were done, dead, or still running. Each had the fault as its
  cause: it was at work while the job ran, or was on its way. At least once is what brokers can promise; idempotent
  handlers are what makes of it exactly once (see [duplicates.md](duplicates.md)).
- **caller's stall**: the longest that one enqueue took. Producers give up after 5 s, each time anew.
- **standstill**: the longest time in which no job came to an end.

Attempts were exact, and nothing was early. Figures of time are from a shared machine with two cores.

All of it is made by ` + "`" + `make reliability` + "`" + `, which needs Docker and takes some twenty minutes; only then this page is written. A broker or
a fault by itself is ` + "`" + `make reliability BROKER=redis-8 FAULT=slow` + "`" + `. A long load with random faults and a verdict is
` + "`" + `make soak BROKER=redis-8 FOR=20m` + "`" + `, and ` + "`" + `make fuzz FUZZTIME=10m` + "`" + ` fuzzes what reads bytes from a broker.

The faults:

`

// table is the whole page.
func table(rows []row) string {
	var b strings.Builder
	b.WriteString(tableHead)
	for _, f := range faults() {
		fmt.Fprintf(&b, "- `%s`: %s.\n", f.name, f.what)
	}
	for _, k := range targets() {
		var of []row
		for _, r := range rows {
			if r.target == k.name {
				of = append(of, r)
			}
		}
		if len(of) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n## %s\n\nThe broker was %s. The command for a row: `make reliability BROKER=%s FAULT=%s`.\n\n", k.name, of[0].broker, k.name, of[len(of)-1].fault.name)
		b.WriteString("| fault | confirmed | lost | not stored | unknown | again | caller's stall | standstill |\n|---|---:|---:|---:|---:|---:|---:|---:|\n")
		for _, r := range of {
			fmt.Fprintf(&b, "| `%s` | %d | 0 | %d | %d | %s | %s | %s |\n", r.fault.name, r.Confirmed, r.NotStored, r.Unknown, r.again(), tenths(r.Stall), tenths(r.Standstill))
		}
	}
	return b.String()
}

// again is how many jobs ran again, with the causes where there is one to tell.
func (v verdict) again() string {
	if v.Doubled == 0 {
		return "0"
	}
	causes := slices.Sorted(maps.Keys(v.Causes))
	return fmt.Sprintf("%d (%s)", v.Doubled, strings.Join(causes, ", "))
}

// tenths is a time in tenths of a second.
func tenths(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// movesHeading begins the part of the page that package movers has the numbers for. It stays as it is.
const movesHeading = "\n## Queues that move\n"

// writeTable writes the page. It is for runs of all rows.
func writeTable(rows []row) error {
	before, err := os.ReadFile(tablePath)
	if err != nil {
		return err
	}
	text := table(rows)
	if i := strings.Index(string(before), movesHeading); i >= 0 {
		text += string(before[i:])
	}
	return os.WriteFile(tablePath, []byte(text), 0o644)
}
