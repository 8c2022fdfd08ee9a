package main

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// progress is a bar on the terminal for what takes long. It is on the standard error, and
// nowhere if that is no terminal.
type progress struct {
	app   *app
	what  string
	total int64 // zero or less if nobody knows
	done  atomic.Int64
	start time.Time

	end  chan struct{}
	gone sync.WaitGroup
}

// drawEvery is how often the bar is drawn, and drawAfter how long something takes for which
// there is one.
const (
	drawEvery = 100 * time.Millisecond
	drawAfter = 400 * time.Millisecond
)

// progress begins a bar, for "redriving" or the like of so many. Its stop must be called.
func (a *app) progress(what string, total int64) *progress {
	p := &progress{app: a, what: what, total: total, start: time.Now(), end: make(chan struct{})}
	if a.quiet || !isTerminal(a.err) || a.json && isTerminal(a.out) { // objects come as it runs
		return p
	}
	p.gone.Go(p.draw)
	return p
}

// set says how many are done.
func (p *progress) set(n int64) { p.done.Store(n) }

// stop ends the bar, and takes it away.
func (p *progress) stop() {
	close(p.end)
	p.gone.Wait()
}

// draw draws until stop.
func (p *progress) draw() {
	tick := time.NewTicker(drawEvery)
	defer tick.Stop()
	drawn := false
	for {
		select {
		case <-p.end:
			if drawn {
				fmt.Fprint(p.app.err, "\r\x1b[K")
			}
			return
		case <-tick.C:
			if time.Since(p.start) > drawAfter {
				fmt.Fprint(p.app.err, "\r\x1b[K"+p.line(time.Since(p.start)))
				drawn = true
			}
		}
	}
}

// barWidth is how many characters a full bar has.
const barWidth = 30

// line is the bar after a time.
func (p *progress) line(since time.Duration) string {
	done := p.done.Load()
	if p.total <= 0 {
		return fmt.Sprintf("%s  %d  %s", p.what, done, since.Round(time.Second))
	}
	done = min(max(done, 0), p.total)
	filled := int(done * barWidth / p.total)
	line := fmt.Sprintf("%s  [%s%s]  %d of %d", p.what, strings.Repeat("#", filled), strings.Repeat(".", barWidth-filled), done, p.total)
	if done > 0 && done < p.total {
		left := time.Duration(float64(since) / float64(done) * float64(p.total-done))
		line += "  " + left.Round(time.Second).String() + " left"
	}
	return line
}
