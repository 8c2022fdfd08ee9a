package nats

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/batch-go/batch/driver"
)

var _ driver.Examiner = (*Driver)(nil)

// nearlyFull is the share of a bound, in percent, from which on somebody should know.
const nearlyFull = 90

// accountInfo is what the driver reads of the account for an Examine.
// https://docs.nats.io/reference/reference-protocols/nats_api_reference#general-info
type accountInfo struct {
	Storage int64 `json:"storage"`
	Streams int64 `json:"streams"`
	Limits  struct {
		MaxStorage int64 `json:"max_storage"`
		MaxStreams int64 `json:"max_streams"`
	} `json:"limits"`
}

// replicaInfo is what the driver reads of a stream for an Examine.
type replicaInfo struct {
	Config struct {
		Replicas int `json:"num_replicas"`
	} `json:"config"`
	Cluster *struct {
		Leader   string `json:"leader"`
		Replicas []struct {
			Name    string `json:"name"`
			Current bool   `json:"current"`
			Offline bool   `json:"offline"`
		} `json:"replicas"`
	} `json:"cluster"`
	Time time.Time `json:"ts"`
}

// serverTime is when the server answered, by its clock.
func (i *replicaInfo) serverTime() time.Time { return i.Time }

// Examine looks at what the account may store, and at the replicas of each queue. How often
// the server syncs its files is in its monitoring alone, which is no part of a connection.
func (d *Driver) Examine(ctx context.Context) ([]driver.Finding, error) {
	const op = "examine"
	if err := d.life.Begin(ctx); err != nil {
		return nil, fail(op, "", err)
	}
	defer d.life.End()
	var account accountInfo
	if err := d.conn.callAPI(ctx, d.apiRoot+"INFO", nil, &account); err != nil {
		return nil, fail(op, "", err)
	}
	all := []driver.Finding{
		room("storage", account.Storage, account.Limits.MaxStorage, "bytes", "raise the account's max_file, or let workers catch up: jobs are refused when it is full"),
		room("streams", account.Streams, account.Limits.MaxStreams, "streams", "raise the account's max_streams: each queue is a stream"),
	}
	queues, err := d.ListQueues(ctx)
	if err != nil {
		return all, err
	}
	found, err := d.replication(ctx, queues)
	return append(all, found...), fail(op, "", err)
}

// finding makes one.
func finding(subject string, grade driver.Grade, remedy, format string, args ...any) driver.Finding {
	return driver.Finding{Subject: subject, Grade: grade, Detail: fmt.Sprintf(format, args...), Remedy: remedy}
}

// room is how much of a bound is used. A bound below zero, or zero, is none.
func room(subject string, used, most int64, what, remedy string) driver.Finding {
	switch {
	case most <= 0:
		return finding(subject, driver.GradeOK, "", "used: %d %s, and the account has no bound", used, what)
	case float64(used) >= float64(most)/100*nearlyFull:
		return finding(subject, driver.GradeWarn, remedy, "used: %d of %d %s of the account", used, most, what)
	}
	return finding(subject, driver.GradeOK, "", "used: %d of %d %s of the account", used, most, what)
}

// replication looks at the replicas of queues: whether there are any, and whether they are
// there. All that are as they should be are one finding.
func (d *Driver) replication(ctx context.Context, queues []string) ([]driver.Finding, error) {
	const subject = "replication"
	if d.conn.nc().ConnectedClusterName() == "" {
		return []driver.Finding{finding(subject, driver.GradeOK, "", "a single server: its disk has the only copy of the jobs")}, nil
	}
	var found []driver.Finding
	for _, queue := range queues {
		n := d.names(queue)
		var info replicaInfo
		err := d.query(ctx, d.apiRoot+"STREAM.INFO."+n.stream, &info)
		if isCode(err, codeStreamNotFound) {
			continue // it was deleted meanwhile
		}
		if err != nil {
			return found, err
		}
		if f, ok := info.finding(queue, n.stream); ok {
			found = append(found, f)
		}
	}
	if len(found) == 0 {
		found = append(found, finding(subject, driver.GradeOK, "", "each of the %d queues has its replicas", len(queues)))
	}
	return found, nil
}

// finding is what is wrong with the replicas of a queue's stream, if anything is.
func (i *replicaInfo) finding(queue, stream string) (driver.Finding, bool) {
	const subject = "replication"
	if i.Config.Replicas < 2 {
		return finding(subject, driver.GradeWarn, "nats stream edit "+stream+" --replicas 3",
			"queue %s has one replica on a cluster: while its server is away, it takes and hands out no jobs", queue), true
	}
	if i.Cluster == nil {
		return driver.Finding{}, false
	}
	var away []string
	for _, r := range i.Cluster.Replicas {
		if r.Offline || !r.Current {
			away = append(away, r.Name)
		}
	}
	switch {
	case i.Cluster.Leader == "":
		return finding(subject, driver.GradeFail, "start the servers of the cluster that are away", "queue %s has no leader, and takes and hands out no jobs", queue), true
	case len(away) > 0:
		return finding(subject, driver.GradeWarn, "start the servers, or wait until they have caught up",
			"queue %s has replicas that are away or behind: %s", queue, strings.Join(away, ", ")), true
	}
	return driver.Finding{}, false
}
