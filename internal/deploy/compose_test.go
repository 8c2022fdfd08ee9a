package deploy

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"sigs.k8s.io/yaml"

	"github.com/batch-go/batch/examples/service/config"
)

// readCompose reads the compose file with the code that docker compose has, which refuses what its schema does not have.
func readCompose(t *testing.T) *types.Project {
	t.Helper()
	path := filepath.Join(folder, "compose.yaml")
	project, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir: folder, ConfigFiles: []types.ConfigFile{{Filename: path, Content: []byte(read(t, path))}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return project
}

// environmentOf is that of a service. A variable without a value would be that of who calls docker compose.
func environmentOf(t *testing.T, s types.ServiceConfig) map[string]string {
	t.Helper()
	env := make(map[string]string)
	for name, value := range s.Environment {
		if value == nil {
			t.Errorf("%s of %s has no value", name, s.Name)
			continue
		}
		env[name] = *value
	}
	return env
}

// TestComposeRunsTheProgram compares the three services of the program with it.
func TestComposeRunsTheProgram(t *testing.T) {
	project := readCompose(t)
	for _, role := range config.Roles {
		if role == "all" {
			continue
		}
		t.Run(role, func(t *testing.T) {
			s, err := project.GetService(role)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(s.Command, types.ShellCommand{role}) {
				t.Errorf("the command is %q", s.Command)
			}
			c := load(t, environmentOf(t, s))
			if grace := time.Duration(*s.StopGracePeriod); grace <= c.Grace() {
				t.Errorf("it is killed after %s, and may take %s", grace, c.Grace())
			}
			probe := []string{"CMD", programOf(t), "probe", fmt.Sprintf("http://localhost%s%s", config.OpsAddress, config.ReadyPath)}
			if !slices.Equal(s.HealthCheck.Test, probe) || time.Duration(*s.HealthCheck.StartPeriod) <= c.BrokerPatience {
				t.Errorf("the health check is %q after %s, want %q", s.HealthCheck.Test, s.HealthCheck.StartPeriod, probe)
			}
			if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || s.DependsOn["broker"].Condition != types.ServiceConditionHealthy {
				t.Errorf("the service may do too much, or does not wait for its broker: %+v", s)
			}
			for _, port := range s.Ports {
				if int32(port.Target) != portOf(t, config.Address) {
					t.Errorf("the port %d is shown to the world", port.Target)
				}
			}
			for _, address := range []string{c.BatchURL, c.TracesURL} {
				u, err := url.Parse(address)
				if _, there := project.Services[u.Hostname()]; err != nil || !there {
					t.Errorf("nobody is at %s", address)
				}
			}
		})
	}
}

// TestComposeIsForThisMachine looks for ports that other machines could reach: the passwords are in the file, and there is no TLS.
func TestComposeIsForThisMachine(t *testing.T) {
	ports := 0
	for name, s := range readCompose(t).Services {
		for _, port := range s.Ports {
			ports++
			if port.HostIP != "127.0.0.1" {
				t.Errorf("the port %s of %s is open on %q", port.Published, name, port.HostIP)
			}
		}
	}
	if ports == 0 {
		t.Error("nobody can reach the API")
	}
}

// TestComposeKeepsJobs looks for what a broker needs so that it loses no job.
func TestComposeKeepsJobs(t *testing.T) {
	broker, err := readCompose(t).GetService("broker")
	if err != nil {
		t.Fatal(err)
	}
	command := strings.Join(broker.Command, " ")
	for _, want := range []string{"--appendonly yes", "--maxmemory-policy noeviction"} {
		if !strings.Contains(command, want) {
			t.Errorf("the broker is started by %q, without %s", command, want)
		}
	}
	if len(broker.Volumes) != 1 || broker.Volumes[0].Type != types.VolumeTypeVolume || broker.HealthCheck == nil {
		t.Errorf("the broker keeps nothing, or nobody knows when it is there: %+v", broker)
	}
}

// TestComposeMountsWhatIsThere looks for the files, and for the targets of Prometheus and the port of the collector in them.
func TestComposeMountsWhatIsThere(t *testing.T) {
	project := readCompose(t)
	for name, s := range project.Services {
		for _, v := range s.Volumes {
			if v.Type == types.VolumeTypeBind {
				if _, err := os.Stat(v.Source); err != nil || !v.ReadOnly {
					t.Errorf("%s mounts %s, read-only %t: %v", name, v.Source, v.ReadOnly, err)
				}
			}
		}
	}
	var prometheus struct {
		RuleFiles     []string `json:"rule_files"`
		ScrapeConfigs []struct {
			Targets []struct {
				Names []string
				Port  int32
			} `json:"dns_sd_configs"`
		} `json:"scrape_configs"`
	}
	if err := yaml.Unmarshal([]byte(read(t, folder+"/prometheus.yaml")), &prometheus); err != nil {
		t.Fatal(err)
	}
	targets := prometheus.ScrapeConfigs[0].Targets[0]
	if want := []string{"api", "worker", "scheduler"}; !slices.Equal(targets.Names, want) || targets.Port != portOf(t, config.OpsAddress) {
		t.Errorf("Prometheus scrapes %+v", targets)
	}
	mounted := project.Services["prometheus"].Volumes
	if !slices.ContainsFunc(mounted, func(v types.ServiceVolumeConfig) bool { return v.Target == prometheus.RuleFiles[0] }) {
		t.Errorf("Prometheus has no file %s", prometheus.RuleFiles[0])
	}
	c := load(t, environmentOf(t, project.Services["api"]))
	if port := fmt.Sprint(portOf(t, strings.TrimPrefix(c.TracesURL, "http://"))); !strings.Contains(read(t, folder+"/otel-collector.yaml"), "endpoint: 0.0.0.0:"+port+"\n") {
		t.Errorf("the collector does not listen at %s", c.TracesURL)
	}
}
