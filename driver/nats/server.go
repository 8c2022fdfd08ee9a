package nats

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
)

// oldest is the oldest version that has scheduled messages, message TTLs and atomic
// batches (https://docs.nats.io/release-notes/whats_new/whats_new_212) and does not
// stop answering. Up to 2.12.1 a read of several messages takes the stream's lock
// twice (getDirectRequest and lastSeq in server/stream.go): if an acknowledgement
// comes in between, both wait for ever, and soon the whole server does.
var oldest = [3]int{2, 12, 3}

// silent is the error of an open that ends with its ctx.
func silent(err error) error {
	return faults.Refuse("open", "", driver.ErrUnavailable, err, "the server did not answer in time")
}

// check refuses a server on which the driver cannot keep its promises.
func (d *Driver) check(ctx context.Context) error {
	refuse := func(kind error, hint, format string, args ...any) error {
		return faults.Refuse("open", "", kind, fmt.Errorf(format, args...), hint)
	}
	nc := d.conn.nc()
	version := nc.ConnectedServerVersion()
	if version != "" && !atLeast(version, oldest) {
		return refuse(driver.ErrUnsupported, "upgrade the server: delays, retries and atomic enqueues need scheduled messages and atomic batches",
			"nats-server %s was found and %d.%d.%d is needed", version, oldest[0], oldest[1], oldest[2])
	}
	var account struct {
		API struct {
			Level int `json:"level"`
		} `json:"api"`
	}
	err := d.conn.callAPI(ctx, d.apiRoot+"INFO", nil, &account)
	hasJetStream, _ := nc.ConnectedServerJetStream()
	switch {
	case isUnanswered(err) && !hasJetStream:
		return refuse(driver.ErrUnsupported, "start the server with -js, or switch JetStream on for the account", "JetStream is off on nats-server %s", version)
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled):
		return silent(err)
	case err != nil:
		return fail("open", "", fault.NotSent{Err: err}) // the question stores nothing
	case account.API.Level < apiLevel:
		// The server that answers for JetStream need not be the one connected to.
		return refuse(driver.ErrUnsupported, "upgrade every server of the cluster",
			"the JetStream servers have API level %d and %d is needed, that of nats-server 2.12", account.API.Level, apiLevel)
	}
	payload := nc.MaxPayload()
	if payload < 2*headerSpace {
		return refuse(driver.ErrUnsupported, "raise max_payload of the server", "the server takes messages of %d bytes and %d are needed", payload, 2*headerSpace)
	}
	d.payload = int(payload)
	d.info = driver.Info{Driver: Name, Broker: "NATS", Version: version, Limits: limitsFor(payload)}
	if d.options.GroupCommit {
		// The larger the batch, the fewer the syncs.
		d.info.Limits.Publishers = 1
	}
	return nil
}

// apiLevel is the level of the JetStream API of nats-server 2.12
// (JSApiLevel in server/jetstream_versioning.go).
const apiLevel = 2

// atLeast compares the three numbers of a version.
func atLeast(version string, want [3]int) bool {
	version, _, _ = strings.Cut(strings.TrimPrefix(version, "v"), "-")
	parts := strings.Split(version, ".")
	if len(parts) != len(want) {
		return false
	}
	for i, part := range parts {
		n, err := strconv.Atoi(part)
		if err != nil || n < want[i] {
			return false
		}
		if n > want[i] {
			return true
		}
	}
	return true
}
