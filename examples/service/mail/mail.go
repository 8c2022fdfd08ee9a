// Package mail sends mails by the HTTP API of a provider.
package mail

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"time"
)

// Mail is a mail.
type Mail struct {
	// Key is the same each time that the same mail is sent, so that the provider can tell a retry from a second mail.
	Key string `json:"-"`
	// To is the receiver, and Template what the mail says.
	To       string `json:"to"`
	Template string `json:"template"`
}

// Sender sends mails. An error of the provider is a *Refused.
type Sender interface {
	Send(ctx context.Context, m Mail) error
}

// Refused is an answer of the provider other than yes.
type Refused struct {
	// Status is that of HTTP.
	Status int
	// RetryAfter is when the provider wants to be asked again, zero if it does not say in how many
	// seconds.
	RetryAfter time.Duration
}

// Error says what the provider has answered.
func (e *Refused) Error() string {
	return fmt.Sprintf("mail: the provider answers %d %s", e.Status, http.StatusText(e.Status))
}

// Forever tells whether the same mail would be refused again.
func (e *Refused) Forever() bool {
	return e.Status >= 400 && e.Status < 500 && e.Status != http.StatusRequestTimeout && e.Status != http.StatusTooManyRequests
}

// Provider posts mails to a URL.
type Provider struct {
	URL    string
	Client *http.Client
}

// Send implements Sender.
func (p *Provider) Send(ctx context.Context, m Mail) error {
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", m.Key)
	answer, err := p.Client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 1<<16)) // the connection is used again
	if answer.StatusCode < 300 {
		return nil
	}
	seconds, _ := strconv.Atoi(answer.Header.Get("Retry-After"))
	return &Refused{Status: answer.StatusCode, RetryAfter: time.Duration(max(seconds, 0)) * time.Second}
}

// Log writes mails to a log, where there is no provider.
type Log struct{ To *slog.Logger }

// Send implements Sender.
func (l Log) Send(ctx context.Context, m Mail) error {
	l.To.InfoContext(ctx, "mail sent", "to", m.To, "template", m.Template)
	return nil
}
