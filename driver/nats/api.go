package nats

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	natsgo "github.com/nats-io/nats.go"
)

// apiError is an error as the server's JetStream API answers it. The codes are
// listed in server/errors.json of nats-server.
type apiError struct {
	Code        int    `json:"code"`
	ErrCode     int    `json:"err_code"`
	Description string `json:"description"`
}

func (e *apiError) Error() string {
	return fmt.Sprintf("%s (error %d)", e.Description, e.ErrCode)
}

// The codes that the driver tells apart.
const (
	codeNoPeers           = 10005
	codeConsumerNotFound  = 10014
	codeMessageNotFound   = 10037
	codeSequenceNotFound  = 10043
	codeMsgDeleteFailed   = 10057
	codeStreamExists      = 10058
	codeStreamNotFound    = 10059
	codeWrongLastSequence = 10071
	codeReplicasNeedMore  = 10074
	codeConsumerExists    = 10148
	codeConflictInFlight  = 10164
	codeTooManyBatches    = 10210
)

// noResponders is the answer of a server for a subject that nobody listens to.
type noResponders struct{ subject string }

func (e *noResponders) Error() string { return "nobody answers on " + e.subject }

// status is the code of an answer that has one, such as 503 or 404, or "".
func status(m *natsgo.Msg) string {
	if len(m.Header) == 0 || len(m.Data) > 0 {
		return ""
	}
	return m.Header.Get("Status")
}

// api makes one request of the JetStream API and reads the answer into answer,
// which may be nil.
func (l *link) api(ctx context.Context, subject string, request, answer any) error {
	var data []byte
	if request != nil {
		var err error
		if data, err = json.Marshal(request); err != nil {
			return err
		}
	}
	f, err := l.fly(1, subject)
	if err != nil {
		return err
	}
	if err := f.ask(0, subject, nil, data); err != nil {
		_ = f.wait(ctx)
		return err
	}
	if err := f.wait(ctx); err != nil {
		return err
	}
	return readAnswer(subject, f.answers[0], answer)
}

func readAnswer(subject string, m *natsgo.Msg, answer any) error {
	if status(m) == "503" {
		return &noResponders{subject}
	}
	var e struct {
		Error *apiError `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &e); err != nil {
		return fmt.Errorf("%w on %s: %w", errAnswer, subject, err)
	}
	if e.Error != nil {
		return e.Error
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(m.Data, answer); err != nil {
		return fmt.Errorf("%w on %s: %w", errAnswer, subject, err)
	}
	return nil
}

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
	} `json:"config"`
	// Cluster is what the server tells if it is part of one.
	Cluster   *struct{} `json:"cluster"`
	Delivered struct {
		Stream uint64 `json:"stream_seq"`
	} `json:"delivered"`
	NumAckPending int64     `json:"num_ack_pending"`
	NumPending    int64     `json:"num_pending"`
	Paused        bool      `json:"paused"`
	Time          time.Time `json:"ts"`
}

// stored is a message as the API returns it.
type stored struct {
	Subject string    `json:"subject"`
	Seq     uint64    `json:"seq"`
	Header  []byte    `json:"hdrs"`
	Data    []byte    `json:"data"`
	Time    time.Time `json:"time"`
}

type getRequest struct {
	Seq      uint64 `json:"seq,omitempty"`
	Last     string `json:"last_by_subj,omitempty"`
	Next     string `json:"next_by_subj,omitempty"`
	Batch    int    `json:"batch,omitempty"`
	MaxBytes int    `json:"max_bytes,omitempty"`
}

// parseInt reads a number that must have nothing else around it.
func parseInt(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) }
