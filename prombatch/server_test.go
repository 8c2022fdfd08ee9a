package prombatch_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// server is a Prometheus that runs for a test.
type server struct {
	t       *testing.T
	address string
}

// startServer starts a Prometheus that scrapes targets, named by their jobs, each of which has to answer within half a second.
func startServer(t *testing.T, targets map[string]string) *server {
	t.Helper()
	program := programOf(t)
	folder := t.TempDir()
	config := "global:\n  scrape_interval: 500ms\n  scrape_timeout: 500ms\nscrape_configs:\n"
	for job, address := range targets {
		config += fmt.Sprintf("  - job_name: %s\n    static_configs:\n      - targets: [%q]\n", job, strings.TrimPrefix(address, "http://"))
	}
	file := filepath.Join(folder, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, address: freeAddress(t)}
	command := exec.Command(program, "--config.file="+file, "--storage.tsdb.path="+filepath.Join(folder, "data"), "--web.listen-address="+s.address)
	var log bytes.Buffer
	command.Stdout, command.Stderr = &log, &log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		_ = command.Process.Signal(syscall.SIGTERM)
		if err := <-ended; err != nil {
			t.Errorf("prometheus ended with %v\n%s", err, &log)
		}
	})
	return s
}

// programOf is the path of a Prometheus, from the script that sees to one. As for brokers, a test without one is skipped,
// and fails in CI.
func programOf(t *testing.T) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), "../scripts/prometheus.sh")
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		if ci, _ := strconv.ParseBool(os.Getenv("CI")); ci {
			t.Fatalf("%v: %s", err, &stderr)
		}
		t.Skipf("no Prometheus to test with: %s", strings.Join(strings.Fields(stderr.String()), " "))
	}
	return strings.TrimSpace(string(out))
}

// freeAddress is one on which nothing listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// query sends what KEDA's scaler prometheus sends, and returns the values of the result.
func (s *server) query(ctx context.Context, query string) (values []float64, err error) {
	address := fmt.Sprintf("http://%s/api/v1/query?query=%s&time=%s", s.address, url.QueryEscape(query), time.Now().UTC().Format(time.RFC3339))
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var answer struct {
		Status, Error string
		Data          struct {
			Result []struct{ Value [2]any }
		}
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return nil, err
	}
	if answer.Status != "success" {
		return nil, fmt.Errorf("query %s: %s", query, answer.Error)
	}
	for _, r := range answer.Data.Result {
		text, _ := r.Value[1].(string)
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, err
		}
		values = append(values, value)
	}
	return values, nil
}

// await asks until the one value of a query is as wanted.
func (s *server) await(query string, good func(value float64) bool) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		values, err := s.query(ctx, query)
		if err == nil && len(values) == 1 && good(values[0]) {
			return
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			s.t.Errorf("%s has the values %v, error %v", query, values, err)
			return
		}
	}
}
