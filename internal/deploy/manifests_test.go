package deploy

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	apps "k8s.io/api/apps/v1"
	scaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// folder is what is checked.
const folder = "../../examples/service"

// scaledObject has as much of KEDA's type as the manifest uses: a field that it does not have is a mistake.
type scaledObject struct {
	meta.TypeMeta   `json:",inline"`
	meta.ObjectMeta `json:"metadata"`
	Spec            struct {
		ScaleTargetRef struct {
			Name string `json:"name"`
		} `json:"scaleTargetRef"`
		MinReplicaCount int32 `json:"minReplicaCount"`
		MaxReplicaCount int32 `json:"maxReplicaCount"`
		PollingInterval int32 `json:"pollingInterval"`
		CooldownPeriod  int32 `json:"cooldownPeriod"`
		Fallback        struct {
			FailureThreshold int32  `json:"failureThreshold"`
			Replicas         int32  `json:"replicas"`
			Behavior         string `json:"behavior"`
		} `json:"fallback"`
		Advanced struct {
			HorizontalPodAutoscalerConfig struct {
				Behavior scaling.HorizontalPodAutoscalerBehavior `json:"behavior"`
			} `json:"horizontalPodAutoscalerConfig"`
		} `json:"advanced"`
		Triggers []struct {
			Type     string            `json:"type"`
			Metadata map[string]string `json:"metadata"`
		} `json:"triggers"`
	} `json:"spec"`
}

// manifests are those of the service.
type manifests struct {
	deployments map[string]*apps.Deployment
	services    map[string]*core.Service
	secrets     map[string]*core.Secret
	budgets     map[string]*policy.PodDisruptionBudget
	scaled      map[string]*scaledObject
}

// newManifests has none yet.
func newManifests() *manifests {
	return &manifests{
		make(map[string]*apps.Deployment), make(map[string]*core.Service), make(map[string]*core.Secret),
		make(map[string]*policy.PodDisruptionBudget), make(map[string]*scaledObject),
	}
}

// readManifests decodes all documents strictly, as "kubectl apply --validate=strict" does: a field that the type does not
// have, or that is there twice, fails the test.
func readManifests(t *testing.T) *manifests {
	t.Helper()
	m := newManifests()
	for _, pattern := range []string{"*.yaml", "example/*.yaml"} {
		m.readFiles(t, pattern)
	}
	return m
}

// readFiles decodes the manifests whose names match a pattern.
func (m *manifests) readFiles(t *testing.T, pattern string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(folder, "kubernetes", pattern))
	if err != nil || len(paths) == 0 {
		t.Fatalf("there are no manifests %s, %v", pattern, err)
	}
	for _, path := range paths {
		for i, document := range strings.Split(read(t, path), "\n---\n") {
			if err := m.decode(document); err != nil {
				t.Errorf("%s, document %d: %v", path, i+1, err)
			}
		}
	}
}

// TestNoSecretIsApplied: "kubectl apply -f" of the folder, as each deployment does it, must not write the values of the
// example over the real ones.
func TestNoSecretIsApplied(t *testing.T) {
	m := newManifests()
	m.readFiles(t, "*.yaml")
	if len(m.deployments) == 0 || len(m.secrets) != 0 {
		t.Errorf("the folder has %d deployments, and %d secrets, want none", len(m.deployments), len(m.secrets))
	}
}

// decode decodes a document by its kind.
func (m *manifests) decode(document string) error {
	var kind meta.TypeMeta
	if err := yaml.Unmarshal([]byte(document), &kind); err != nil {
		return err
	}
	switch kind.APIVersion + " " + kind.Kind {
	case "apps/v1 Deployment":
		return decode(m.deployments, document, func(o *apps.Deployment) string { return o.Name })
	case "v1 Service":
		return decode(m.services, document, func(o *core.Service) string { return o.Name })
	case "v1 Secret":
		return decode(m.secrets, document, func(o *core.Secret) string { return o.Name })
	case "policy/v1 PodDisruptionBudget":
		return decode(m.budgets, document, func(o *policy.PodDisruptionBudget) string { return o.Name })
	case "keda.sh/v1alpha1 ScaledObject":
		return decode(m.scaled, document, func(o *scaledObject) string { return o.Name })
	}
	return fmt.Errorf("nobody knows %s %s", kind.APIVersion, kind.Kind)
}

// decode decodes a document strictly, and keeps it by its name.
func decode[T any](into map[string]*T, document string, nameOf func(*T) string) error {
	text, err := yaml.YAMLToJSONStrict([]byte(document))
	if err != nil {
		return err
	}
	object := new(T)
	strict, err := json.UnmarshalStrict(text, object)
	if err := errors.Join(append(strict, err)...); err != nil {
		return err
	}
	name := nameOf(object)
	if name == "" || into[name] != nil {
		return fmt.Errorf("the name %q is missing, or there twice", name)
	}
	into[name] = object
	return nil
}

// read reads a file.
func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestMistakesAreSeen decodes what is wrong, since the manifests are right.
func TestMistakesAreSeen(t *testing.T) {
	const head = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: worker}\n"
	for name, document := range map[string]string{
		"a field of another place": head + "spec: {terminationGracePeriodSeconds: 30}",
		"a mistyped field":         head + "spec: {template: {spec: {containers: [{name: a, livenessprobe: {}}]}}}",
		"a field twice":            head + "spec: {}\nspec: {}",
		"a wrong type":             head + "spec: {replicas: many}",
		"an unknown version":       "apiVersion: policy/v1beta1\nkind: PodDisruptionBudget\nmetadata: {name: worker}",
		"an unknown field of KEDA": "apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nmetadata: {name: worker}\nspec: {minReplicas: 1}",
	} {
		m := &manifests{deployments: make(map[string]*apps.Deployment), scaled: make(map[string]*scaledObject)}
		if err := m.decode(document); err == nil {
			t.Errorf("%s is not seen", name)
		}
	}
}
