package payments

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// Client asks a provider.
type Client struct {
	// URL is where the provider is.
	URL string
	// HTTP makes the requests.
	HTTP *http.Client
}

// Refused is a charge that the provider will not make, however often it is asked.
type Refused struct {
	Status int
}

// Error says what the provider answered.
func (e *Refused) Error() string {
	return fmt.Sprintf("the charge was refused with status %d", e.Status)
}

// Charge takes money, once for each key. The error is a *Refused if it was not taken and never will be. After any other it
// may have been taken: the answer to the same key tells.
func (c *Client) Charge(ctx context.Context, key string, order, cents int64) (Charge, error) {
	body, err := json.Marshal(Charge{Order: order, Cents: cents})
	if err != nil {
		return Charge{}, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL+"/charges", bytes.NewReader(body))
	if err != nil {
		return Charge{}, err
	}
	r.Header.Set("Idempotency-Key", key)
	answer, err := c.HTTP.Do(r)
	if err != nil {
		return Charge{}, err
	}
	defer answer.Body.Close()
	switch status := answer.StatusCode; {
	case status == http.StatusOK:
	// Only what is about this charge. A key that was rotated, or a wrong URL, is about all of them, and is mended.
	case status == http.StatusPaymentRequired || status == http.StatusUnprocessableEntity:
		return Charge{}, &Refused{Status: status}
	default:
		return Charge{}, fmt.Errorf("the provider answers with status %d", status)
	}
	var made Charge
	if err := json.NewDecoder(answer.Body).Decode(&made); err != nil {
		return Charge{}, fmt.Errorf("the provider's answer: %w", err)
	}
	return made, nil
}
