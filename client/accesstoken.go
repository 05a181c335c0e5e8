package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// jsonEndpoint is POST /accesstoken.
type jsonEndpoint struct {
	endpoint string
	// One of these is set.
	credential CredentialSource
	platform   PlatformTokenSource
}

// request returns the request for q, and the name of this service for messages. server has the metadata of the server.
func (d *jsonEndpoint) request(ctx context.Context, h *http.Client, server *discovery, q ask, now time.Time) (req *http.Request, caller string, err error) {
	credential, err := d.proof(ctx, h, server, now)
	if err != nil {
		return nil, "", err
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

// proof returns what proves the identity of this service.
func (d *jsonEndpoint) proof(ctx context.Context, h *http.Client, server *discovery, now time.Time) (string, error) {
	if d.platform == nil {
		credential, err := secretOf(ctx, d.credential)
		if err != nil {
			return "", failure{err: fmt.Errorf("no credential: %w", err), local: true}
		}
		return credential, nil
	}
	// A token must not be obtained for one server and sent to another, so the metadata must say that the address is
	// the issuer identifier.
	if dependsOnServer(d.platform) {
		if _, err := server.tokenEndpoint(ctx, h, now); err != nil {
			return "", err
		}
	}
	token, err := platformToken(ctx, d.platform, server.issuer)
	if err != nil {
		return "", failure{err: fmt.Errorf("cannot authenticate: %w", err), local: true}
	}
	return token, nil
}
