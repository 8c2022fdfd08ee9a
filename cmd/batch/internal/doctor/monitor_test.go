package doctor

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
)

// watch runs one of the looks at a monitoring that answers paths with texts, and returns
// what is not ok.
func watch(t *testing.T, answers map[string]string, look func(*examination, *source)) []driver.Finding {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, ok := answers[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte(text))
	}))
	defer server.Close()
	var wrong []driver.Finding
	x := &examination{Options: Options{Timeout: time.Minute}, report: func(f driver.Finding) {
		if f.Grade != driver.GradeOK {
			wrong = append(wrong, f)
		}
	}}
	look(x, &source{base: server.URL})
	return wrong
}

// only checks that there is one finding, with a text.
func only(t *testing.T, found []driver.Finding, grade driver.Grade, text string) {
	t.Helper()
	if text == "" && len(found) == 0 {
		return
	}
	if text == "" || len(found) != 1 || found[0].Grade != grade || !strings.Contains(found[0].Detail, text) {
		t.Errorf("found %+v, want %s with %q", found, grade, text)
	}
}

func TestRabbitMQ(t *testing.T) {
	healthy := map[string]string{
		"/api/nodes": `[{"name":"a","running":true},{"name":"b","running":true},{"name":"c","running":true}]`, "/api/health/checks/alarms": `{"status":"ok"}`, "/api/policies//": `[]`, "/api/operator-policies//": `[]`,
		"/api/queues//": `[{"name":"batch.emails","type":"quorum","members":["a","b","c"],"online":["a","b","c"]},{"name":"other","members":["a"]}]`,
	}
	for _, test := range []struct {
		name, path, answer string
		grade              driver.Grade
		want               string
	}{
		{"nothing", "", "", 0, ""},
		{"memory", "/api/health/checks/alarms", `{"alarms":[{"node":"a","resource":"memory"}]}`, driver.GradeFail, "node a is short of memory"},
		{"disk", "/api/health/checks/alarms", `{"alarms":[{"node":"a","resource":"disk"}]}`, driver.GradeFail, "node a is short of disk"},
		{"away", "/api/nodes", `[{"name":"a","running":true},{"name":"b","running":false}]`, driver.GradeWarn, "node b does not run"},
		{"partition", "/api/nodes", `[{"name":"a","running":true,"partitions":["b"]}]`, driver.GradeFail, "cut off from b"},
		{"member away", "/api/queues//", `[{"name":"batch.emails","members":["a","b","c"],"online":["a","b"]}]`, driver.GradeWarn, "2 of its 3 members"},
		{"one member", "/api/queues//", `[{"name":"batch.emails","members":["a"],"online":["a"]}]`, driver.GradeWarn, "one member on a cluster of 3"},
		{"one policy for all", "/api/policies//", `[{"name":"p","pattern":".*","apply-to":"all","definition":{"expires":1000}}]`, driver.GradeFail, "deletes queues"},
		{"no JSON", "/api/policies//", `<html>`, driver.GradeUnknown, "no JSON"},
	} {
		t.Run(test.name, func(t *testing.T) {
			answers := make(map[string]string)
			for path, answer := range healthy {
				answers[path] = answer
			}
			if test.path != "" {
				answers[test.path] = test.answer
			}
			found := watch(t, answers, func(x *examination, s *source) { x.rabbitMQ(t.Context(), s, "/", nil) })
			only(t, found, test.grade, test.want)
		})
	}
}

func TestNATS(t *testing.T) {
	for answer, want := range map[string]struct {
		grade driver.Grade
		text  string
	}{
		`{"storage":10,"config":{"max_storage":1000,"sync_always":true}}`:                                                                                                   {0, ""},
		`{"storage":10,"config":{"max_storage":1000,"sync_interval":120000000000}}`:                                                                                         {driver.GradeWarn, "every 2m0s"},
		`{"storage":10,"config":{"max_storage":1000,"sync_interval":120000000000},"meta_cluster":{"cluster_size":3,"replicas":[{"name":"b"},{"name":"c"}]}}`:                {0, ""},
		`{"storage":10,"config":{"max_storage":1000,"sync_interval":120000000000},"meta_cluster":{"cluster_size":3,"replicas":[{"name":"b"},{"name":"c","offline":true}]}}`: {driver.GradeWarn, "server c"},
		`{"storage":950,"config":{"max_storage":1000,"sync_always":true}}`:                                                                                                  {driver.GradeWarn, "95%"},
	} {
		only(t, watch(t, map[string]string{"/jsz": answer}, func(x *examination, s *source) { x.nats(t.Context(), s) }), want.grade, want.text)
	}
}

// TestSource: the monitoring is where the user says, or on the broker's host, and nothing
// that is printed has its password.
func TestSource(t *testing.T) {
	for _, test := range []struct{ monitoring, broker, at, base, user string }{
		{"", "amqp://u:secret@rabbit:5673/v", "http://:15672", "http://rabbit:15672", "u"},
		{"", "amqps://rabbit", "https://:15671", "https://rabbit:15671", ""},
		{"", "nats://a,b:4222", "http://:8222", "http://a:8222", ""},
		{"", "amqp://[::1]:5672", "http://:15672", "http://[::1]:15672", ""},
		{"http://admin:secret@elsewhere:1/api/", "amqp://u:p@rabbit", "http://:15672", "http://elsewhere:1/api", "admin"},
	} {
		u, err := url.Parse(test.broker)
		if err != nil {
			t.Fatal(err)
		}
		s := (&examination{Options: Options{Monitoring: test.monitoring}}).source(u, test.at)
		user := ""
		if s.user != nil {
			user = s.user.Username()
		}
		if s.base != test.base || user != test.user || strings.Contains(s.base, "secret") {
			t.Errorf("for %s the monitoring is %s as %q, want %s as %q", test.broker, s.base, user, test.base, test.user)
		}
	}
}

// TestPoliciesThatApply: the one with the highest priority, of users and of the operator.
func TestPoliciesThatApply(t *testing.T) {
	all := []policy{
		{Name: "low", Pattern: ".*", ApplyTo: "all", Priority: 0},
		{Name: "high", Pattern: "^batch", ApplyTo: "queues", Priority: 7},
		{Name: "exchanges", Pattern: ".*", ApplyTo: "exchanges", Priority: 9},
		{Name: "bounds", Pattern: "emails", ApplyTo: "quorum_queues", operator: true},
	}
	for queue, want := range map[string]string{"batch.emails": "high bounds", "batch.reports": "high", "other": "low"} {
		var names []string
		for _, p := range effective(all, queue) {
			names = append(names, p.Name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("for %s there are the policies %q, want %q", queue, got, want)
		}
	}
	if !(&policy{Pattern: `(?<!x)batch`, ApplyTo: "all"}).isFor("batch.emails") {
		t.Error("a pattern that cannot be read is taken for none that applies")
	}
}
