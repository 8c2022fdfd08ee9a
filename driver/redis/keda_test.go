package redis

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/health"
	"github.com/batch-go/batch/internal/brokers"
	"github.com/batch-go/batch/internal/keda"
)

// kedaCount sends what the scalers redis-streams and redis of KEDA send for the triggers of docs/deploy.md, and returns the
// sum: without a consumer group XLEN, and for a key of any type a script that asks for the type and then for the length.
func kedaCount(ctx context.Context, c goredis.UniversalClient, triggers []keda.Trigger) (sum int64, err error) {
	for _, trigger := range triggers {
		var n int64
		switch m := trigger.Metadata; trigger.Type {
		case "redis-streams":
			if m["consumerGroup"] != "" {
				return 0, fmt.Errorf("the trigger %s has a consumer group, and would not ask for the length", trigger.Name)
			}
			n, err = c.XLen(ctx, m["stream"]).Result()
		case "redis":
			if kind, failed := c.Type(ctx, m["listName"]).Result(); failed != nil || kind != "zset" {
				return 0, fmt.Errorf("%s is of type %q, %w", m["listName"], kind, failed)
			}
			n, err = c.ZCard(ctx, m["listName"]).Result()
		default:
			err = fmt.Errorf("no request is known for the trigger %s", trigger.Type)
		}
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// TestKEDA sends what KEDA sends for the triggers of docs/deploy.md. With the formula there the answers are what waits, what
// runs and what is scheduled.
func TestKEDA(t *testing.T) {
	for _, version := range brokers.RedisVersions() {
		t.Run(string(version), func(t *testing.T) {
			t.Parallel()
			address := brokers.Redis(t, version).URL()
			d := openAt(t, address)
			q := queue(t, d)
			c := goredis.NewClient(&goredis.Options{Addr: brokers.Redis(t, version).Addr})
			defer c.Close()
			ctx := testContext(t)
			blocks, err := keda.Triggers("Redis", q)
			if err != nil {
				t.Fatal(err)
			}
			leave, err := keda.Scene(ctx, d, q)
			if err != nil {
				t.Fatal(err)
			}
			n, err := kedaCount(ctx, c, blocks[0])
			if depth := depthOf(t, d, q); err != nil || n != 7 || n != depth.Waiting+depth.Running+depth.Scheduled {
				t.Errorf("KEDA counts %d, %v, and batch %+v", n, err, depth)
			}
			if load, err := keda.Load(d, q); err != nil || *load.Demand != 6 || *load.Backlog != 4 {
				t.Errorf("health tells %+v, %v", load, err)
			}
			// What is given back is in the second stream of the level.
			if err := leave(ctx); err != nil {
				t.Fatal(err)
			}
			if n, err := kedaCount(ctx, c, blocks[0]); err != nil || n != 7 {
				t.Errorf("KEDA counts %d, %v, after two jobs were given back", n, err)
			}
			if n, err := c.XLen(ctx, blocks[0][1].Metadata["stream"]).Result(); err != nil || n != 2 {
				t.Errorf("the second stream has %d, %v", n, err)
			}
		})
	}
}

// TestScaleOfAFrozenServer has package health answer in its time, with what it does not know as null, while a real server does
// not answer, and as before when it does.
func TestScaleOfAFrozenServer(t *testing.T) {
	server := brokers.NewRedis(t, brokers.Redis8)
	d := openAt(t, server.URL())
	q := queue(t, d)
	scale := health.Scale(d, health.ScaleConfig{Queues: []string{q}, Timeout: 200 * time.Millisecond, CacheFor: time.Millisecond})
	ask := func(context.Context) (int64, error) {
		answer := httptest.NewRecorder()
		scale.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/", nil))
		if null := strings.Contains(answer.Body.String(), `"backlog":null`); null != (answer.Code != http.StatusOK) {
			t.Errorf("%d %s", answer.Code, answer.Body)
		}
		return int64(answer.Code), nil
	}
	ctx := testContext(t)
	if err := keda.Await(ctx, http.StatusOK, ask); err != nil {
		t.Fatal(err)
	}
	thaw, err := server.Freezer(t)(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if status, _ := ask(ctx); status != http.StatusServiceUnavailable {
			t.Errorf("the status is %d while the server is frozen", status)
		}
	}
	thaw()
	if err := keda.Await(ctx, http.StatusOK, ask); err != nil {
		t.Error(err)
	}
}

func depthOf(t *testing.T, d driver.Driver, queue string) driver.Depth {
	t.Helper()
	depth, err := d.Depth(testContext(t), queue)
	if err != nil {
		t.Fatal(err)
	}
	return depth
}

// TestLagAfterADeletion shows the trap that docs/deploy.md warns of: the number that KEDA's lagCount reads is -1 while jobs
// wait.
func TestLagAfterADeletion(t *testing.T) {
	d := open(t)
	q := queue(t, d)
	ctx := testContext(t)
	c := goredis.NewClient(&goredis.Options{Addr: brokers.Redis(t, brokers.Redis8).Addr})
	defer c.Close()
	leave, err := keda.Scene(ctx, d, q)
	if err != nil {
		t.Fatal(err)
	}
	defer leave(ctx)
	lag := func() int64 {
		groups, err := c.XInfoGroups(ctx, d.names(q).prefix+"normal").Result()
		if err != nil || len(groups) != 1 {
			t.Fatalf("groups %+v, %v", groups, err)
		}
		return groups[0].Lag
	}
	if n := lag(); n != 4 {
		t.Errorf("the lag is %d, want 4", n)
	}
	if err := d.Delete(ctx, q, "ready-4"); err != nil {
		t.Fatal(err)
	}
	if depth := depthOf(t, d, q); depth.Waiting != 3 || lag() != -1 {
		t.Errorf("after a deletion the lag is %d, and batch counts %+v", lag(), depth)
	}
}
