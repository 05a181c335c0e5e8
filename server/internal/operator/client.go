// Package operator asks the operator's API of a Watchword server, for the command line. It
// holds no state and retries nothing: the person at the terminal decides. It knows neither
// where the operator token comes from nor how answers are shown.
package operator

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/internal/netaddr"
)

// maxAnswer bounds what is read of one answer. A page of a list stays far below.
const maxAnswer = 16 << 20

// maxLargeAnswer: a call map of a million rules is a file of some 30 MiB.
const maxLargeAnswer = 160 << 20

// Client asks one server. Its methods are in api.go.
type Client struct {
	base  *url.URL
	token string
	http  *http.Client
}

// New makes a client of the server whose operator's listener is at base. The token goes with
// every request, so base must be https unless it is on this machine.
func New(base, token string) (*Client, error) {
	u, err := url.Parse(strings.TrimRight(base, "/"))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%q is not the URL of a server: write it as in http://127.0.0.1:8010", base)
	}
	if u.Scheme == "http" && !netaddr.IsLoopback(u.Hostname()) {
		return nil, fmt.Errorf("%s is on another machine and not https: the operator token would travel in the clear; use https, or a tunnel such as: ssh -L 8010:127.0.0.1:8010 %s", base, u.Hostname())
	}
	return &Client{base: u, token: token, http: &http.Client{
		Timeout: 30 * time.Second,
		// A redirect would take the token somewhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// URL is the server's address.
func (c *Client) URL() string { return c.base.String() }

// Error is a refusal (RFC 9457).
type Error struct {
	Status int    `json:"status"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Errors []struct {
		Message  string `json:"message"`
		Location string `json:"location"`
	} `json:"errors"`
}

func (e *Error) Error() string {
	var parts []string
	for _, inner := range e.Errors {
		field := strings.TrimPrefix(strings.TrimPrefix(inner.Location, "body"), ".")
		if field != "" && !strings.HasPrefix(inner.Message, field) {
			field += ": "
		} else {
			field = ""
		}
		parts = append(parts, field+inner.Message)
	}
	switch {
	case len(parts) > 0:
		return strings.Join(parts, "; ")
	case e.Detail != "":
		return e.Detail
	case e.Title != "":
		return e.Title
	default:
		return fmt.Sprintf("the server answered %d %s", e.Status, http.StatusText(e.Status))
	}
}

// UnreachableError says that no answer came.
type UnreachableError struct {
	URL   string
	Cause error
}

func (e *UnreachableError) Error() string {
	cause := e.Cause
	var op *net.OpError
	if errors.As(cause, &op) {
		cause = op // without the method and the URL, which are said already
	}
	return fmt.Sprintf("no answer from %s: %v", e.URL, cause)
}

func (e *UnreachableError) Unwrap() error { return e.Cause }

// request is one call of the API.
type request struct {
	method string
	path   []string // below /admin/v1, not escaped
	query  url.Values
	body   any
	header http.Header
	slow   bool // the answer may take minutes
	large  bool // so may this one, and files go or come
}

// slowTimeout is a little more than the server takes at most.
const slowTimeout = 6 * time.Minute

// do sends r and decodes the answer into out, unless that is nil. It returns the status.
func (c *Client) do(ctx context.Context, r request, out any) (int, error) {
	var body io.Reader
	if r.body != nil {
		text, err := json.Marshal(r.body)
		if err != nil {
			return 0, err
		}
		body = bytes.NewReader(text)
	}
	escaped := make([]string, len(r.path))
	for i, p := range r.path {
		escaped[i] = url.PathEscape(p)
	}
	target := c.base.String() + "/admin/v1/" + strings.Join(escaped, "/")
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, body)
	if err != nil {
		return 0, err
	}
	for name, values := range r.header {
		req.Header[name] = values
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("Accept", "application/json, application/problem+json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	by, limit := c.http, maxAnswer
	if r.slow || r.large {
		by = &http.Client{Timeout: slowTimeout, CheckRedirect: c.http.CheckRedirect}
	}
	if r.large {
		limit = maxLargeAnswer
	}
	return c.send(by, req, limit, out)
}

func (c *Client) send(by *http.Client, req *http.Request, limit int, out any) (int, error) {
	resp, err := by.Do(req)
	if err != nil {
		return 0, &UnreachableError{c.URL(), err}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, int64(limit)+1))
	if err != nil {
		return resp.StatusCode, &UnreachableError{c.URL(), err}
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return resp.StatusCode, refusal(resp, text)
	}
	if out == nil {
		return resp.StatusCode, nil
	}
	// Not strictjson: its limits are those of a request, and a list is longer.
	if err := json.Unmarshal(text, out); err != nil || len(text) > limit {
		return resp.StatusCode, fmt.Errorf("%s %s did not answer as the operator's API of Watchword does; is %s the operator's listener?", req.Method, req.URL.Path, c.URL())
	}
	return resp.StatusCode, nil
}

// refusal reads problem+json; of anything else only the status counts, since a proxy or
// another server wrote it.
func refusal(resp *http.Response, text []byte) error {
	e := &Error{}
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind == "application/problem+json" || kind == "application/json" {
		if json.Unmarshal(text, e) != nil {
			e = &Error{}
		}
	}
	e.Status = resp.StatusCode
	return e
}

// Answer is an object of the API: decoded, and as the server wrote it, which is what --json
// promises and what a newer server may have more of.
type Answer[T any] struct {
	Value T
	raw   json.RawMessage
}

// UnmarshalJSON decodes and keeps b.
func (a *Answer[T]) UnmarshalJSON(b []byte) error {
	a.raw = bytes.Clone(b)
	return json.Unmarshal(b, &a.Value)
}

// MarshalJSON returns what the server wrote.
func (a Answer[T]) MarshalJSON() ([]byte, error) { return a.raw, nil }
