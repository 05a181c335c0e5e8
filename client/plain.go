package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// plainDoor is POST /accesstoken.
type plainDoor struct {
	endpoint   string
	credential CredentialSource
}

// request makes the request for q, and says who asks, for messages.
func (d *plainDoor) request(ctx context.Context, q ask) (req *http.Request, caller string, err error) {
	credential, err := secretOf(ctx, d.credential)
	if err != nil {
		return nil, "", failure{err: fmt.Errorf("no credential: %w", err), local: true}
	}
	body, err := json.Marshal(struct {
		Target string `json:"target"`
		Scope  string `json:"scope,omitempty"`
	}{q.target, q.scope})
	if err != nil {
		return nil, "", fmt.Errorf("encode the request: %w", err)
	}
	req, err = http.NewRequestWithContext(ctx, http.MethodPost, d.endpoint, bytes.NewReader(body))
	if err != nil {
		return nil, "", fmt.Errorf("make the request: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+credential)
	req.Header.Set("Content-Type", "application/json")
	return req, subject(credential), nil
}
