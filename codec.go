package batch

import (
	"encoding/json"
	"fmt"
)

// Codec turns args into a job's body and back. The content type is stored with
// the job, and a worker picks the codec by it, so you can change the codec while
// jobs of the old one are still stored. Methods are called concurrently.
type Codec interface {
	// ContentType is the MIME type of what Encode makes, 1 to 128 bytes of
	// printable ASCII. It must never change.
	ContentType() string
	// Encode returns the encoded args. The slice must not be modified
	// afterwards.
	Encode(args any) ([]byte, error)
	// Decode fills the value that args points to. It must not keep or modify
	// body.
	Decode(body []byte, args any) error
}

// encodeArgs runs the codec, and turns a panic into an error.
func encodeArgs(codec Codec, args Args) (body []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			body, err = nil, newPanicError(fmt.Sprintf("the codec, of type %T", codec), r)
		}
	}()
	return codec.Encode(args)
}

// JSON is the default codec: encoding/json, content type application/json.
type JSON struct{}

// ContentType is application/json.
func (JSON) ContentType() string { return "application/json" }

// Encode is json.Marshal.
func (JSON) Encode(args any) ([]byte, error) { return json.Marshal(args) }

// Decode is json.Unmarshal. It ignores fields that args does not have, so an
// older worker can run what a newer producer enqueued.
func (JSON) Decode(body []byte, args any) error { return json.Unmarshal(body, args) }
