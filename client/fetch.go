package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// failure is an error other than a refusal by the server.
type failure struct {
	err        error
	retryAfter time.Duration // as the server requested; zero if it did not
	local      bool          // the server was not asked at all
}

func (f failure) Error() string { return f.err.Error() }
func (f failure) Unwrap() error { return f.err }

func asFailure(err error) failure {
	var f failure
	if !errors.As(err, &f) {
		f = failure{err: err}
	}
	return f
}

const userAgent = "watchword-client"

// fetch sends a request to the server, and a second one only if the server requires a DPoP nonce (RFC 9449, section 8).
// The error is a *DeniedError, or one for asFailure.
func (c *Client) fetch(ctx context.Context, q ask) (grant, error) {
	var cert *certificate
	if c.certs != nil {
		var err error
		if cert, err = c.certs.load(ctx); err != nil {
			return grant{}, err
		}
	}
	h := *c.http
	h.Transport = cert.over(h.Transport)
	g, again, err := c.fetchOnce(ctx, &h, q)
	if again {
		g, _, err = c.fetchOnce(ctx, &h, q)
	}
	g.cert = cert
	return g, err
}

// fetchOnce sends one request. If it returns an error, again reports whether to try again with the nonce that the
// server sent.
func (c *Client) fetchOnce(ctx context.Context, h *http.Client, q ask) (g grant, again bool, err error) {
	req, caller, err := c.request(ctx, h, q)
	if err != nil {
		return grant{}, false, err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", userAgent)
	nonce, err := c.prover.attach(req, "", c.now())
	if err != nil {
		return grant{}, false, failure{err: err, local: true}
	}
	resp, err := h.Do(req)
	if err != nil {
		return grant{}, false, err // it contains the method and address only
	}
	defer func() { _ = resp.Body.Close() }() // read to its limit below
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return grant{}, false, fmt.Errorf("read the answer: %w", err)
	}
	fresh := c.prover.learn(req, resp.Header, nonce)
	refused := resp.StatusCode == http.StatusBadRequest || resp.StatusCode == http.StatusUnauthorized
	again = fresh && refused && parseErrorCode(body) == "use_dpop_nonce"
	g, err = c.answer(q, caller, resp, body)
	return g, again, err
}

func (c *Client) request(ctx context.Context, h *http.Client, q ask) (req *http.Request, caller string, err error) {
	if c.accessToken != nil && q.incoming == "" {
		return c.accessToken.request(ctx, h, &c.oauth.discovery, q, c.now())
	}
	return c.oauth.request(ctx, h, q, c.now())
}

func (c *Client) answer(q ask, caller string, resp *http.Response, body []byte) (grant, error) {
	switch code := resp.StatusCode; {
	case code == http.StatusOK:
		return parseAnswer(body, q, c.prover != nil, c.now())
	case code >= 300 && code < 400:
		return grant{}, fmt.Errorf("it redirects%s, which the client does not follow because it would send the credential there; configure the final address", redirectHost(resp))
	case code == http.StatusTooManyRequests, code == http.StatusRequestTimeout, code >= 500:
		return grant{}, failure{
			err:        statusError{code, parseErrorCode(body)},
			retryAfter: parseRetryAfter(resp.Header.Get("Retry-After"), c.now()),
		}
	case code >= 400:
		return grant{}, &DeniedError{
			Target:      q.target,
			Scope:       q.scope,
			Caller:      caller,
			Exchange:    q.incoming != "",
			Status:      code,
			Code:        parseErrorCode(body),
			Description: parseErrorDescription(body),
			DecisionID:  decisionID(resp.Header.Get("Watchword-Decision")),
		}
	default:
		return grant{}, fmt.Errorf("it answered %d, which is not an answer to a token request", code)
	}
}

func redirectHost(resp *http.Response) string {
	u, err := url.Parse(resp.Header.Get("Location"))
	if err != nil || u.Host == "" {
		return ""
	}
	return fmt.Sprintf(" to host %q", u.Host)
}

func decisionID(s string) string {
	if len(s) > 64 || strings.Trim(s, "0123456789abcdef") != "" {
		return ""
	}
	return s
}

// parseRetryAfter reads both forms of RFC 9110, section 10.2.3. It returns 0 for other values.
func parseRetryAfter(s string, now time.Time) time.Duration {
	if n, err := strconv.ParseUint(s, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if t, err := http.ParseTime(s); err == nil {
		return max(0, t.Sub(now))
	}
	return 0
}
