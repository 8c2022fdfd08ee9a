package health_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/health"
	"github.com/batch-go/batch/internal/keda"
)

// metricsAPI does what the scaler metrics-api of KEDA does with an answer: it wants the status 200, and a number where
// valueLocation points to.
func metricsAPI(h http.Handler, trigger keda.Trigger) (float64, error) {
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, trigger.Metadata["url"], nil))
	if answer.Code != http.StatusOK {
		return 0, fmt.Errorf("the status is %d", answer.Code)
	}
	var at any
	if err := json.Unmarshal(answer.Body.Bytes(), &at); err != nil {
		return 0, err
	}
	for _, key := range strings.Split(trigger.Metadata["valueLocation"], ".") {
		object, _ := at.(map[string]any)
		at = object[key]
	}
	n, is := at.(float64)
	if !is {
		return 0, fmt.Errorf("there is no number but %v", at)
	}
	return n, nil
}

// TestKEDA reads the answer as KEDA does, with the trigger of docs/deploy.md.
func TestKEDA(t *testing.T) {
	d := memory.New()
	blocks, err := keda.Triggers("Any broker, by the health package", "my-mails_2")
	if err != nil {
		t.Fatal(err)
	}
	trigger := blocks[0][0]
	if trigger.Type != "metrics-api" || trigger.Metadata["format"] != "json" {
		t.Fatalf("the trigger is %+v", trigger)
	}
	leave, err := keda.Scene(t.Context(), d, "my-mails_2")
	if err != nil {
		t.Fatal(err)
	}
	scale := func(d driver.Driver) http.Handler {
		return health.Scale(d, health.ScaleConfig{Queues: []string{"my-mails_2"}})
	}
	if n, err := metricsAPI(scale(d), trigger); err != nil || n != 6 {
		t.Errorf("KEDA reads %v, %v, want 6", n, err)
	}
	if err := leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	// What is unknown, and a broker that does not answer, are errors, and not zero.
	for name, d := range map[string]driver.Driver{
		"unknown":   &telling{depths: map[string]driver.Depth{"my-mails_2": {Running: driver.UnknownCount}}},
		"no answer": &telling{},
	} {
		if n, err := metricsAPI(scale(d), trigger); err == nil {
			t.Errorf("%s: KEDA reads %v", name, n)
		}
	}
}
