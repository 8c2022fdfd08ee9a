package report

import (
	"fmt"
	"time"

	"github.com/batch-go/batch/bench/performance/load"
	"github.com/batch-go/batch/bench/performance/peers"
)

// A column is a figure of a table.
type column struct {
	title string
	cell  func(*Results, *Entry) string
}

// plain is a column with a median, which is left empty if there is none.
func plain(title string, show func(float64) string, of func(load.Result) float64) column {
	return column{title, func(_ *Results, e *Entry) string {
		s := e.spread(of)
		if s.Max <= 0 {
			return ""
		}
		return show(s.Median)
	}}
}

// The figures of a Result as numbers.
var (
	cpu       = func(r load.Result) float64 { return float64(r.CPU) }
	allocs    = func(r load.Result) float64 { return float64(r.Allocs) }
	brokerCPU = func(r load.Result) float64 { return float64(r.Broker) }
	wire      = func(r load.Result) float64 { return float64(r.Wire) }
	packets   = func(r load.Result) float64 { return float64(r.Packets) }
	wal       = func(r load.Result) float64 { return float64(r.WAL) }
	commands  = func(r load.Result) float64 { return float64(r.Commands) }
	p50       = func(r load.Result) float64 { return float64(r.P50) }
	p99       = func(r load.Result) float64 { return float64(r.P99) }
)

// columnsOf are those of a workload. A table leaves out those that are empty in all rows.
func columnsOf(w load.Workload) []column {
	if w.Kind == load.Idle {
		return []column{
			plain("started in", duration, func(r load.Result) float64 { return float64(r.Start) }),
			plain("picked up, p50", duration, p50),
			plain("p99", duration, p99),
			plain("goroutines", number, func(r load.Result) float64 { return float64(r.Goroutines) }),
			plain("connections", number, func(r load.Result) float64 { return float64(r.Connections) }),
			plain("CPU", share, perSecond(cpu)),
			plain("broker CPU", share, perSecond(brokerCPU)),
			plain("wire a second", bytes, perSecond(wire)),
			plain("packets a second", number, perSecond(packets)),
			plain("commands a second", number, perSecond(commands)),
		}
	}
	columns := []column{{"jobs/s", rates}, {"of batch", ofBatch}}
	if w.Kind == load.Latency {
		columns = []column{
			plain("p50", duration, p50),
			plain("p99", duration, p99),
			plain("p99.9", duration, func(r load.Result) float64 { return float64(r.P999) }),
			plain("worst", duration, func(r load.Result) float64 { return float64(r.Max) }),
			plain("jobs/s", number, func(r load.Result) float64 { return r.Rate }),
		}
	}
	return append(columns,
		plain("CPU", duration, perJob(cpu)),
		plain("allocations", number, perJob(allocs)),
		plain("broker CPU", duration, perJob(brokerCPU)),
		plain("wire", bytes, perJob(wire)),
		plain("packets", small, perJob(packets)),
		plain("commands", small, perJob(commands)),
		plain("WAL", bytes, perJob(wal)),
		column{"fsyncs", syncs},
		plain("memory a waiting job", bytes, func(r load.Result) float64 { return r.Memory }),
	)
}

// rates is a median with its spread.
func rates(_ *Results, e *Entry) string {
	s := e.spread(rate)
	if len(e.Rounds) < 2 {
		return number(s.Median)
	}
	return fmt.Sprintf("%s (%s–%s)", number(s.Median), number(s.Min), number(s.Max))
}

// ofBatch is the ratio to the row of batch.
func ofBatch(r *Results, e *Entry) string {
	own := r.Find(e.Broker, e.Workload, peers.Ours)
	if own == nil || own == e {
		return ""
	}
	if base := own.spread(rate).Median; base > 0 {
		return fmt.Sprintf("%.2f", e.spread(rate).Median/base)
	}
	return ""
}

// syncs are those of a job, where they were counted. None are a figure too.
func syncs(_ *Results, e *Entry) string {
	if e.Counted == nil || e.Counted.Jobs == 0 {
		return ""
	}
	n := perJob(func(r load.Result) float64 { return float64(r.Fsyncs) })(*e.Counted)
	if n > 0 && n < 0.01 {
		return "1 in " + number(1/n)
	}
	return small(n)
}

// number shows a figure with three digits or so.
func number(n float64) string {
	switch {
	case n >= 1e6:
		return fmt.Sprintf("%.2f M", n/1e6)
	case n >= 1e5:
		return fmt.Sprintf("%.0f k", n/1e3)
	case n >= 1e4:
		return fmt.Sprintf("%.1f k", n/1e3)
	case n >= 100:
		return fmt.Sprintf("%.0f", n)
	}
	return small(n)
}

// small shows a figure below a hundred.
func small(n float64) string { return fmt.Sprintf("%.3g", n) }

// duration shows nanoseconds.
func duration(n float64) string {
	switch d := time.Duration(n); {
	case d >= time.Second:
		return fmt.Sprintf("%.3g s", n/1e9)
	case d >= time.Millisecond:
		return fmt.Sprintf("%.3g ms", n/1e6)
	case d >= time.Microsecond:
		return fmt.Sprintf("%.3g µs", n/1e3)
	}
	return fmt.Sprintf("%.0f ns", n)
}

// bytes shows a size.
func bytes(n float64) string {
	if n >= 10<<10 {
		return fmt.Sprintf("%.1f KiB", n/1024)
	}
	return fmt.Sprintf("%.0f B", n)
}

// share shows nanoseconds a second as a part of a core.
func share(n float64) string { return fmt.Sprintf("%.1f %%", n/1e7) }
