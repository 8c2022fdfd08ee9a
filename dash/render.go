package dash

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"net/http"
	"strconv"
	"time"
)

//go:embed pages assets
var files embed.FS

// assets are the files that pages load, by name.
var assets = loadAssets()

// asset is a file that pages load.
type asset struct {
	content []byte
	kind    string // MIME type
	version string // of the content
}

// loadAssets reads the files.
func loadAssets() map[string]asset {
	all := make(map[string]asset)
	for name, kind := range map[string]string{
		"dash.css": "text/css; charset=utf-8", "dash.js": "text/javascript; charset=utf-8", "icon.svg": "image/svg+xml",
	} {
		content, err := files.ReadFile("assets/" + name)
		if err != nil {
			panic(err) // it was not embedded
		}
		sum := sha256.Sum256(content)
		all[name] = asset{content, kind, hex.EncodeToString(sum[:6])}
	}
	return all
}

// templates are those of the pages, by name.
var templates = loadTemplates("queues", "queue", "jobs", "job", "edit", "confirm", "done", "problem")

// loadTemplates reads the pages, each with what all have.
func loadTemplates(names ...string) map[string]*template.Template {
	all := make(map[string]*template.Template)
	common := template.Must(template.New("frame.html").Funcs(template.FuncMap{
		"count": count, "size": size, "printable": printable, "line": line, "thousands": thousands, "ago": func(t time.Time) string { return ago(t, time.Now()) }, "thousands64": func(n int) string { return thousands(int64(n)) },
		"asset": func(name string) string { return name + "?v=" + assets[name].version },
	}).ParseFS(files, "pages/frame.html", "pages/parts.html"))
	for _, name := range names {
		all[name] = template.Must(template.Must(common.Clone()).ParseFS(files, "pages/"+name+".html"))
	}
	return all
}

// frame is what every page has around its content.
type frame struct {
	Title, Base string
	// Broker is how the broker calls itself, with its version.
	Broker string
	// Every is how many milliseconds a page waits between two renewals.
	Every int64
	// Queue is the name of the queue that the page is about, and Tab which of its lists, both possibly empty.
	Queue, Tab string
	// Inspects and Pauses tell what the broker can do, and Acts whether somebody may.
	Inspects, Pauses, Purges, Imports, Acts bool
	// Now is when the page was made.
	Now time.Time
	// Silent says for how long the broker has told nothing, empty if it does.
	Silent string
	Status string // the paused mark of the queue, as a word
	Page   any
}

// frameOf makes what is around a page.
func (s *site) frameOf(r *request, title string, page any) *frame {
	info := s.driver.Info()
	f := &frame{
		Title: title, Base: r.base, Broker: printable(info.Broker), Every: s.config.Interval.Milliseconds(),
		Acts: s.acts(), Now: time.Now(), Page: page,
	}
	if info.Version != "" {
		f.Broker += " " + printable(info.Version)
	}
	if past := s.poll.silence(); past > 0 {
		f.Silent = short(past)
	}
	if r.queue != nil {
		f.Queue = r.queue.Name()
		f.Inspects, f.Pauses, f.Purges, f.Imports = r.queue.CanInspect(), r.queue.CanPause(), r.queue.CanPurge(), r.queue.CanImport()
	}
	return f
}

// show answers with a page. It is made whole before, so that a fault in it is not half a page.
func (s *site) show(r *request, code int, name string, f *frame) {
	s.write(r, code, name, wholePage, f)
}

// wholePage is the part of a page that has all others.
const wholePage = "frame.html"

// write answers with a page or a part of it. A part says in a header that it is one: what a proxy answers in its place, the
// page of a login for example, must not be put into a page.
func (s *site) write(r *request, code int, name, part string, f *frame) {
	var b bytes.Buffer
	if err := templates[name].ExecuteTemplate(&b, part, f); err != nil {
		s.config.Logger.ErrorContext(r.Context(), "dash: page not made", "page", name, "err", err)
		http.Error(r.w, "The page could not be made. The log says why.", http.StatusInternalServerError)
		return
	}
	if part != wholePage {
		r.w.Header().Set("Dash-Part", part)
	}
	r.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	r.w.Header().Set("Content-Length", strconv.Itoa(b.Len()))
	r.w.WriteHeader(code)
	if r.Method != http.MethodHead {
		_, _ = r.w.Write(b.Bytes()) // a browser that has gone is no fault
	}
}

// serveAsset answers with a file that pages load. With its version in the URL it never changes.
func serveAsset(r *request, a asset) {
	h := r.w.Header()
	h.Set("Content-Type", a.kind)
	h.Set("Content-Length", strconv.Itoa(len(a.content)))
	if r.URL.Query().Get("v") == a.version {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	if r.Method != http.MethodHead {
		_, _ = r.w.Write(a.content)
	}
}

// fail answers with an error.
func (s *site) fail(r *request, err error) {
	p := problemOf(err)
	s.show(r, p.Code, "problem", s.frameOf(r, p.Title, p))
}
