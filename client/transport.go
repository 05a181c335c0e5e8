package client

import (
	"fmt"
	"io"
	"net/http"
	"strings"
)

// HTTPClient returns a client that sends a token for target with each request. It has no
// timeout of its own: bound each request by its context.
func (c *Client) HTTPClient(target string, scopes ...string) *http.Client {
	return &http.Client{Transport: c.Transport(target, nil, scopes...)}
}

// Transport returns a RoundTripper that sends a token for target with each request, over
// base, or over http.DefaultTransport when base is nil.
//
// When the callee answers 401 with error="invalid_token", the token is renewed and the
// request sent once more, if its body can be (it has none, or GetBody is set, as
// http.NewRequest does). A redirect to another origin is sent without the token: it is
// meant for target alone.
func (c *Client) Transport(target string, base http.RoundTripper, scopes ...string) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	return &transport{c.TokenSource(target, scopes...), base}
}

type transport struct {
	source *TokenSource
	base   http.RoundTripper
}

func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if leftOrigin(req) {
		return t.base.RoundTrip(req)
	}
	token, err := t.source.Token(req.Context())
	if err != nil {
		closeBody(req)
		return nil, err
	}
	resp, err := t.send(req, token)
	if err != nil || resp.StatusCode != http.StatusUnauthorized || !tokenRejected(resp.Header) {
		return resp, err
	}
	return t.again(req, resp, token)
}

// again sends req a second time with another token than the rejected one. Where it
// cannot, the callee's 401 stands.
func (t *transport) again(req *http.Request, resp *http.Response, rejected Token) (*http.Response, error) {
	if req.Body != nil && req.Body != http.NoBody && req.GetBody == nil {
		return resp, nil
	}
	token, ok := t.source.client.renew(req.Context(), t.source.q, rejected)
	if !ok {
		return resp, nil
	}
	second := req
	if req.GetBody != nil {
		body, err := req.GetBody()
		if err != nil {
			return resp, nil //nolint:nilerr // it cannot be replayed after all, so the 401 stands
		}
		second = req.Clone(req.Context())
		second.Body = body
	}
	// A little is read so that the connection can be used again.
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10)
	_ = resp.Body.Close()
	resp, err := t.send(second, token)
	if err != nil {
		return nil, fmt.Errorf("send the request again with a new token: %w", err)
	}
	return resp, nil
}

// send sends a copy of req with the token: a RoundTripper must not change its request.
// The answer refers to req itself, so that whoever logs it does not log the token.
func (t *transport) send(req *http.Request, token Token) (*http.Response, error) {
	r := req.Clone(req.Context())
	r.Header.Set("Authorization", "Bearer "+token.Reveal())
	resp, err := t.base.RoundTrip(r)
	if resp != nil {
		resp.Request = req
	}
	return resp, err
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}

// leftOrigin says that req follows a redirect which led away from the scheme and host
// that the caller named.
func leftOrigin(req *http.Request) bool {
	first := req
	for first.Response != nil && first.Response.Request != nil {
		first = first.Response.Request
	}
	return first.URL.Scheme != req.URL.Scheme || !strings.EqualFold(first.URL.Host, req.URL.Host)
}

// tokenRejected looks for a Bearer challenge with error="invalid_token" (RFC 6750,
// section 3.1).
func tokenRejected(h http.Header) bool {
	for _, value := range h.Values("WWW-Authenticate") {
		scheme := ""
		for part := range splitUnquoted(value) {
			name, val, _ := strings.Cut(part, "=")
			// The first parameter follows its scheme after a space.
			if before, after, ok := strings.Cut(strings.TrimSpace(name), " "); ok {
				scheme, name = before, after
			} else if !strings.Contains(part, "=") {
				scheme = name
			}
			val = strings.Trim(strings.TrimSpace(val), `"`)
			if strings.EqualFold(strings.TrimSpace(scheme), "bearer") &&
				strings.EqualFold(strings.TrimSpace(name), "error") && val == "invalid_token" {
				return true
			}
		}
	}
	return false
}

// splitUnquoted yields the parts of s between commas that are not inside quotes.
func splitUnquoted(s string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		quoted, start := false, 0
		for i := 0; i < len(s); i++ {
			switch {
			case quoted && s[i] == '\\':
				i++
			case s[i] == '"':
				quoted = !quoted
			case s[i] == ',' && !quoted:
				if !yield(strings.TrimSpace(s[start:i])) {
					return
				}
				start = i + 1
			}
		}
		yield(strings.TrimSpace(s[start:]))
	}
}
