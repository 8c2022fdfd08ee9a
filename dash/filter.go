package dash

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/batch-go/batch"
)

// filter selects dead letters, by what a page shows of them. Each part may be empty, and selects those that have none: a
// message that no program of this library sent may be without a kind. What selects is told apart from that.
type filter struct {
	Kind, Reason string
	// Error is the gist of the last error.
	Error                        string
	HasKind, HasReason, HasError bool
}

// filterOf reads a filter from the parameters of a request.
func filterOf(r *http.Request) filter {
	f := filter{Kind: r.FormValue("kind"), Reason: r.FormValue("reason"), Error: r.FormValue("error")}
	f.HasKind, f.HasReason, f.HasError = r.Form.Has("kind"), r.Form.Has("reason"), r.Form.Has("error")
	return f
}

// Set tells whether it selects.
func (f filter) Set() bool { return f.HasKind || f.HasReason || f.HasError }

// matches tells whether it selects a dead letter.
func (f filter) matches(e *batch.Entry) bool {
	return (!f.HasKind || line(e.Kind, 128) == f.Kind) && (!f.HasReason || line(e.Reason, 64) == f.Reason) && (!f.HasError || gist(e.LastError) == f.Error)
}

// Words are a filter in words.
func (f filter) Words() string {
	var parts []string
	switch {
	case f.Kind != "":
		parts = append(parts, "of kind "+f.Kind)
	case f.HasKind:
		parts = append(parts, "of no kind")
	}
	switch {
	case f.Reason != "":
		parts = append(parts, "that died for "+f.Reason)
	case f.HasReason:
		parts = append(parts, "that died for no reason")
	}
	switch {
	case f.HasError && f.Error == "":
		parts = append(parts, "without an error")
	case f.HasError:
		parts = append(parts, fmt.Sprintf("with the error “%s”", f.Error))
	}
	return strings.Join(parts, " ")
}

// group is how many dead letters are of one kind, reason and error.
type group struct {
	filter
	Count  int64
	Sample string // the last error of one of them
}

// summary counts dead letters by kind, reason and error.
type summary struct {
	counts map[filter]*group
	Read   int64 // how many it has counted
}

// add counts dead letters.
func (s *summary) add(page []batch.Entry) {
	if s.counts == nil {
		s.counts = make(map[filter]*group)
	}
	for i := range page {
		e := &page[i]
		f := filter{Kind: line(e.Kind, 128), Reason: line(e.Reason, 64), Error: gist(e.LastError), HasKind: true, HasReason: true, HasError: true}
		if s.counts[f] == nil {
			s.counts[f] = &group{filter: f, Sample: line(e.LastError, 200)}
		}
		s.counts[f].Count++
		s.Read++
	}
}

// maxGroups is how many groups a page shows.
const maxGroups = 20

// Groups are the largest groups.
func (s *summary) Groups() []*group {
	all := make([]*group, 0, len(s.counts))
	for _, g := range s.counts {
		all = append(all, g)
	}
	slices.SortFunc(all, func(a, b *group) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Error, b.Error))
	})
	return all[:min(len(all), maxGroups)]
}

// Left is how many groups are not among them.
func (s *summary) Left() int { return max(len(s.counts)-maxGroups, 0) }
