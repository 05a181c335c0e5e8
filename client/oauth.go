package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// oauthDoor is the token endpoint of an authorization server (RFC 6749, section 3.2).
type oauthDoor struct {
	auth      *Auth
	discovery discovery
}

func newOAuthDoor(cfg Config) *oauthDoor {
	return &oauthDoor{
		auth: cfg.Auth,
		discovery: discovery{
			issuer:   cfg.Server,
			insecure: cfg.AllowHTTP,
			mtls:     cfg.Certificate != nil,
			turn:     make(chan struct{}, 1),
		},
	}
}

const (
	grantClientCredentials = "client_credentials"
	grantTokenExchange     = "urn:ietf:params:oauth:grant-type:token-exchange"
	typeAccessToken        = "urn:ietf:params:oauth:token-type:access_token"
	typeJWT                = "urn:ietf:params:oauth:token-type:jwt"
)

// request makes the request for q: a new proof each time, since a signed one can be used once.
func (d *oauthDoor) request(ctx context.Context, h *http.Client, q ask, now time.Time) (req *http.Request, caller string, err error) {
	endpoint, err := d.discovery.tokenEndpoint(ctx, h, now)
	if err != nil {
		return nil, "", err
	}
	t := &tokenRequest{form: formOf(q), header: make(http.Header), issuer: d.discovery.issuer, now: now, caller: d.auth.clientID}
	if err := d.auth.prove(ctx, t); err != nil {
		return nil, "", failure{err: fmt.Errorf("no proof of who this is (%s): %w", d.auth.name, err), local: true}
	}
	req, err = http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(t.form.Encode()))
	if err != nil {
		return nil, "", fmt.Errorf("make the request: %w", err)
	}
	req.Header = t.header
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return req, t.caller, nil
}

// formOf asks for a token: of this service's own (RFC 6749, section 4.4), or in exchange for the one of
// the request it is serving (RFC 8693, section 2.1).
func formOf(q ask) url.Values {
	form := url.Values{"grant_type": {grantClientCredentials}}
	if q.incoming != "" {
		form.Set("grant_type", grantTokenExchange)
		form.Set("subject_token", q.subject.Reveal())
		form.Set("subject_token_type", typeAccessToken)
		if q.impersonate {
			form.Set("impersonate", "true")
		}
	}
	if isURI(q.target) {
		form.Set("resource", q.target) // RFC 8707
	} else {
		form.Set("audience", q.target)
	}
	if q.scope != "" {
		form.Set("scope", q.scope)
	}
	return form
}
