package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/api"
)

// oauthEndpoint is the token endpoint of an authorization server (RFC 6749, section 3.2).
type oauthEndpoint struct {
	auth      *Auth
	discovery discovery
}

func newOAuthEndpoint(cfg Config) *oauthEndpoint {
	return &oauthEndpoint{
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
	typeAccessToken = "urn:ietf:params:oauth:token-type:access_token"
	typeJWT         = "urn:ietf:params:oauth:token-type:jwt"
)

// request returns the request for q, with a new proof each time, because a signed proof can be used once.
func (d *oauthEndpoint) request(ctx context.Context, h *http.Client, q ask, now time.Time) (req *http.Request, caller string, err error) {
	endpoint, err := d.discovery.tokenEndpoint(ctx, h, now)
	if err != nil {
		return nil, "", err
	}
	t := &tokenRequest{form: formOf(q), header: make(http.Header), issuer: d.discovery.issuer, now: now, caller: d.auth.clientID}
	if err := d.auth.prove(ctx, t); err != nil {
		return nil, "", failure{err: fmt.Errorf("cannot authenticate with %s: %w", d.auth.name, err), local: true}
	}
	req, err = http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(t.form.Encode()))
	if err != nil {
		return nil, "", fmt.Errorf("create the request: %w", err)
	}
	req.Header = t.header
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return req, t.caller, nil
}

// formOf returns the form that requests a token for this service itself (RFC 6749, section 4.4), or in exchange for the
// token of the request that is being served (RFC 8693, section 2.1).
func formOf(q ask) url.Values {
	form := url.Values{"grant_type": {api.GrantClientCredentials}}
	if q.incoming != "" {
		form.Set("grant_type", api.GrantTokenExchange)
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
