package nats

import (
	"context"
	"time"
)

// streamInfo is what the driver reads of a stream.
type streamInfo struct {
	Config struct {
		Subjects        []string      `json:"subjects"`
		Retention       string        `json:"retention"`
		Storage         string        `json:"storage"`
		MaxMsgs         int64         `json:"max_msgs"`
		MaxBytes        int64         `json:"max_bytes"`
		Replicas        int           `json:"num_replicas"`
		MaxAge          time.Duration `json:"max_age"`
		MaxPerSubject   int64         `json:"max_msgs_per_subject"`
		MaxMsgSize      int32         `json:"max_msg_size"`
		Sealed          bool          `json:"sealed"`
		DenyDelete      bool          `json:"deny_delete"`
		DenyPurge       bool          `json:"deny_purge"`
		NoAck           bool          `json:"no_ack"`
		AllowRollup     bool          `json:"allow_rollup_hdrs"`
		AllowDirect     bool          `json:"allow_direct"`
		AllowTTL        bool          `json:"allow_msg_ttl"`
		AllowAtomic     bool          `json:"allow_atomic"`
		AllowSchedules  bool          `json:"allow_msg_schedules"`
		Discard         string        `json:"discard"`
		Duplicates      time.Duration `json:"duplicate_window"`
		MarkerTTL       time.Duration `json:"subject_delete_marker_ttl"`
		PersistMode     string        `json:"persist_mode"`
		AllowCounter    bool          `json:"allow_msg_counter"`
		Transform       any           `json:"subject_transform"`
		Mirror, Sources any
	} `json:"config"`
	State struct {
		LastSeq  uint64            `json:"last_seq"`
		Subjects map[string]uint64 `json:"subjects"`
	} `json:"state"`
	// Cluster is what the server tells if it is part of one.
	Cluster *struct{} `json:"cluster"`
	Created time.Time `json:"created"`
	Total   int       `json:"total"`
	Time    time.Time `json:"ts"`
}

// consumerInfo is what the driver reads of a consumer.
type consumerInfo struct {
	Config struct {
		AckPolicy     string        `json:"ack_policy"`
		AckWait       time.Duration `json:"ack_wait"`
		MaxDeliver    int           `json:"max_deliver"`
		MaxAckPending int           `json:"max_ack_pending"`
		FilterSubject string        `json:"filter_subject"`
		DeliverTo     string        `json:"deliver_subject"`
		HeadersOnly   bool          `json:"headers_only"`
		BackOff       []int64       `json:"backoff"`
		FilterMany    []string      `json:"filter_subjects"`
		Replay        string        `json:"replay_policy"`
		Inactive      time.Duration `json:"inactive_threshold"`
		MemoryStorage bool          `json:"mem_storage"`
	} `json:"config"`
	// Cluster is what the server tells if it is part of one.
	Cluster   *struct{} `json:"cluster"`
	Delivered struct {
		Stream uint64 `json:"stream_seq"`
	} `json:"delivered"`
	NumAckPending int64     `json:"num_ack_pending"`
	NumPending    int64     `json:"num_pending"`
	NumWaiting    int       `json:"num_waiting"`
	Paused        bool      `json:"paused"`
	Time          time.Time `json:"ts"`
}

// serverTime is when the server answered, by its clock.
func (i *streamInfo) serverTime() time.Time { return i.Time }

// serverTime is when the server answered, by its clock.
func (i *consumerInfo) serverTime() time.Time { return i.Time }

// timed is an answer that carries the server's time.
type timed interface{ serverTime() time.Time }

// queryTimeout is after how long a query that nobody answered is repeated.
const queryTimeout = 500 * time.Millisecond

// query makes a request of the API that changes nothing. In a cluster nobody may
// answer it while the stream or its leader comes or goes, so it is asked again
// until ctx ends; everything else is asked once.
func (d *Driver) query(ctx context.Context, subject string, answer timed) error {
	for {
		once, cancel := context.WithTimeout(ctx, queryTimeout)
		asked := time.Now()
		err := d.conn.callAPI(once, subject, nil, answer)
		cancel()
		if err == nil {
			d.clock.observe(asked, answer.serverTime())
		}
		if err != context.DeadlineExceeded || ctx.Err() != nil {
			return err
		}
	}
}

// streamInfo asks for the stream of a queue.
func (d *Driver) streamInfo(ctx context.Context, n *names) (*streamInfo, error) {
	var info streamInfo
	if err := d.query(ctx, d.apiRoot+"STREAM.INFO."+n.stream, &info); err != nil {
		return nil, err
	}
	return &info, nil
}

// streamNames lists the streams that have messages of some subjects, sorted. The
// server gives at most 1024 in one answer (JSApiNamesLimit), from a place in their
// order on. If one before that place was made or deleted meanwhile, all are asked for
// again.
func (d *Driver) streamNames(ctx context.Context, filter string) ([]string, error) {
	var names []string
	for {
		// The last one again shows whether the others have moved.
		request := struct {
			Subject string `json:"subject"`
			Offset  int    `json:"offset"`
		}{filter, max(len(names)-1, 0)}
		var answer struct {
			Streams []string `json:"streams"`
			Total   int      `json:"total"`
		}
		if err := d.conn.callAPI(ctx, d.apiRoot+"STREAM.NAMES", request, &answer); err != nil {
			return nil, err
		}
		page := answer.Streams
		if len(names) > 0 {
			if len(page) == 0 || page[0] != names[len(names)-1] {
				names = nil
				continue
			}
			page = page[1:]
		}
		names = append(names, page...)
		if len(page) == 0 || len(names) >= answer.Total {
			return names, nil
		}
	}
}

// consumerInfo asks for a consumer of a queue. One that somebody removed is made again,
// if the queue is there.
func (d *Driver) consumerInfo(ctx context.Context, n *names, name string) (*consumerInfo, error) {
	var info consumerInfo
	err := d.query(ctx, d.apiRoot+"CONSUMER.INFO."+n.stream+"."+name, &info)
	if isCode(err, codeConsumerNotFound) {
		return d.createConsumer(ctx, n, n.consumer(name))
	}
	if err != nil {
		return nil, err
	}
	return &info, nil
}

// serverNow is the server's time, asking for it if it is not known of late.
func (d *Driver) serverNow(ctx context.Context, n *names) (time.Time, error) {
	if now, ok := d.clock.now(); ok {
		return now, nil
	}
	if _, err := d.streamInfo(ctx, n); err != nil {
		return time.Time{}, err
	}
	now, _ := d.clock.now()
	return now, nil
}

// whyUnanswered finds out why nobody took a message or pull: because the queue
// does not exist, or because its servers are not ready. Any other error stays as
// it is.
func (d *Driver) whyUnanswered(ctx context.Context, n *names, err error) error {
	if !isUnanswered(err) {
		return err
	}
	for look := range 6 {
		info, again := d.consumerInfo(ctx, n, consumerJobs)
		if isNoQueue(again) {
			return errNoQueue
		}
		if again != nil || info.Cluster == nil {
			return err
		}
		// The servers of a cluster learn of a deletion one after the other: the one
		// that answers may not know yet what the one that had the queue does.
		if d.conn.sleep(ctx, 20*time.Millisecond<<look) != nil {
			break
		}
	}
	return err
}

// clusterPoll is how long is waited between looks at something that the servers
// of a cluster have agreed on and not done yet.
const clusterPoll = 10 * time.Millisecond
