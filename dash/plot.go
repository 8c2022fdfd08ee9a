package dash

import (
	"fmt"
	"strings"
	"time"
)

// plot is a small drawing of a queue's last minutes, as the parts of an SVG.
type plot struct {
	Width, Height int
	// Lines are the points of polylines: one for each stretch without a gap.
	Lines []string
	// Areas are the points of the polygons below them.
	Areas []string
	// Dots are stretches of a single point, which no line shows.
	Dots [][2]string
	// Text says in words what is drawn.
	Text string
	// Top is the largest number.
	Top string
}

// newPlot draws how many jobs waited in the time until now.
func newPlot(past history, now time.Time, width, height, points int) plot {
	p := plot{Width: width, Height: height}
	var top int64
	var known []sample
	for _, s := range past {
		if s.backlog >= 0 && now.Sub(s.at) <= window {
			known = append(known, s)
			top = max(top, s.backlog)
		}
	}
	if len(known) == 0 {
		p.Text = "No numbers of the last " + short(window) + " yet"
		return p
	}
	p.Top = thousands(top)
	p.Text = fmt.Sprintf("Jobs that waited in the last %s: %s at first, %s at last, %s at most",
		short(now.Sub(known[0].at)), thousands(known[0].backlog), thousands(known[len(known)-1].backlog), p.Top)
	known = thin(known, points)
	for start := 0; start < len(known); {
		end := start + 1
		for end < len(known) && known[end].at.Sub(known[end-1].at) < 3*max(window/time.Duration(points), typical(known)) {
			end++
		}
		p.stretch(known[start:end], now, float64(max(top, 1)))
		start = end
	}
	return p
}

// thin leaves as many samples as there are points, of those that fall together the largest.
func thin(known []sample, points int) []sample {
	step := window / time.Duration(points)
	var few []sample
	for _, s := range known {
		if n := len(few); n > 0 && few[n-1].at.Truncate(step).Equal(s.at.Truncate(step)) {
			if s.backlog > few[n-1].backlog {
				few[n-1] = s
			}
			continue
		}
		few = append(few, s)
	}
	return few
}

// typical is how far two samples mostly are apart.
func typical(known []sample) time.Duration {
	if len(known) < 2 {
		return 0
	}
	return known[len(known)-1].at.Sub(known[0].at) / time.Duration(len(known)-1)
}

// stretch draws samples that follow each other without a gap.
func (p *plot) stretch(part []sample, now time.Time, top float64) {
	const margin = 2 // half of a line's width is outside of its points
	x := func(s sample) string {
		return fmt.Sprintf("%.1f", float64(p.Width)*(1-now.Sub(s.at).Seconds()/window.Seconds()))
	}
	y := func(s sample) string {
		return fmt.Sprintf("%.1f", margin+(float64(p.Height)-2*margin)*(1-float64(s.backlog)/top))
	}
	if len(part) == 1 {
		p.Dots = append(p.Dots, [2]string{x(part[0]), y(part[0])})
		return
	}
	points := make([]string, len(part))
	for i, s := range part {
		points[i] = x(s) + "," + y(s)
	}
	line := strings.Join(points, " ")
	p.Lines = append(p.Lines, line)
	if p.Height < 60 {
		return // a small one has no area, which would double what is sent for a list
	}
	p.Areas = append(p.Areas, fmt.Sprintf("%s,%d %s %s,%d", x(part[0]), p.Height, line, x(part[len(part)-1]), p.Height))
}
