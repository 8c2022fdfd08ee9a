package doctor

import (
	"context"
	"time"

	"github.com/batch-go/batch/driver"
)

// jetStream is what the monitoring of NATS says of JetStream.
// https://docs.nats.io/running-a-nats-service/nats_admin/monitoring#jetstream-information
type jetStream struct {
	Disabled bool   `json:"disabled"`
	Storage  uint64 `json:"storage"`
	Config   struct {
		MaxStorage   uint64        `json:"max_storage"`
		SyncInterval time.Duration `json:"sync_interval"`
		SyncAlways   bool          `json:"sync_always"`
	} `json:"config"`
	Meta *struct {
		Leader   string `json:"leader"`
		Size     int    `json:"cluster_size"`
		Replicas []struct {
			Name    string `json:"name"`
			Offline bool   `json:"offline"`
		} `json:"replicas"`
	} `json:"meta_cluster"`
}

// nearlyFull is the share of a bound, in percent, from which on somebody should know.
const nearlyFull = 90

// nats looks at how often the server syncs its files, and at its disk, by its monitoring.
func (x *examination) nats(ctx context.Context, s *source) {
	ctx, cancel := x.within(ctx)
	defer cancel()
	var js jetStream
	s.user = nil // it asks for none
	if err := s.get(ctx, "/jsz?config=true", &js); err != nil {
		x.silent(s, "how often the server syncs to its disk is not known, as clients are not told and its monitoring does not answer",
			"start the server with http_port: 8222, and say --monitoring http://host:8222", err)
		return
	}
	x.sync(&js)
	x.disk(&js)
	if js.Meta == nil {
		return
	}
	for _, r := range js.Meta.Replicas {
		if r.Offline {
			x.found("nodes", driver.GradeWarn, "start it", "server %s of the cluster is away", r.Name)
		}
	}
}

// sync is what a machine takes with it when it dies.
func (x *examination) sync(js *jetStream) {
	const subject = "sync"
	switch {
	case js.Config.SyncAlways:
		x.ok(subject, "sync_interval: always: no confirmed job is lost with the machine")
	case js.Meta != nil && js.Meta.Size > 2:
		x.ok(subject, "files are synced every %s, and a queue with three replicas is on other machines too", js.Config.SyncInterval)
	default:
		x.found(subject, driver.GradeWarn, "set sync_interval: always, or run a cluster of three, if no job may be lost with the machine",
			"files are synced every %s, on a single server: a machine that dies takes the jobs since with it", js.Config.SyncInterval)
	}
}

// disk is how much JetStream may store.
func (x *examination) disk(js *jetStream) {
	const subject = "disk"
	if js.Config.MaxStorage == 0 {
		x.found(subject, driver.GradeUnknown, "look at max_file_store in the server's configuration", "the server does not tell how much it may store")
		return
	}
	share := int(float64(js.Storage) / float64(js.Config.MaxStorage) * 100)
	if share >= nearlyFull {
		x.found(subject, driver.GradeWarn, "raise max_file_store, or let workers catch up: jobs are refused when it is full", "%d%% of the server's storage is used", share)
		return
	}
	x.ok(subject, "%d%% of the server's storage is used", share)
}
