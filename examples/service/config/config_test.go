package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/batch-go/batch/examples/service/config"
)

// from makes an environment.
func from(env map[string]string) func(string) string {
	return func(name string) string { return env[name] }
}

func TestDefaults(t *testing.T) {
	c, err := config.Load(from(map[string]string{"BATCH_URL": "redis://localhost"}))
	if err != nil {
		t.Fatal(err)
	}
	want := config.Config{
		BatchURL: "redis://localhost", Address: ":8080", OpsAddress: ":8081", Concurrency: 20,
		StopTimeout: 25 * time.Second, BrokerPatience: 30 * time.Second,
	}
	if c != want {
		t.Errorf("the configuration is %+v, want %+v", c, want)
	}
	if c.Grace() != 35*time.Second {
		t.Errorf("the process takes up to %s to end", c.Grace())
	}
}

// TestMistakes has a mistake in each variable that can have one. All are told at once.
func TestMistakes(t *testing.T) {
	_, err := config.Load(from(map[string]string{
		"ADDRESS": "8080", "OPS_ADDRESS": ":http", "CONCURRENCY": "0", "STOP_TIMEOUT": "25", "BROKER_PATIENCE": "1ms",
		"MAIL_URL": "mail.example.com:8025", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://user:secret@", "LOG_LEVEL": "loud",
	}))
	const want = `BATCH_URL is not set: want the broker's URL, such as redis://localhost:6379
ADDRESS is "8080": want host:port or :port, such as :8080
OPS_ADDRESS is ":http": want host:port or :port, such as :8080
CONCURRENCY is "0": want a number from 1 to 10000
STOP_TIMEOUT is "25": want a duration from 1s to 1h, such as 25s
BROKER_PATIENCE is "1ms": want a duration from 1s to 1h, such as 25s
MAIL_URL is no URL of HTTP: want one such as http://localhost:4318
OTEL_EXPORTER_OTLP_ENDPOINT is no URL of HTTP: want one such as http://localhost:4318
LOG_LEVEL is "loud": want DEBUG, INFO, WARN or ERROR`
	if err == nil || err.Error() != want {
		t.Errorf("the error is\n%v\nwant\n%s", err, want)
	}
}

func TestVariablesSayWhatTheyAre(t *testing.T) {
	for _, v := range config.Variables() {
		if v.Name != strings.ToUpper(v.Name) || v.About == "" {
			t.Errorf("%+v", v)
		}
	}
}
