package nats_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/batch-go/batch/internal/brokers"
)

func TestMain(m *testing.M) { brokers.Main(m) }

// bound is how long a test waits for what should come at once.
const bound = 15 * time.Second

// testServer is a server in the test's process that it can stop and start again.
type testServer struct {
	t       testing.TB
	options server.Options
	s       *server.Server
}

// startServer starts a server on a free port and a directory of the test's.
func startServer(t testing.TB, edit ...func(*server.Options)) *testServer {
	t.Helper()
	ts := &testServer{t: t, options: server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: filepath.Join(t.TempDir(), "js"), NoSigs: true, NoLog: true,
	}}
	for _, e := range edit {
		e(&ts.options)
	}
	ts.start()
	t.Cleanup(ts.stop)
	return ts
}

func (ts *testServer) start() {
	ts.t.Helper()
	options := ts.options
	s, err := server.NewServer(&options)
	if err != nil {
		ts.t.Fatal(err)
	}
	if os.Getenv("BATCH_TEST_NATS_LOG") != "" {
		s.ConfigureLogger()
	}
	s.Start()
	if !s.ReadyForConnections(bound) {
		ts.t.Fatal("the server is not ready for connections")
	}
	ts.s = s
	_, port, _ := netSplit(s.Addr().String())
	ts.options.Port = port // the same when it is started again
}

func (ts *testServer) stop() {
	ts.s.Shutdown()
	ts.s.WaitForShutdown()
}

func (ts *testServer) url() string { return fmt.Sprintf("nats://127.0.0.1:%d", ts.options.Port) }

func netSplit(addr string) (string, int, error) {
	var port int
	i := len(addr) - 1
	for i >= 0 && addr[i] != ':' {
		i--
	}
	_, err := fmt.Sscanf(addr[i+1:], "%d", &port)
	return addr[:i], port, err
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}
