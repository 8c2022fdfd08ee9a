package browser_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/dash"
	_ "github.com/batch-go/batch/driver/memory"
	_ "github.com/batch-go/batch/driver/redis"
	"github.com/batch-go/batch/internal/brokers"
)

// prefix is the path below which the dashboard is served, as an application does.
const prefix = "/ops/batch"

// site is a dashboard that a browser can reach.
type site struct {
	t      *testing.T
	driver batch.Driver
	url    string      // ends in a slash
	away   atomic.Bool // the program that serves it is
}

// everything lets pages show and do all that there is.
func everything() dash.Config { return dash.Config{Authorizer: dash.AllowAll, ShowBodies: true} }

// viewing lets pages show some queues, without bodies, and do nothing.
func viewing(queues ...string) dash.Config { return dash.Config{Queues: queues} }

// serve serves the dashboard of a driver until the test ends. It asks the broker as often as it may.
func serve(t *testing.T, d batch.Driver, c dash.Config) *site {
	t.Helper()
	c.Interval, c.Logger = time.Second, slog.New(slog.NewTextHandler(io.Discard, nil))
	pages, err := dash.New(d, c)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, driver: d}
	application := http.NewServeMux()
	application.Handle(prefix+"/", http.StripPrefix(prefix, pages))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.away.Load() {
			http.Error(w, "no program serves this", http.StatusServiceUnavailable)
			return
		}
		application.ServeHTTP(w, r)
	}))
	s.url = server.URL + prefix + "/"
	t.Cleanup(func() {
		if err := pages.Close(); err != nil {
			t.Error(err)
		}
		server.Close()
	})
	return s
}

// connect opens a broker by its URL, until the test ends.
func connect(t *testing.T, url string) batch.Driver {
	t.Helper()
	d, err := batch.Open[batch.Driver](t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), bound)
		defer cancel()
		if err := d.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return d
}

// inMemory is a broker of the test's own, in this process.
func inMemory(t *testing.T) batch.Driver { return connect(t, "memory://"+t.Name()) }

// onRedis is a database of Redis that no other test uses.
func onRedis(t *testing.T, database int) batch.Driver {
	return connect(t, fmt.Sprintf("%s/%d", brokers.Redis(t, brokers.Redis8).URL(), database))
}

// depth is what a queue holds.
func depth(t *testing.T, d batch.Driver, queue string) batch.Depth {
	t.Helper()
	q, err := batch.Admin(d, queue)
	if err != nil {
		t.Fatal(err)
	}
	got, err := q.Depth(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return got
}
