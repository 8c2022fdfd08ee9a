package main

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/batch-go/batch/internal/brokers"
)

// restart is a way in which a broker goes and comes back.
type restart struct {
	name string
	do   func() error
}

// restarts are the ways in which i can go and come back, the clean one first.
func restarts(ctx context.Context, i *brokers.Instance) []restart {
	return []restart{
		{"restart", func() error { return i.Restart(ctx) }},
		{"kill and start", func() error { return errors.Join(i.Kill(ctx), i.Start(ctx)) }},
	}
}

func TestRestartKeepsDataAndAddress(t *testing.T) {
	t.Parallel()
	i := brokers.NewRedis(t, brokers.Redis8)
	client := redisClient(t, i)
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	// With any other setting a slow disk makes a kill lose what was confirmed.
	if got, err := client.ConfigGet(ctx, "appendfsync").Result(); err != nil || got["appendfsync"] != "always" {
		t.Errorf("CONFIG GET appendfsync = %v, %v, want always", got, err)
	}
	for _, fault := range restarts(ctx, i) {
		if err := client.Set(ctx, "key", fault.name, 0).Err(); err != nil {
			t.Fatal(err)
		}
		if err := fault.do(); err != nil {
			t.Fatalf("%s: %v", fault.name, err)
		}
		got, err := client.Get(ctx, "key").Result()
		if err != nil || got != fault.name {
			t.Errorf("after %s: GET = %q, %v, want %q", fault.name, got, err, fault.name)
		}
	}
}

func TestKilledServerAnswersNobody(t *testing.T) {
	t.Parallel()
	i := brokers.NewRedis(t, brokers.Redis8)
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	if err := i.Kill(ctx); err != nil {
		t.Fatal(err)
	}
	if _, _, err := greetRedis(ctx, &i.Server); err == nil {
		t.Error("PING was answered after Kill returned")
	}
}

func TestPausedServerIsSilent(t *testing.T) {
	t.Parallel()
	i := brokers.NewRedis(t, brokers.Redis8)
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	c, err := dialRESP(ctx, &i.Server)
	if err != nil {
		t.Fatal(err)
	}
	if err := i.Pause(ctx); err != nil {
		t.Fatal(err)
	}
	short, cancelShort := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancelShort()
	if reply, err := c.do(short, "PING"); err == nil {
		t.Errorf("PING on a frozen server = %q, want a timeout", reply)
	}
	if err := c.close(); err != nil {
		t.Error(err)
	}
	if err := i.Unpause(ctx); err != nil {
		t.Fatal(err)
	}
	if _, _, err := greetRedis(ctx, &i.Server); err != nil {
		t.Errorf("after Unpause: %v", err)
	}
}
