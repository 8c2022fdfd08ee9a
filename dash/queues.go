package dash

import (
	"cmp"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/batch-go/batch"
)

// queuesSize is how many queues a page lists.
const queuesSize = 100

// row is a queue as a list shows it.
type row struct {
	Name                                          string
	Waiting, Scheduled, Running, Dead, Due        string
	HasDead, HasDue, IsPaused, Known, Stale, Gone bool
	// Age is how long the oldest waiting job has waited, and Rate by how many a minute the backlog grows.
	Age, Rate string
	// Died is by how much the dead letters have grown lately, empty for nothing.
	Died string
	// Old is how old the numbers are, and Why what is wrong.
	Old, Why string
	Plot     plot
}

// rowOf shows a queue.
func rowOf(q status, now time.Time, interval time.Duration, width, height, points int) row {
	r := row{Name: q.Name, Age: unknown, Rate: unknown, Waiting: unknown, Scheduled: unknown, Running: unknown, Dead: unknown, Due: unknown}
	if q.Err != nil {
		r.Why, r.Gone = printable(q.Err.Error()), errors.Is(q.Err, batch.ErrNotFound)
	}
	r.IsPaused = q.Paused != nil && *q.Paused
	r.Plot = newPlot(q.past, now, width, height, points)
	if q.At.IsZero() {
		return r
	}
	d := q.Depth
	r.Known = true
	r.Old = short(now.Sub(q.At))
	r.Stale = q.Err != nil || now.Sub(q.At) > 2*interval+2*time.Second
	r.Waiting, r.Scheduled, r.Running, r.Dead, r.Due = count(d.Waiting), count(d.Scheduled), count(d.Running), count(d.Dead), count(d.Due)
	r.HasDead, r.HasDue = d.Dead > 0, d.Due > 0
	switch {
	case d.Age == 0:
		r.Age = "–"
	case d.Age != batch.UnknownAge:
		r.Age = short(d.Age)
	}
	if n, over := q.past.deaths(); n != 0 {
		r.Died = signed(thousands(n)) + " in " + short(over)
	}
	if d.Waiting >= 0 && interval < recent { // two looks that are further apart tell of no rate
		r.Rate = rateText(q.past)
	}
	return r
}

// rateText is by how many jobs a minute a backlog grows.
func rateText(past history) string {
	perMinute, known := past.rate()
	switch {
	case !known:
		return "measuring"
	case perMinute > -0.05 && perMinute < 0.05:
		return "±0/min"
	case perMinute > -10 && perMinute < 10:
		return strings.Replace(signed(strconv.FormatFloat(perMinute, 'f', 1, 64)), ".0", "", 1) + "/min"
	}
	return signed(thousands(int64(perMinute))) + "/min"
}

// signed gives a number a sign, a real minus among them.
func signed(number string) string {
	if rest, negative := strings.CutPrefix(number, "-"); negative {
		return "−" + rest
	}
	return "+" + number
}

// queuesPage is the list of queues.
type queuesPage struct {
	Rows []row
	// Filter, Only and Sort are as the user has set them.
	Filter, Only, Sort string
	Sorts, Onlys       []choice
	// Matching of All queues match, and Page of Pages is shown.
	Matching, All, Page, Pages int
	// Previous and Next are the queries of the pages beside it, empty if there are none. As a plain string a template
	// would take each for a single parameter.
	Previous, Next template.URL
	// Query is that of the page, for the renewal of its list.
	Query template.URL
	// Totals are sums over the queues that match, as far as they are known.
	Waiting, Running, Dead, Unanswered string
	HasDead                            bool
	// Names says what is wrong with the list of names, and NamesOld how old it is.
	Names    *problem
	NamesOld string
	// Told says that the names of the queues are known, and Cut that there are more than so many.
	Told bool
	Cut  int
	Cans []can
}

// choice is one of a list.
type choice struct {
	Value, Text string
	Chosen      bool
}

// can is something that a broker can do or not.
type can struct {
	Text string
	Yes  bool
}

// orders are the ways to sort queues.
var orders = []struct {
	name, text string
	less       func(a, b status) int
}{
	{"name", "name", func(a, b status) int { return 0 }},
	{"dead", "dead letters", func(a, b status) int { return cmp.Compare(number(b, b.Depth.Dead), number(a, a.Depth.Dead)) }},
	{"waiting", "waiting jobs", func(a, b status) int { return cmp.Compare(number(b, b.Depth.Waiting), number(a, a.Depth.Waiting)) }},
	{"running", "running jobs", func(a, b status) int { return cmp.Compare(number(b, b.Depth.Running), number(a, a.Depth.Running)) }},
	{"age", "oldest waiting", func(a, b status) int {
		return cmp.Compare(number(b, int64(b.Depth.Age)), number(a, int64(a.Depth.Age)))
	}},
}

// number is what a queue is sorted by: below all others where it is unknown.
func number(q status, n int64) int64 {
	if q.At.IsZero() {
		return batch.UnknownCount
	}
	return n
}

// selections are the ways to show some queues only.
var selections = []struct {
	name, text string
	has        func(q status) bool
}{
	{"", "all queues", func(status) bool { return true }},
	{"dead", "with dead letters", func(q status) bool { return q.Depth.Dead > 0 }},
	{"busy", "with waiting or running jobs", func(q status) bool { return q.Depth.Waiting > 0 || q.Depth.Due > 0 || q.Depth.Running > 0 }},
	{"paused", "paused", func(q status) bool { return q.Paused != nil && *q.Paused }},
	{"trouble", "that cannot be read", func(q status) bool { return q.Err != nil || q.At.IsZero() }},
}

// showQueues answers with the list of queues, or with the part of it that renews itself.
func (s *site) showQueues(r *request, part string) {
	v := s.poll.view(r.Context())
	p := &queuesPage{Filter: line(r.FormValue("q"), 64), Only: r.FormValue("only"), Sort: cmp.Or(r.FormValue("sort"), "name"), All: len(v.queues)}
	chosen := p.choose(v.queues)
	p.total(chosen)
	p.Matching = len(chosen)
	p.paginate(r.FormValue("page"))
	shown := chosen[min((p.Page-1)*queuesSize, len(chosen)):min(p.Page*queuesSize, len(chosen))]
	s.poll.addPast(shown)
	now := time.Now()
	for _, q := range shown {
		p.Rows = append(p.Rows, rowOf(q, now, s.config.Interval, 120, 28, 40))
	}
	if v.listErr != nil {
		p.Names = problemOf(v.listErr)
		p.NamesOld = "never told"
		if !v.listed.IsZero() {
			p.NamesOld = short(now.Sub(v.listed)) + " old"
		}
	}
	p.Told = len(s.config.Queues) > 0 || !v.listed.IsZero()
	if v.cut {
		p.Cut = maxQueues
	}
	p.Cans = s.abilities()
	s.write(r, http.StatusOK, "queues", part, s.frameOf(r, "Queues", p))
}

// choose selects and sorts queues as the user wants, and notes the choices.
func (p *queuesPage) choose(all []status) []status {
	var chosen []status
	selection := selections[0]
	for _, option := range selections {
		if option.name == p.Only {
			selection = option
		}
	}
	p.Only = selection.name
	for _, q := range all {
		if selection.has(q) && strings.Contains(strings.ToLower(q.Name), strings.ToLower(p.Filter)) {
			chosen = append(chosen, q)
		}
	}
	order := orders[0]
	for _, option := range orders {
		if option.name == p.Sort {
			order = option
		}
	}
	p.Sort = order.name
	slices.SortStableFunc(chosen, order.less)
	for _, option := range selections {
		p.Onlys = append(p.Onlys, choice{option.name, option.text, option.name == p.Only})
	}
	for _, option := range orders {
		p.Sorts = append(p.Sorts, choice{option.name, option.text, option.name == p.Sort})
	}
	return chosen
}

// total sums what is known.
func (p *queuesPage) total(queues []status) {
	var waiting, running, dead sum
	none := int64(0)
	for _, q := range queues {
		if q.At.IsZero() {
			none++
			continue
		}
		waiting.add(q.Depth.Waiting)
		running.add(q.Depth.Running)
		dead.add(q.Depth.Dead)
	}
	p.Waiting, p.Running, p.Dead, p.HasDead = waiting.text(), running.text(), dead.text(), dead.known > 0
	if none > 0 {
		p.Unanswered = thousands(none)
	}
}

// sum is one of counts, some of which may be unknown.
type sum struct {
	known    int64
	told     bool
	unknowns bool
}

// add adds a count.
func (s *sum) add(n int64) {
	if n < 0 {
		s.unknowns = true
		return
	}
	s.known += n
	s.told = true
}

// text is the sum in words: of what is unknown, it is the least that it can be.
func (s *sum) text() string {
	switch {
	case !s.told:
		return unknown
	case s.unknowns:
		return "at least " + thousands(s.known)
	}
	return thousands(s.known)
}

// paginate finds the page, and the links to its neighbours.
func (p *queuesPage) paginate(page string) {
	p.Pages = max((p.Matching+queuesSize-1)/queuesSize, 1)
	p.Page, _ = strconv.Atoi(page) // what is no number is the first page
	p.Page = min(max(p.Page, 1), p.Pages)
	p.Query = p.query(p.Page)
	if p.Page > 1 {
		p.Previous = template.URL(p.query(p.Page - 1))
	}
	if p.Page < p.Pages {
		p.Next = template.URL(p.query(p.Page + 1))
	}
}

// query is that of another page of the same list.
func (p *queuesPage) query(page int) template.URL {
	v := url.Values{"sort": {p.Sort}, "page": {strconv.Itoa(page)}}
	if p.Filter != "" {
		v.Set("q", p.Filter)
	}
	if p.Only != "" {
		v.Set("only", p.Only)
	}
	return template.URL(v.Encode())
}

// abilities are what the broker can do for this dashboard.
func (s *site) abilities() []can {
	q, err := batch.Admin(s.driver, "any")
	if err != nil {
		return nil
	}
	return []can{
		{"count jobs by state, and list dead letters", true},
		{"list its queues", canList(s.driver)},
		{"list, find and delete waiting and scheduled jobs", q.CanInspect()},
		{"pause queues", q.CanPause()},
		{"purge waiting jobs", q.CanPurge()},
		{"take a dead letter back with another body", q.CanImport()},
		{"look at dead letters without taking all of them", readCost(q) == ""},
		{"tell which workers there are", false},
	}
}
