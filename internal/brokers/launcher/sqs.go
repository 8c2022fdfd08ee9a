package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/testcontainers/testcontainers-go"

	"github.com/batch-go/batch/internal/brokers/launch"
)

// sqsData is where the server keeps its queues, inside the container.
const sqsData = "/data"

// startSQS starts a server in a container of its own.
func startSQS(ctx context.Context, e *engine, b launch.Broker) (*server, error) {
	return startAlone(ctx, e, b.Image, func(ctx context.Context, image string, port int) (*server, error) {
		s := &server{greet: greetSQS, Server: launch.Server{
			Protocol: launch.SQS, Image: image, Addr: hostPort(port), Version: b.Image.Version,
			Username: "test", Password: "test",
		}}
		exposed, bind := publish(map[int]int{port: port})
		return s, s.run(ctx, e, testcontainers.ContainerRequest{
			Cmd: b.Image.Command,
			Env: map[string]string{
				"FAUXQS_PORT":           strconv.Itoa(port), // the same on both sides, since it is part of queue URLs
				"FAUXQS_DEFAULT_REGION": launch.SQSRegion,
				"FAUXQS_LOGGER":         "false",
				"FAUXQS_DATA_DIR":       sqsData,
				"FAUXQS_PERSISTENCE":    strconv.FormatBool(b.Disk),
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
// name only, so the version is that which the image is known to have.
func greetSQS(ctx context.Context, s *launch.Server) (name, version string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL(), bytes.NewReader([]byte(`{"MaxResults":1}`)))
	if err != nil {
		return "", "", err
	}
	request.Header.Set("Content-Type", "application/x-amz-json-1.0")
	request.Header.Set("X-Amz-Target", "AmazonSQS.ListQueues")
	config, err := s.TLSConfig()
	if err != nil {
		return "", "", err
	}
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: config}
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
	if response.Header.Get("X-Amz-Id-2") != "fauxqs" || s.Version == "" {
		return "sqs", "of unknown version", nil
	}
	return "fauxqs", s.Version, nil
}
