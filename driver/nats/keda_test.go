package nats_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/batch-go/batch/internal/brokers"
	"github.com/batch-go/batch/internal/keda"
)

// kedaCount sends what the scaler nats-jetstream of KEDA sends to a server's monitoring port: what is pending of the
// consumer, and what is to be acknowledged.
func kedaCount(ctx context.Context, address string, trigger keda.Trigger) (int64, error) {
	m := trigger.Metadata
	query := url.Values{"acc": {m["account"]}, "consumers": {"true"}, "config": {"true"}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/jsz?"+query.Encode(), nil)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	var answer struct {
		Accounts []struct {
			Name    string
			Streams []struct {
				Name      string
				Consumers []struct {
					Name          string
					NumPending    int64 `json:"num_pending"`
					NumAckPending int64 `json:"num_ack_pending"`
				} `json:"consumer_detail"`
			} `json:"stream_detail"`
		} `json:"account_details"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return 0, err
	}
	for _, account := range answer.Accounts {
		for _, stream := range account.Streams {
			for _, consumer := range stream.Consumers {
				if account.Name == m["account"] && stream.Name == m["stream"] && consumer.Name == m["consumer"] {
					return consumer.NumPending + consumer.NumAckPending, nil
				}
			}
		}
	}
	return 0, fmt.Errorf("there is no consumer %s of stream %s in account %s", m["consumer"], m["stream"], m["account"])
}

// TestKEDA sends what KEDA sends for the trigger of docs/deploy.md. The answer is the demand that package health tells.
func TestKEDA(t *testing.T) {
	broker := brokers.NewNATSMonitored(t, brokers.NATS2)
	d := openURL(t, broker.URL())
	q := declare(t, d)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	blocks, err := keda.Triggers("NATS JetStream", q)
	if err != nil {
		t.Fatal(err)
	}
	if blocks[0][0].Type != "nats-jetstream" {
		t.Fatalf("the trigger is %+v", blocks[0][0])
	}
	leave, err := keda.Scene(testContext(t), d, q)
	if err != nil {
		t.Fatal(err)
	}
	expect := func(want int64) {
		t.Helper()
		if n, err := kedaCount(testContext(t), broker.HTTP, blocks[0][0]); err != nil || n != want {
			t.Errorf("KEDA counts %d, %v, want %d", n, err, want)
		}
		if load, err := keda.Load(d, q); err != nil || *load.Demand != want {
			t.Errorf("health tells %+v, %v, want a demand of %d", load, err, want)
		}
	}
	expect(6) // the delayed one is not due
	if err := keda.Put(testContext(t), d, q, keda.Message("one-more", 0)); err != nil {
		t.Fatal(err)
	}
	expect(7)
	if err := leave(testContext(t)); err != nil {
		t.Fatal(err)
	}
}
