package main

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	collectors "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	traces "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/batch-go/batch/examples/service/jobs"
)

// span is a span with the name of its service.
type span struct {
	*traces.Span
	service string
}

// trace and id are those of the span, as text.
func (s span) trace() string { return hex.EncodeToString(s.TraceId) }
func (s span) id() string    { return hex.EncodeToString(s.SpanId) }

// attribute is the value of an attribute as text.
func (s span) attribute(key string) string { return attribute(s.Attributes, key) }

// attribute is the value of one as text, empty if it is not there.
func attribute(all []*common.KeyValue, key string) string {
	for _, a := range all {
		if a.Key == key {
			if s, is := a.Value.Value.(*common.AnyValue_StringValue); is {
				return s.StringValue
			}
			return fmt.Sprint(a.Value.GetIntValue())
		}
	}
	return ""
}

// collector takes spans by OTLP over HTTP, as an OpenTelemetry Collector does.
type collector struct {
	*httptest.Server

	mu  sync.Mutex
	all []span // guarded by mu
}

// newCollector starts one.
func newCollector(t *testing.T) *collector {
	c := new(collector)
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var request collectors.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(body, &request)
		}
		if err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s: %v", r.URL, err)
			http.Error(w, "not OTLP", http.StatusBadRequest)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, resource := range request.ResourceSpans {
			for _, scope := range resource.ScopeSpans {
				for _, s := range scope.Spans {
					c.all = append(c.all, span{s, attribute(resource.Resource.Attributes, "service.name")})
				}
			}
		}
	}))
	t.Cleanup(c.Close)
	return c
}

// spans are those that have come, by the times of their beginnings, of all traces but those of digests: whether there are any
// depends on the time of the day.
func (c *collector) spans() []span {
	c.mu.Lock()
	defer c.mu.Unlock()
	others := make(map[string]bool)
	for _, s := range c.all {
		if s.attribute("messaging.destination.name") == jobs.Reports {
			others[s.trace()] = true
		}
	}
	all := slices.DeleteFunc(slices.Clone(c.all), func(s span) bool { return others[s.trace()] })
	slices.SortFunc(all, func(a, b span) int { return cmp.Compare(a.StartTimeUnixNano, b.StartTimeUnixNano) })
	return all
}

// draw draws the traces of spans: a line for each span, below that of its parent.
func draw(spans []span) string {
	numbers := make(map[string]int) // of traces, in the order in which they began
	names := make(map[string]string)
	children := make(map[string][]span)
	for _, s := range spans {
		if numbers[s.trace()] == 0 {
			numbers[s.trace()] = len(numbers) + 1
		}
		names[s.id()] = s.Name
		children[hex.EncodeToString(s.ParentSpanId)] = append(children[hex.EncodeToString(s.ParentSpanId)], s)
	}
	var picture strings.Builder
	var write func(s span, depth int)
	write = func(s span, depth int) {
		kind := strings.ToLower(strings.TrimPrefix(s.Kind.String(), "SPAN_KIND_"))
		fmt.Fprintf(&picture, "  %-11s  %-8s  %s%s\n", s.service, kind, strings.Repeat("  ", depth), s.Name+result(s))
		for _, child := range children[s.id()] {
			write(child, depth+1)
		}
	}
	for _, root := range children[""] {
		fmt.Fprintf(&picture, "trace %d", numbers[root.trace()])
		for _, link := range root.Links {
			to := hex.EncodeToString(link.TraceId)
			fmt.Fprintf(&picture, ", linked to %q of trace %d", names[hex.EncodeToString(link.SpanId)], numbers[to])
		}
		picture.WriteString("\n")
		write(root, 0)
	}
	return picture.String()
}

// result is what came of a span, for those that say so.
func result(s span) (text string) {
	if outcome := s.attribute("batch.job.outcome"); outcome != "" {
		text += ": attempt " + s.attribute("batch.job.attempt") + ", " + outcome
	}
	if status := s.attribute("http.response.status_code"); status != "" {
		text += ": " + status
	}
	if s.Status.GetCode() == traces.Status_STATUS_CODE_ERROR && s.Status.Message != "" {
		text += fmt.Sprintf(", error %q", s.Status.Message)
	}
	return text
}
