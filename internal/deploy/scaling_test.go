package deploy

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/examples/service/config"
	"github.com/batch-go/batch/examples/service/jobs"
	"github.com/batch-go/batch/health"
	"github.com/batch-go/batch/internal/keda"
)

// TestScaledObject follows the trigger to the program, and reads its answer as KEDA does.
func TestScaledObject(t *testing.T) {
	m := readManifests(t)
	s := m.scaled["worker"]
	target := m.deployments[s.Spec.ScaleTargetRef.Name]
	if target == nil || len(s.Spec.Triggers) != 1 {
		t.Fatalf("the target is %q, with %d triggers", s.Spec.ScaleTargetRef.Name, len(s.Spec.Triggers))
	}
	trigger := s.Spec.Triggers[0]
	blocks, err := keda.Triggers("Any broker, by the health package", jobs.Emails)
	if err != nil {
		t.Fatal(err)
	}
	of := blocks[0][0] // what docs/deploy.md explains, and other tests send
	if keys := slices.Sorted(maps.Keys(trigger.Metadata)); trigger.Type != of.Type || !slices.Equal(keys, slices.Sorted(maps.Keys(of.Metadata))) || trigger.Metadata["url"] != of.Metadata["url"] {
		t.Errorf("the trigger %v is another one than that of the document, %v", trigger, of)
	}
	asked, err := url.Parse(trigger.Metadata["url"])
	if err != nil {
		t.Fatal(err)
	}
	service, _, _ := strings.Cut(asked.Hostname(), ".")
	if found := m.services[service]; found == nil || found.Spec.Ports[0].Port != portOf(t, asked.Host) || asked.Path != config.ScalePath {
		t.Errorf("nobody answers at %s", asked)
	}
	want := load(t, m.environment(t, target.Spec.Template.Spec.Containers[0])).Concurrency
	var number int
	if err := json.Unmarshal([]byte(trigger.Metadata["targetValue"]), &number); err != nil || number != want {
		t.Errorf("a worker is for %s jobs, and runs %d at the same time", trigger.Metadata["targetValue"], want)
	}
	if n := valueAt(t, trigger.Metadata["valueLocation"]); n != 2.0 {
		t.Errorf("KEDA reads %v jobs, want 2", n)
	}
}

// valueAt is the number at a place of the program's answer, with one job on each queue.
func valueAt(t *testing.T, place string) any {
	t.Helper()
	d := memory.New()
	if _, err := batch.NewQueue(d, jobs.Emails).Enqueue(t.Context(), jobs.Welcome{UserID: 7}); err != nil {
		t.Fatal(err)
	}
	if _, err := batch.NewQueue(d, jobs.Reports).Enqueue(t.Context(), jobs.Digest{Team: "sales"}); err != nil {
		t.Fatal(err)
	}
	answer := httptest.NewRecorder()
	health.Scale(d, health.ScaleConfig{Queues: jobs.Queues()}).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, config.ScalePath, nil))
	var at any
	if err := json.Unmarshal(answer.Body.Bytes(), &at); err != nil {
		t.Fatal(err)
	}
	for key := range strings.SplitSeq(place, ".") {
		object, _ := at.(map[string]any)
		at = object[key]
	}
	return at
}
