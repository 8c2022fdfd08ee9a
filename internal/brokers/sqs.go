package brokers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"testing"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/testcontainers/testcontainers-go"
)

// SQSRegion is the region that requests to an instance of [SQS] are signed for.
const SQSRegion = "us-east-1"

// sqsData is where the server keeps its queues, inside the container.
const sqsData = "/data"

var sqsProtocol = protocol{scheme: "http", secure: "https", userless: true, greet: greetSQS}

// SQS returns an SQS server that all tests of the binary share, with its queues in memory: fauxqs 2.4.1
// on disk fails every ChangeMessageVisibility to zero, because updateMessageReady in persistence.js
// stores a null for approximate_receive_count, which the table refuses. Its URL is the endpoint; Username and Password are an access key's id and secret, which the server does not check.
// The URLs of queues name a host that need not resolve: requests go to the endpoint. With
// BATCH_TEST_SQS_URL set, SQS returns that server, with the key from the URL.
func SQS(t testing.TB) *Instance {
	t.Helper()
	return share(t, "sqs", func(e *engine) (*Instance, error) { return startSQS(e, false) }, func() (*Instance, error) {
		i, err := given("sqs", "80", sqsProtocol)
		if i != nil && i.Username == "" {
			i.Username, i.Password = "test", "test"
		}
		return i, err
	})
}

// NewSQS starts a server for this test alone, with its queues on disk, and removes it when the test ends. BATCH_TEST_SQS_URL does
// not count here.
func NewSQS(t testing.TB) *Instance {
	t.Helper()
	return own(t, func(e *engine) (*Instance, error) { return startSQS(e, true) })
}

// startSQS starts a server in a container of its own.
func startSQS(e *engine, disk bool) (*Instance, error) {
	return start(e, FauxSQS, func(ctx context.Context, r row, image string, port int) (*Instance, error) {
		i := &Instance{
			Image: image, Addr: hostPort(port), protocol: sqsProtocol,
			Username: "test", Password: "test",
		}
		exposed, bind := publish(map[int]int{port: port})
		return i, i.run(ctx, e, testcontainers.ContainerRequest{
			Cmd: r.command,
			Env: map[string]string{
				"FAUXQS_PORT":           strconv.Itoa(port), // the same on both sides, since it is part of queue URLs
				"FAUXQS_DEFAULT_REGION": SQSRegion,
				"FAUXQS_LOGGER":         "false",
				"FAUXQS_DATA_DIR":       sqsData,
				"FAUXQS_PERSISTENCE":    strconv.FormatBool(disk),
			},
			ExposedPorts: exposed,
			HostConfigModifier: func(host *container.HostConfig) {
				bind(host)
				// The official image keeps nothing unless a volume is mounted. This one goes with the container.
				host.Mounts = append(host.Mounts, mount.Mount{Type: mount.TypeVolume, Target: sqsData})
			},
		})
	})
}

// greetSQS lists queues. Requests to the servers that tests use need no signature. The server tells its
// name only, so the version is that of the lock file, which is also that of the official image.
func greetSQS(ctx context.Context, i *Instance) (name, version string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, i.URL(), bytes.NewReader([]byte(`{"MaxResults":1}`)))
	if err != nil {
		return "", "", err
	}
	request.Header.Set("Content-Type", "application/x-amz-json-1.0")
	request.Header.Set("X-Amz-Target", "AmazonSQS.ListQueues")
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: i.TLS}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return "", "", err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	const enough = 1 << 16
	if _, err := io.Copy(io.Discard, io.LimitReader(response.Body, enough)); err != nil {
		return "", "", err
	}
	if response.StatusCode != http.StatusOK {
		return "", "", fmt.Errorf("ListQueues: %s", response.Status)
	}
	other := i.Image == "" || os.Getenv(row{family: "sqs"}.override("IMAGE")) != ""
	if response.Header.Get("X-Amz-Id-2") != "fauxqs" || other {
		return "sqs", "of unknown version", nil
	}
	version, err = lockedVersion("fauxqs")
	return "fauxqs", version, err
}

// lockedVersion returns the version of the npm package that a folder is named after.
func lockedVersion(folder string) (string, error) {
	text, err := npmText.ReadFile(folder + "/package-lock.json")
	if err != nil {
		return "", err
	}
	var lock struct {
		Packages map[string]struct{ Version string }
	}
	if err := json.Unmarshal(text, &lock); err != nil {
		return "", fmt.Errorf("%s/package-lock.json: %w", folder, err)
	}
	version := lock.Packages["node_modules/"+folder].Version
	if version == "" {
		return "", fmt.Errorf("%s/package-lock.json has no package %s", folder, folder)
	}
	return version, nil
}
