package nats

import (
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
	Cluster *struct {
		Leader string `json:"leader"`
	} `json:"cluster"`
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

// pending is how many messages were not handed out: a count below zero is none.
func (i *consumerInfo) pending() int64 { return max(i.NumPending, 0) }

// serverTime is when the server answered, by its clock.
func (i *consumerInfo) serverTime() time.Time { return i.Time }
