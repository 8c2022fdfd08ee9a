package deploy

import (
	"bytes"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/yaml"

	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/examples/service/jobs"
	"github.com/batch-go/batch/examples/service/schedule"
	"github.com/batch-go/batch/prombatch"
)

// recorder is a registry that keeps what is registered.
type recorder struct{ collectors []prometheus.Collector }

func (r *recorder) Register(c prometheus.Collector) error {
	r.collectors = append(r.collectors, c)
	return nil
}
func (r *recorder) MustRegister(c ...prometheus.Collector) { r.collectors = append(r.collectors, c...) }
func (r *recorder) Unregister(prometheus.Collector) bool   { return false }

// described is what a description says of itself: the name of a metric, and its labels.
var described = regexp.MustCompile(`fqName: "(\w+)".* variableLabels: \{([\w,]*)\}`)

// metrics are the labels of all metrics that the service has of batch, by their names.
func metrics(t *testing.T) map[string][]string {
	t.Helper()
	d, all := memory.New(), new(recorder)
	all.MustRegister(prombatch.New(prombatch.Config{}), prombatch.NewDepths(d, prombatch.DepthConfig{Queues: jobs.Queues()}))
	if _, err := schedule.New(schedule.Config{Broker: d, Log: slog.New(slog.DiscardHandler), Metrics: all}); err != nil {
		t.Fatal(err)
	}
	labels := make(map[string][]string)
	for _, c := range all.collectors {
		descriptions := make(chan *prometheus.Desc)
		go func() { defer close(descriptions); c.Describe(descriptions) }()
		for d := range descriptions {
			if found := described.FindStringSubmatch(d.String()); found != nil {
				labels[found[1]] = strings.Split(found[2], ",")
			}
		}
	}
	return labels
}

var (
	metricName = regexp.MustCompile(`\b(?:batch|cron)_\w+`)
	grouping   = regexp.MustCompile(`by \(([\w, ]+)\)`)
	reference  = regexp.MustCompile(`\$labels\.(\w+)`)
)

// TestAlerts compares the alerts with the metrics that there are.
func TestAlerts(t *testing.T) {
	var file struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	if err := yaml.UnmarshalStrict([]byte(read(t, folder+"/alerts.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	known := metrics(t)
	if len(known) < 15 {
		t.Fatalf("only these metrics were found: %v", known)
	}
	rules := file.Groups[0].Rules
	if len(rules) < 5 {
		t.Errorf("there are %d alerts", len(rules))
	}
	for _, rule := range rules {
		name := metricName.FindString(rule.Expr)
		labels, there := known[name]
		if !there {
			t.Errorf("%s: there is no metric %q", rule.Alert, name)
		}
		var by []string
		if found := grouping.FindStringSubmatch(rule.Expr); found != nil {
			by = strings.Split(found[1], ", ")
		}
		for _, label := range by {
			if !slices.Contains(labels, label) {
				t.Errorf("%s: %s has no label %s", rule.Alert, name, label)
			}
		}
		for _, found := range reference.FindAllStringSubmatch(rule.Annotations["summary"], -1) {
			if !slices.Contains(by, found[1]) {
				t.Errorf("%s: its summary has a label %s that the alert has not", rule.Alert, found[1])
			}
		}
	}
}

// TestAlertsFire has Prometheus's own tool evaluate the alerts over a made-up hour. As for brokers, a test without it is
// skipped, and fails in CI.
func TestAlertsFire(t *testing.T) {
	find := exec.CommandContext(t.Context(), "../../scripts/prometheus.sh")
	var stderr bytes.Buffer
	find.Stderr = &stderr
	program, err := find.Output()
	if err != nil {
		if ci, _ := strconv.ParseBool(os.Getenv("CI")); ci {
			t.Fatalf("%v: %s", err, &stderr)
		}
		t.Skipf("no Prometheus to test with: %s", strings.Join(strings.Fields(stderr.String()), " "))
	}
	promtool := filepath.Join(filepath.Dir(string(program)), "promtool")
	for _, args := range [][]string{{"check", "config", "--syntax-only", "prometheus.yaml"}, {"test", "rules", "alerts_test.yaml"}} {
		command := exec.CommandContext(t.Context(), promtool, args...)
		command.Dir = folder
		if out, err := command.CombinedOutput(); err != nil {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
}
