package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/batch-go/batch"
)

// screen is what the user sees: lines, and under them the progress, which is
// redrawn in place on a terminal and printed once a second elsewhere.
type screen struct {
	out      *os.File
	terminal bool
	quit     chan struct{}
	ended    sync.WaitGroup

	mu       sync.Mutex // guards following
	lastLine string     // the progress, as a terminal shows it
}

// newScreen finds out whether out is a terminal.
func newScreen(out *os.File) *screen {
	s := &screen{out: out}
	if info, err := out.Stat(); err == nil && os.Getenv("TERM") != "dumb" {
		s.terminal = info.Mode()&os.ModeCharDevice != 0
	}
	return s
}

// printf prints a line above the progress.
func (s *screen) printf(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := fmt.Sprintf(format, args...)
	if s.lastLine != "" {
		text = "\r\x1b[K" + text + "\n" + s.lastLine
	} else {
		text += "\n"
	}
	fmt.Fprint(s.out, text)
}

// intro says what is about to happen.
func (s *screen) intro(d batch.Driver, c config, list *listing, p *progress, r *results) {
	info := d.Info()
	broker := info.Broker + " " + info.Version
	if info.Driver == "memory" {
		broker = "memory (jobs live in this process, and end with it)"
	}
	now := p.snapshot()
	s.printf("broker    %s", broker)
	if c.jobs != "" {
		s.printf("          jobs are kept in %s; set BATCH_URL for another broker", short(c.jobs))
	}
	s.printf("queue     %s, %d at once", c.queue, c.workers)
	s.printf("files     %s under %s", number(now.total), strings.Join(list.roots, ", "))
	if list.demo {
		s.printf("          %s is missing on purpose, to show retries and a dead letter;", missing)
		s.printf("          -demo-failure=false leaves it out")
	}
	for _, reason := range list.skipped {
		s.printf("skipped   %s", reason)
	}
	if r.resumed {
		s.printf("resuming  a run begun at %s: %s of its files are accounted for; -reset starts over",
			r.started.Local().Format(time.DateTime), number(now.before))
		s.printf("          the others are enqueued again: the broker may still have some of their jobs,")
		s.printf("          but a copy has no second effect")
	}
	s.printf("")
}

// start shows the progress until stop.
func (s *screen) start(p *progress) {
	interval := time.Second
	if s.terminal {
		interval = 100 * time.Millisecond
	}
	begun, before := time.Now(), p.snapshot().accounted
	s.quit = make(chan struct{})
	s.ended.Go(func() {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			select {
			case now := <-ticker.C:
				s.draw(p.snapshot(), before, now.Sub(begun))
			case <-s.quit:
				return
			}
		}
	})
}

// stop ends the progress and clears it.
func (s *screen) stop() {
	close(s.quit)
	s.ended.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lastLine != "" {
		fmt.Fprint(s.out, "\r\x1b[K")
		s.lastLine = ""
	}
}

// draw shows the progress at one moment; before is how many files were accounted
// for when it was first shown.
func (s *screen) draw(n snapshot, before int, elapsed time.Duration) {
	rate := float64(n.accounted-before) / elapsed.Seconds()
	text := fmt.Sprintf("%s of %s files  %s  %s lines  %d running  %d retries  %d dead  %.0f/s",
		number(n.accounted), number(n.total), size(n.bytes), number(n.lines), n.running, n.retries, n.dead, rate)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.terminal {
		fmt.Fprintln(s.out, text)
		return
	}
	// A line that wraps could not be redrawn.
	text = text[:min(len(text), 79)]
	s.lastLine = text
	fmt.Fprint(s.out, "\r\x1b[K"+text)
}

// summary says what became of every file.
func (s *screen) summary(p *progress, dead []batch.DeadLetter, r *results, elapsed time.Duration) {
	n := p.snapshot()
	s.printf("")
	s.printf("%s of %s files accounted for: %s digested, %d dead (%s)",
		number(n.accounted), number(n.total), number(n.accounted-n.dead), n.dead, elapsed.Round(time.Millisecond))
	s.printf("  total        %s, %s lines", size(n.bytes), number(n.lines))
	if n.before > 0 {
		s.printf("  earlier      %s were accounted for before this process began", number(n.before))
	}
	s.printf("  retries      %d", n.retries)
	if n.copies > 0 {
		s.printf("  copies       %d jobs came again after their effect; it was not repeated", n.copies)
	}
	for i, rec := range largest(p, r, 3) {
		if i == 0 {
			s.printf("  largest")
		}
		s.printf("    %12s  %s  %.12s", size(rec.Bytes), p.names[rec.Key], rec.SHA256)
	}
	s.printf("  dead letters %s", orNone(len(dead)))
	for _, job := range dead {
		note := ""
		if job.ID == p.missing {
			note = " (the demonstration)"
		}
		s.printf("    %s%s", p.names[job.ID], note)
		s.printf("      %s after %d failures: %s", job.Reason, job.Failures, job.LastError)
	}
	s.printf("  results      %s", short(r.path))
}

// largest are the biggest files of the run.
func largest(p *progress, r *results, most int) []record {
	var all []record
	for key := range p.names {
		if rec, ok := r.Get(key); ok {
			all = append(all, rec)
		}
	}
	slices.SortFunc(all, func(a, b record) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Path, b.Path))
	})
	return all[:min(most, len(all))]
}

// short shows a path below the user's folder with a tilde, as shells do.
func short(path string) string {
	if home, err := os.UserHomeDir(); err == nil && home != "" {
		if below, ok := strings.CutPrefix(path, home+string(os.PathSeparator)); ok {
			return filepath.Join("~", below)
		}
	}
	return path
}

// orNone shows a number, or that there is none.
func orNone(n int) string {
	if n == 0 {
		return "none"
	}
	return number(n)
}

// number shows 1234567 as 1,234,567.
func number[T int | int64](n T) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// size shows bytes in the unit that suits.
func size(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 10<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d bytes", n)
}
