package move

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strconv"

	"github.com/batch-go/batch"
)

// importKey is the key of a job that moves: the same whenever it is moved, by whichever mover,
// and another one for each other job. It is made of what no move changes, so that a queue can
// forget it when the job goes on. The history is no part of it: between the death of one mover
// and the next a scheduled job becomes due, and may fail once more. A dead letter has another one,
// so that it is not taken for a job of the same ID that waits.
func importKey(e *batch.Entry, dead bool) string {
	h := sha256.New()
	for _, s := range []string{strconv.FormatBool(dead), e.ID, e.Kind, e.ContentType, strconv.FormatInt(e.EnqueuedAt.UnixMilli(), 10), string(e.Body)} {
		var length [8]byte // so that no two rows of texts are the same bytes
		binary.BigEndian.PutUint64(length[:], uint64(len(s)))
		_, _ = h.Write(length[:]) // a hash never fails
		_, _ = h.Write([]byte(s))
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}
