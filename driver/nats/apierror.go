package nats

import (
	"errors"
	"fmt"
	"slices"
)

// apiError is an error as the server's JetStream API answers it. The codes are
// listed in server/errors.json of nats-server.
type apiError struct {
	Code        int    `json:"code"`
	ErrCode     int    `json:"err_code"`
	Description string `json:"description"`
}

// Error is the server's text with its code.
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

// isCode tells an error of the JetStream API with one of these codes.
func isCode(err error, codes ...int) bool {
	api, is := errors.AsType[*apiError](err)
	return is && slices.Contains(codes, api.ErrCode)
}

// noResponders is the answer of a server for a subject that nobody listens to.
type noResponders struct{ subject string }

// Error names the subject.
func (e *noResponders) Error() string { return "nobody answers on " + e.subject }
