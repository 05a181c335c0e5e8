package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// jsonEndpoint is POST /accesstoken.
type jsonEndpoint struct {
	endpoint   string
	credential CredentialSource
}

// request returns the request for q, and the name of this service for messages.
func (d *jsonEndpoint) request(ctx context.Context, q ask) (req *http.Request, caller string, err error) {
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
		return nil, "", fmt.Errorf("create the request: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+credential)
	req.Header.Set("Content-Type", "application/json")
	return req, subject(credential), nil
}
