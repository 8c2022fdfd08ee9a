package nats

import (
	"context"
	"encoding/json"
	"fmt"

	natsgo "github.com/nats-io/nats.go"
)

// callAPI makes one request of the JetStream API and reads the answer into answer,
// which may be nil.
func (c *connection) callAPI(ctx context.Context, subject string, request, answer any) error {
	var data []byte
	if request != nil {
		var err error
		if data, err = json.Marshal(request); err != nil {
			return err
		}
	}
	r, err := c.requests(1, subject)
	if err != nil {
		return err
	}
	if err := r.send(0, subject, nil, data); err != nil {
		_ = r.wait(ctx) // nothing was sent: it only ends the requests
		return err
	}
	if err := r.wait(ctx); err != nil {
		return err
	}
	return readAnswer(subject, r.answers[0], answer)
}

// callAPIMany makes requests of the API, some at a time, and gives their answers
// to read in order. An error of the connection ends it.
func (c *connection) callAPIMany(ctx context.Context, subject string, count int, request func(i int) ([]byte, error), read func(i int, m *natsgo.Msg) error) error {
	for from := 0; from < count; from += apiWindow {
		size := min(apiWindow, count-from)
		r, err := c.requests(size, subject)
		if err != nil {
			return err
		}
		for i := range size {
			data, err := request(from + i)
			if err == nil {
				err = r.send(i, subject, nil, data)
			}
			if err != nil {
				if i > 0 {
					err = errLost // those before may have left
				}
				r.fail(err)
				break
			}
		}
		broken := r.wait(ctx)
		for i, m := range r.answers {
			if m == nil || m == unsent {
				if broken == nil {
					broken = errDown
				}
				return broken
			}
			if err := read(from+i, m); err != nil {
				return err
			}
		}
	}
	return nil
}

// apiWindow is how many requests of the JetStream API are under way at once
// in one call. The server drops everything when 10 000 wait, from all clients.
const apiWindow = 200

// readAnswer reads the API's answer to a request into answer, which may be nil, or
// the error that it is.
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

// status is the code of an answer that has one, such as 503 or 404, or "".
func status(m *natsgo.Msg) string {
	if len(m.Header) == 0 || len(m.Data) > 0 {
		return ""
	}
	return m.Header.Get("Status")
}
