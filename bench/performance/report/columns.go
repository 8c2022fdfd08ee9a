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

// columnsOf are those of a workload.
func columnsOf(w load.Workload, broker string) []column {
	cpu := func(r load.Result) float64 { return float64(r.CPU) }
	brokerCPU := func(r load.Result) float64 { return float64(r.Broker) }
	allocs := func(r load.Result) float64 { return float64(r.Allocs) }
	wire := func(r load.Result) float64 { return float64(r.Wire) }
	commands := func(r load.Result) float64 { return float64(r.Commands) }
	served := broker != peers.Files && broker != peers.Synced
	var columns []column
	switch w.Kind {
	case load.Idle:
		columns = []column{
			plain("started in", duration, func(r load.Result) float64 { return float64(r.Start) }),
			plain("CPU", share, perSecond(cpu)),
			plain("goroutines", number, func(r load.Result) float64 { return float64(r.Goroutines) }),
			plain("connections", number, func(r load.Result) float64 { return float64(r.Connections) }),
			plain("picked up, p50", duration, func(r load.Result) float64 { return float64(r.P50) }),
			plain("p99", duration, func(r load.Result) float64 { return float64(r.P99) }),
		}
		if served {
			columns = append(columns, plain("broker CPU", share, perSecond(brokerCPU)), plain("wire a second", bytes, perSecond(wire)))
		}
		if broker == peers.Redis {
			columns = append(columns, plain("commands a second", number, perSecond(commands)))
		}
		return columns
	case load.Latency:
		columns = []column{
			plain("p50", duration, func(r load.Result) float64 { return float64(r.P50) }),
			plain("p99", duration, func(r load.Result) float64 { return float64(r.P99) }),
			plain("p99.9", duration, func(r load.Result) float64 { return float64(r.P999) }),
			plain("worst", duration, func(r load.Result) float64 { return float64(r.Max) }),
			plain("jobs/s", number, func(r load.Result) float64 { return r.Rate }),
		}
	default:
		columns = []column{{"jobs/s", rates}, {"of batch", ofBatch}}
	}
	columns = append(columns, plain("CPU", duration, perJob(cpu)), plain("allocations", number, perJob(allocs)))
	if served {
		columns = append(columns, plain("broker CPU", duration, perJob(brokerCPU)), plain("wire", bytes, perJob(wire)))
	}
	if broker == peers.Redis {
		columns = append(columns, plain("commands", small, perJob(commands)))
	}
	if w.Name == "backlog" && served {
		columns = append(columns, plain("memory a job", bytes, func(r load.Result) float64 { return r.Memory }))
	}
	return columns
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
