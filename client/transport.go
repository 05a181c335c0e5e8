package client

import (
	"fmt"
	"io"
	"net/http"
	"strings"
)

// HTTPClient returns a client that sends a token for target with each request. It has no timeout; limit each request
// with its context.
func (c *Client) HTTPClient(target string, scopes ...string) *http.Client {
	return &http.Client{Transport: c.Transport(target, nil, scopes...)}
}

// Transport returns a RoundTripper that sends a token for target with each request, over
// base; see TokenSource.Transport.
func (c *Client) Transport(target string, base http.RoundTripper, scopes ...string) http.RoundTripper {
	return c.TokenSource(target, scopes...).Transport(base)
}

// Transport returns a RoundTripper that sends a token of s with each request, over base, or over
// http.DefaultTransport if base is nil. If base is an *http.Transport, a token that was obtained with a certificate
// is sent over separate connections that present the certificate. Any other base must present it itself.
//
// If the service answers 401 with error="invalid_token", the token is renewed and the request sent once more,
// provided that it has no body or that GetBody is set, as by http.NewRequest. It is also sent once more if the
// service requires a nonce in the DPoP proof. After a redirect to another origin, the request is sent without the
// token, which is for target only.
func (s *TokenSource) Transport(base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	return &transport{s, base}
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
	if err != nil || !refusedWith(resp, token, "invalid_token") {
		return resp, err
	}
	return t.again(req, resp, token)
}

// again sends req once more with a token other than the rejected one. If that is not possible, it returns resp.
func (t *transport) again(req *http.Request, resp *http.Response, rejected Token) (*http.Response, error) {
	if req.Body != nil && req.Body != http.NoBody && req.GetBody == nil {
		return resp, nil
	}
	token, ok := t.source.Renewed(req.Context(), rejected)
	if !ok {
		return resp, nil
	}
	second, ok := replay(req)
	if !ok {
		return resp, nil
	}
	discard(resp)
	resp, err := t.send(second, token)
	if err != nil {
		return nil, fmt.Errorf("send the request again with a new token: %w", err)
	}
	return resp, nil
}

// replay returns req with its body from the beginning, and reports whether that is possible.
func replay(req *http.Request) (*http.Request, bool) {
	if req.GetBody == nil {
		return req, req.Body == nil || req.Body == http.NoBody
	}
	body, err := req.GetBody()
	if err != nil {
		return nil, false
	}
	second := req.Clone(req.Context())
	second.Body = body
	return second, true
}

// discard closes the body of an answer. It reads a little of it, so that the connection can be reused.
func discard(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10)
	_ = resp.Body.Close()
}

// send sends req with the token, and once more if the service requires a nonce in the proof and sends one (RFC 9449,
// section 9).
func (t *transport) send(req *http.Request, token Token) (*http.Response, error) {
	resp, nonce, err := t.sendOnce(req, token)
	if err != nil || !nonce || !refusedWith(resp, token, "use_dpop_nonce") {
		return resp, err
	}
	second, ok := replay(req)
	if !ok {
		return resp, nil
	}
	discard(resp)
	if resp, _, err = t.sendOnce(second, token); err != nil {
		return nil, fmt.Errorf("send the request again with the required nonce: %w", err)
	}
	return resp, nil
}

// sendOnce sends a copy of req with the token, because a RoundTripper must not modify its request. The answer
// refers to req itself, so that logging it does not log the token. nonce reports whether the answer has another
// nonce than the one used.
func (t *transport) sendOnce(req *http.Request, token Token) (resp *http.Response, nonce bool, err error) {
	r := req.Clone(req.Context())
	r.Header.Set("Authorization", token.Type()+" "+token.Reveal())
	used, err := token.prover.attach(r, token.Reveal(), t.source.client.now())
	if err != nil {
		closeBody(req)
		return nil, false, err
	}
	resp, err = token.cert.over(t.base).RoundTrip(r)
	if resp != nil {
		nonce = token.prover.learn(r, resp.Header, used)
		resp.Request = req
	}
	return resp, nonce, err
}

func refusedWith(resp *http.Response, token Token, code string) bool {
	return resp.StatusCode == http.StatusUnauthorized && challenged(resp.Header, token.Type(), code)
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}

// leftOrigin reports whether req follows a redirect to another scheme or host, also if a later redirect leads back: then
// it is the other host that chose the request.
func leftOrigin(req *http.Request) bool {
	for req.Response != nil && req.Response.Request != nil {
		next := req.URL
		req = req.Response.Request
		if next.Scheme != req.URL.Scheme || !strings.EqualFold(next.Host, req.URL.Host) {
			return true
		}
	}
	return false
}

// challenged reports whether h has a challenge of the scheme with the error code (RFC 6750, section 3.1; RFC 9449,
// section 7.1).
func challenged(h http.Header, wanted, code string) bool {
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
			if strings.EqualFold(strings.TrimSpace(scheme), wanted) &&
				strings.EqualFold(strings.TrimSpace(name), "error") && val == code {
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
