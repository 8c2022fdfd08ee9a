package deploy

import (
	"fmt"
	"net"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/batch-go/batch/examples/service/config"
)

// portOf is the port of an address.
func portOf(t *testing.T, address string) int32 {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.ParseInt(port, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return int32(n)
}

// load is the configuration of a process with an environment. A variable that the program does not read fails the test.
func load(t *testing.T, env map[string]string) config.Config {
	t.Helper()
	for name := range env {
		if !slices.ContainsFunc(config.Variables(), func(v config.Variable) bool { return v.Name == name }) {
			t.Errorf("the program does not read %s", name)
		}
	}
	c, err := config.Load(func(name string) string { return env[name] })
	if err != nil {
		t.Error(err)
	}
	return c
}

// environment is that of a container, with the values of secrets.
func (m *manifests) environment(t *testing.T, c core.Container) map[string]string {
	t.Helper()
	env := make(map[string]string)
	for _, v := range c.Env {
		env[v.Name] = v.Value
		if v.ValueFrom == nil {
			continue
		}
		from := v.ValueFrom.SecretKeyRef
		secret := m.secrets[from.Name]
		if secret == nil || secret.StringData[from.Key] == "" {
			t.Errorf("no secret %s has %s", from.Name, from.Key)
			continue
		}
		env[v.Name] = secret.StringData[from.Key]
	}
	return env
}

// TestDeployments compares each deployment with the program.
func TestDeployments(t *testing.T) {
	m := readManifests(t)
	if len(m.deployments) != len(config.Roles)-1 { // all in one process is for one machine
		t.Errorf("there are %d deployments", len(m.deployments))
	}
	for name, d := range m.deployments {
		t.Run(name, func(t *testing.T) {
			pod := d.Spec.Template
			if len(pod.Spec.Containers) != 1 {
				t.Fatalf("there are %d containers", len(pod.Spec.Containers))
			}
			c := pod.Spec.Containers[0]
			if want := []string{name}; !slices.Equal(c.Args, want) || !slices.Contains(config.Roles, name) || c.Command != nil {
				t.Errorf("the command is %q %q, want %q", c.Command, c.Args, want)
			}
			if !reflect.DeepEqual(d.Spec.Selector.MatchLabels, pod.Labels) {
				t.Errorf("the selector %v is not for pods with %v", d.Spec.Selector.MatchLabels, pod.Labels)
			}
			checkGrace(t, pod.Spec, load(t, m.environment(t, c)))
			checkPorts(t, name, pod)
			checkProbes(t, c)
			checkRights(t, pod.Spec)
			if c.Resources.Requests.Cpu().IsZero() || c.Resources.Requests.Memory().IsZero() || c.Resources.Limits.Memory().IsZero() {
				t.Errorf("the resources are %v", c.Resources)
			}
		})
	}
	checkWorker(t, m.deployments["worker"])
}

// checkGrace compares the time that Kubernetes leaves a pod with what the program takes.
func checkGrace(t *testing.T, pod core.PodSpec, c config.Config) {
	t.Helper()
	takes := c.Grace()
	if life := pod.Containers[0].Lifecycle; life != nil {
		takes += time.Duration(life.PreStop.Sleep.Seconds) * time.Second // it counts, too
	}
	if grace := time.Duration(*pod.TerminationGracePeriodSeconds) * time.Second; grace <= takes {
		t.Errorf("the pod is killed after %s, and may take %s", grace, takes)
	}
	start := pod.Containers[0].StartupProbe
	if patience := time.Duration(start.PeriodSeconds*start.FailureThreshold) * time.Second; patience <= c.BrokerPatience {
		t.Errorf("the pod is killed after %s without an answer, and waits for its broker for %s", patience, c.BrokerPatience)
	}
}

// checkPorts compares the ports with those on which the program listens.
func checkPorts(t *testing.T, name string, pod core.PodTemplateSpec) {
	t.Helper()
	want := map[string]int32{"ops": portOf(t, config.OpsAddress)}
	if name == "api" {
		want["http"] = portOf(t, config.Address)
	}
	got := make(map[string]int32)
	for _, p := range pod.Spec.Containers[0].Ports {
		got[p.Name] = p.ContainerPort
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the ports are %v, want %v", got, want)
	}
	scrape := map[string]string{
		"prometheus.io/scrape": "true", "prometheus.io/port": fmt.Sprint(want["ops"]), "prometheus.io/path": config.MetricsPath,
	}
	if !reflect.DeepEqual(pod.Annotations, scrape) {
		t.Errorf("the annotations are %v, want %v", pod.Annotations, scrape)
	}
}

// checkProbes compares the probes with what the program answers.
func checkProbes(t *testing.T, c core.Container) {
	t.Helper()
	for path, probe := range map[string]*core.Probe{config.LivePath: c.LivenessProbe, config.ReadyPath: c.ReadinessProbe} {
		if probe == nil || probe.HTTPGet.Path != path || probe.HTTPGet.Port.String() != "ops" {
			t.Errorf("the probe of %s is %v", path, probe)
		}
	}
	if c.StartupProbe.HTTPGet.Path != config.LivePath || c.StartupProbe.HTTPGet.Port.String() != "ops" {
		t.Errorf("the startup probe is %v", c.StartupProbe)
	}
}

// checkRights looks for what a pod must not be allowed, which is all that the program does not need. It is the profile
// "restricted" of the Pod Security Standards, and a file system that cannot be written.
func checkRights(t *testing.T, pod core.PodSpec) {
	t.Helper()
	all, c := pod.SecurityContext, pod.Containers[0].SecurityContext
	if !*all.RunAsNonRoot || all.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault || *pod.AutomountServiceAccountToken {
		t.Errorf("the pod may do too much: %v", all)
	}
	if *c.AllowPrivilegeEscalation || !*c.ReadOnlyRootFilesystem || !slices.Equal(c.Capabilities.Drop, []core.Capability{"ALL"}) {
		t.Errorf("the container may do too much: %v", c)
	}
	if user := fmt.Sprintf("\nUSER %d:%d\n", *all.RunAsUser, *all.RunAsGroup); !strings.Contains(read(t, folder+"/Dockerfile"), user) {
		t.Errorf("the user of the image is not%s", user)
	}
}

// checkWorker looks for what would fight with the autoscaler.
func checkWorker(t *testing.T, d *apps.Deployment) {
	t.Helper()
	if d.Spec.Replicas != nil {
		t.Errorf("each deployment would set the workers back to %d", *d.Spec.Replicas)
	}
}

// TestSelectorsFindPods looks for the pods of services and of budgets, and for the ports.
func TestSelectorsFindPods(t *testing.T) {
	m := readManifests(t)
	find := func(selector map[string]string) *core.PodTemplateSpec {
		for _, d := range m.deployments {
			if len(selector) > 0 && labels.SelectorFromSet(selector).Matches(labels.Set(d.Spec.Template.Labels)) {
				return &d.Spec.Template
			}
		}
		return nil
	}
	for name, s := range m.services {
		pod := find(s.Spec.Selector)
		if pod == nil {
			t.Errorf("no pod is of the service %s", name)
			continue
		}
		for _, p := range s.Spec.Ports {
			if !slices.ContainsFunc(pod.Spec.Containers[0].Ports, func(c core.ContainerPort) bool {
				return c.Name == p.TargetPort.String() && c.ContainerPort == p.Port
			}) {
				t.Errorf("no port of the pods is that of the service %s, %v", name, p)
			}
		}
	}
	for name, b := range m.budgets {
		if find(b.Spec.Selector.MatchLabels) == nil {
			t.Errorf("no pod is of the budget %s", name)
		}
	}
}
