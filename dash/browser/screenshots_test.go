package browser_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/batch-go/batch"
)

// screenshots is the folder for the pictures of the tour.
var screenshots = flag.String("screenshots", "", "take the pictures of the tour, and write them into this `folder`")

// maxPicture is how many bytes a picture of the documents may have.
const maxPicture = 100 << 10

// still makes a page look as at any other time: times are moved to one day, and there is neither a caret nor a footer.
const still = `(() => {
	const five = 5 * 60 * 1000, shift = Date.UTC(2026, 2, 3, 12, 30) - Date.now();
	for (const e of document.querySelectorAll("time")) {
		const moved = new Date(Math.round((Date.parse(e.dateTime) + shift) / five) * five);
		e.textContent = e.textContent.replace(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d/, moved.toISOString().slice(0, 19).replace("T", " "));
	}
	document.activeElement.style.caretColor = "transparent";
	document.querySelector("footer").remove();
	return Math.ceil(document.querySelector("main").getBoundingClientRect().bottom) + 8;
})()`

// shoot takes a picture of the page, if pictures are wanted: from its top down to so many pixels, or to its end.
func (b *tab) shoot(name string, height int) {
	b.t.Helper()
	if *screenshots == "" {
		return
	}
	b.await("the fonts", `document.fonts.status == "loaded"`)
	b.do(send(emulation.SetScrollbarsHidden, emulation.SetScrollbarsHiddenParams{Hidden: true}))
	height = min(height, eval[int](b, still))
	width := eval[int](b, "innerWidth")
	beyond := true
	picture := get(b, func(ctx context.Context, t *chromedp.Target) ([]byte, error) {
		shot, err := cdp.Call(ctx, t, page.CaptureScreenshot, page.CaptureScreenshotParams{
			Format: page.CaptureScreenshotFormatPng, CaptureBeyondViewport: &beyond,
			Clip: &page.Viewport{Width: float64(width), Height: float64(height), Scale: 1},
		})
		return shot.Data, err
	})
	if err := os.WriteFile(filepath.Join(*screenshots, name+".png"), picture, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// Thumbnail is a job of the tour's background: it takes a while.
type Thumbnail struct {
	Image int `json:"image"`
}

// Kind names the job on the wire.
func (Thumbnail) Kind() string { return "image.thumbnail" }

// The past that the tour's pictures show: for how long jobs came, how long each takes, and how many come in a second.
const (
	pastLength = 150 * time.Second
	oneTakes   = 100 * time.Millisecond
	oftenComes = 16
	oftenLater = 4
)

// liven gives a queue of the tour a past, if pictures of it are wanted: for a while jobs come faster than they are done, and
// then slower.
func liven(t *testing.T, d batch.Driver) {
	t.Helper()
	if *screenshots == "" {
		return
	}
	w := batch.NewWorker(d, batch.WorkerConfig{Queues: []batch.WorkerQueue{{Name: "thumbnails", Concurrency: 1}}})
	batch.Handle(w, func(ctx context.Context, _ *batch.Job[Thumbnail]) error {
		select {
		case <-time.After(oneTakes):
		case <-ctx.Done():
		}
		return ctx.Err()
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	next := time.NewTicker(time.Second)
	defer next.Stop()
	id := 0
	for start := time.Now(); time.Since(start) < pastLength; <-next.C {
		often := oftenComes
		if time.Since(start) > pastLength/2 {
			often = oftenLater
		}
		var jobs []batch.Entry
		for range often {
			id++
			jobs = append(jobs, entry(fmt.Sprintf("image-%04d", id), "image.thumbnail", body(fmt.Sprintf(`{"image":%d}`, id))))
		}
		put(t, d, "thumbnails", jobs...)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestTourDocument holds docs/dash-tour.md against its pictures: each that it shows is there, and each that is there is shown.
func TestTourDocument(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/dash-tour.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := make(map[string]bool)
	for _, m := range regexp.MustCompile(`\]\(dash-tour/([^)]+)\)`).FindAllStringSubmatch(string(text), -1) {
		shown[m[1]] = true
	}
	files, err := os.ReadDir("../../docs/dash-tour")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !shown[f.Name()] {
			t.Errorf("docs/dash-tour.md does not show %s", f.Name())
		}
		delete(shown, f.Name())
		if info, err := f.Info(); err != nil || info.Size() > maxPicture {
			t.Errorf("%s has %d bytes, want %d at most (%v)", f.Name(), info.Size(), maxPicture, err)
		}
	}
	for name := range shown {
		t.Errorf("docs/dash-tour.md shows %s, which is not there", name)
	}
}
