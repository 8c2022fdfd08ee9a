package report

import (
	"image/color"
	"math"
	"os"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/batch-go/batch/bench/performance/load"
	"github.com/batch-go/batch/bench/performance/peer"
	"github.com/batch-go/batch/bench/performance/peers"
)

// The colours of bars.
var (
	oursColor   = color.RGBA{R: 0x1f, G: 0x77, B: 0xb4, A: 0xff}
	othersColor = color.RGBA{R: 0xb0, G: 0xb8, B: 0xc0, A: 0xff}
)

// init sets the font of all plots. Viewers that lack it take another, which may be wider.
func init() {
	plot.DefaultFont = font.Font{Typeface: "Liberation", Variant: "Sans"}
	plotter.DefaultFont = plot.DefaultFont
}

// newPlot is an empty plot of a workload.
func newPlot(title, below string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text = title, below
	p.Title.TextStyle.Font.Size, p.Title.Padding = vg.Points(11), vg.Points(4)
	p.X.Label.TextStyle.Font.Size = vg.Points(9)
	p.X.Tick.Label.Font.Size, p.Y.Tick.Label.Font.Size = vg.Points(8), vg.Points(8)
	p.Y.Padding = vg.Points(4)
	return p
}

// tilesAcross is how many plots stand beside each other.
const tilesAcross = 3

// Plots writes the plots of all brokers to a folder.
func Plots(r *Results, folder string) error {
	for _, broker := range peer.Brokers() {
		if !r.has(broker) {
			continue
		}
		for name, of := range map[string]func(*Results, string, load.Workload) (*plot.Plot, error){"rates": ratePlot, "latencies": latencyPlot} {
			var plots []*plot.Plot
			for _, w := range load.Workloads() {
				if !w.For(broker) {
					continue
				}
				p, err := of(r, broker, w)
				if err != nil {
					return err
				}
				if p != nil {
					plots = append(plots, p)
				}
			}
			if len(plots) > 0 {
				if err := writeTiles(plots, filepath.Join(folder, broker+"-"+name+".svg")); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// entries are those of a workload in the order of the table, with the last first, since plots grow upwards.
func (r *Results) entries(broker, workload string) []*Entry {
	var all []*Entry
	rows := peers.Rows(broker)
	for i := range rows {
		if e := r.Find(broker, workload, rows[len(rows)-1-i].Name); e != nil && len(e.Rounds) > 0 {
			all = append(all, e)
		}
	}
	return all
}

// ratePlot shows the jobs a second of each peer, or is nil when there is nothing to show.
func ratePlot(r *Results, broker string, w load.Workload) (*plot.Plot, error) {
	all := r.entries(broker, w.Name)
	if w.Kind != load.Rate || len(all) == 0 {
		return nil, nil
	}
	p := newPlot(w.Name, "jobs/s")
	p.X.Min = 0
	p.X.Tick.Marker = fewTicks{}
	var names []string
	for i, e := range all {
		s := e.spread(rate)
		bar, err := plotter.NewBarChart(plotter.Values{s.Median}, vg.Points(12))
		if err != nil {
			return nil, err
		}
		bar.Horizontal, bar.XMin, bar.LineStyle.Width, bar.Color = true, float64(i), 0, othersColor
		if e.Peer == peers.Ours {
			bar.Color = oursColor
		}
		spread, err := plotter.NewLine(plotter.XYs{{X: s.Min, Y: float64(i)}, {X: s.Max, Y: float64(i)}})
		if err != nil {
			return nil, err
		}
		spread.Width = vg.Points(1.5)
		p.Add(bar, spread)
		names = append(names, e.Peer)
	}
	p.NominalY(names...)
	return p, nil
}

// latencyPlot shows p50, p99 and p99.9 of each peer on a scale of powers, or is nil.
func latencyPlot(r *Results, broker string, w load.Workload) (*plot.Plot, error) {
	all := r.entries(broker, w.Name)
	if w.Kind == load.Rate || len(all) == 0 {
		return nil, nil
	}
	p := newPlot(w.Name, "ms: p50, p99, p99.9")
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	var names []string
	low, high := math.Inf(1), 0.0
	for i, e := range all {
		var at plotter.XYs
		for _, of := range []func(load.Result) float64{
			func(r load.Result) float64 { return r.P50.Seconds() * 1e3 },
			func(r load.Result) float64 { return r.P99.Seconds() * 1e3 },
			func(r load.Result) float64 { return r.P999.Seconds() * 1e3 },
		} {
			x := max(e.spread(of).Median, 0.01)
			low, high = min(low, x), max(high, x)
			at = append(at, plotter.XY{X: x, Y: float64(i)})
		}
		line, points, err := plotter.NewLinePoints(at)
		if err != nil {
			return nil, err
		}
		line.Color, points.Color, points.Shape = othersColor, othersColor, draw.CircleGlyph{}
		if e.Peer == peers.Ours {
			line.Color, points.Color = oursColor, oursColor
		}
		p.Add(line, points)
		names = append(names, e.Peer)
	}
	p.X.Min = math.Pow(10, math.Floor(math.Log10(low)))
	p.X.Max = math.Pow(10, math.Ceil(math.Log10(high*1.01)))
	p.Y.Min, p.Y.Max = -0.5, float64(len(all))-0.5
	p.NominalY(names...)
	return p, nil
}

// fewTicks has three labels on an axis, so that they do not overlap.
type fewTicks struct{}

// Ticks implements plot.Ticker.
func (fewTicks) Ticks(low, high float64) []plot.Tick {
	step := math.Pow(10, math.Floor(math.Log10(max(high-low, 1)/2)))
	for (high-low)/step > 4 {
		step *= 2
	}
	var all []plot.Tick
	for x := math.Ceil(low/step) * step; x <= high; x += step {
		all = append(all, plot.Tick{Value: x, Label: number(x)})
	}
	return all
}

// writeTiles writes plots beside and below each other.
func writeTiles(plots []*plot.Plot, path string) error {
	rows := (len(plots) + tilesAcross - 1) / tilesAcross
	grid := make([][]*plot.Plot, rows)
	for i := range grid {
		grid[i] = make([]*plot.Plot, tilesAcross)
		copy(grid[i], plots[i*tilesAcross:min(len(plots), (i+1)*tilesAcross)])
	}
	canvas := vgsvg.New(vg.Points(tilesAcross*290), vg.Points(float64(rows)*190))
	tiles := draw.Tiles{Rows: rows, Cols: tilesAcross, PadX: vg.Points(24), PadY: vg.Points(12), PadTop: vg.Points(4), PadLeft: vg.Points(20), PadRight: vg.Points(16)}
	for i, canvases := range plot.Align(grid, tiles, draw.New(canvas)) {
		for j, c := range canvases {
			if grid[i][j] != nil {
				grid[i][j].Draw(c)
			}
		}
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := canvas.WriteTo(file); err != nil {
		return err
	}
	return file.Close()
}
