package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// failure is an error that says nothing about what the server would answer.
type failure struct {
	err        error
	retryAfter time.Duration // as the server asked; zero when it did not
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

// fetch asks the server once. The error is a *DeniedError, or one for asFailure.
func (c *Client) fetch(ctx context.Context, q question) (grant, error) {
	cred, err := c.credential.Credential(ctx)
	if err == nil {
		err = cred.check()
	}
	if err != nil {
		return grant{}, failure{err: fmt.Errorf("no credential: %w", err), local: true}
	}
	req, err := c.request(ctx, q, cred)
	if err != nil {
		return grant{}, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return grant{}, err // names method and address only
	}
	defer func() { _ = resp.Body.Close() }() // read to its limit below
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return grant{}, fmt.Errorf("read the answer: %w", err)
	}
	return c.answer(q, cred, resp, body)
}

func (c *Client) request(ctx context.Context, q question, cred Credential) (*http.Request, error) {
	body, err := json.Marshal(struct {
		Target string `json:"target"`
		Scope  string `json:"scope,omitempty"`
	}{q.target, q.scope})
	if err != nil {
		return nil, fmt.Errorf("encode the request: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+cred.Reveal())
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "watchword-client")
	return req, nil
}

func (c *Client) answer(q question, cred Credential, resp *http.Response, body []byte) (grant, error) {
	switch code := resp.StatusCode; {
	case code == http.StatusOK:
		return parseAnswer(body, c.now())
	case code >= 300 && code < 400:
		return grant{}, fmt.Errorf("it redirects%s, which is never followed with a credential; configure the address itself", redirectHost(resp))
	case code == http.StatusTooManyRequests, code == http.StatusRequestTimeout, code >= 500:
		return grant{}, failure{
			err:        fmt.Errorf("it answered %d %s", code, parseErrorCode(body)),
			retryAfter: parseRetryAfter(resp.Header.Get("Retry-After"), c.now()),
		}
	case code >= 400:
		return grant{}, &DeniedError{
			Target:     q.target,
			Scope:      q.scope,
			Caller:     subject(cred.Reveal()),
			Status:     code,
			Code:       parseErrorCode(body),
			DecisionID: decisionID(resp.Header.Get("Watchword-Decision")),
		}
	default:
		return grant{}, fmt.Errorf("it answered %d, which is not an answer to this question", code)
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

// parseRetryAfter reads both forms of RFC 9110, section 10.2.3. What it cannot read is 0.
func parseRetryAfter(s string, now time.Time) time.Duration {
	if n, err := strconv.ParseUint(s, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if t, err := http.ParseTime(s); err == nil {
		return max(0, t.Sub(now))
	}
	return 0
}
