package operator

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/netaddr"
)

// maxAnswer bounds what is read of one answer. A page of a list stays far below.
const maxAnswer = 16 << 20

// maxLargeAnswer: a call map of a million rules is a file of about 30 MiB.
const maxLargeAnswer = 160 << 20

// Client asks one server. It can be used by several goroutines at a time.
type Client struct {
	base  *url.URL
	token string
	http  *http.Client
}

// New makes a client of the server whose operator's listener is at base, as in http://127.0.0.1:8010. The token
// goes with every request, so base must be https unless it is on this machine. Nothing is sent yet.
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

// URL is the address of the operator's listener.
func (c *Client) URL() string { return c.base.String() }

// Error is a refusal. Where something other than the API answered, such as a proxy, it has only a status.
type Error struct{ api.Problem }

// StatusOf returns the HTTP status of a refusal, and 0 for any other error.
func StatusOf(err error) int {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Status
	}
	return 0
}

// Error returns what is wrong, in one line where the server put it in one.
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

// UnreachableError means that no answer came. A change may have been made or not.
type UnreachableError struct {
	URL   string
	Cause error
}

func (e *UnreachableError) Error() string {
	cause := e.Cause
	if op, ok := errors.AsType[*net.OpError](cause); ok {
		cause = op // without the method and the URL, which are said already
	}
	return fmt.Sprintf("no answer from %s: %v", e.URL, cause)
}

func (e *UnreachableError) Unwrap() error { return e.Cause }

// request is one call of the API.
type request struct {
	method string   // empty: GET
	path   []string // below /admin/v1, not escaped
	query  url.Values
	body   any
	header http.Header
	slow   bool // the answer may take minutes
	large  bool // so may this one, and files go or come
	once   bool // it has an effect that must not be repeated: see Client.repeat
}

// slowTimeout is a little more than the server takes at most.
const slowTimeout = 6 * time.Minute

// at is the path of its segments.
func at(segments ...string) []string { return segments }

// named makes a query of names and values in turn, those without a value left out.
func named(pairs ...string) url.Values {
	query := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			query.Set(pairs[i], pairs[i+1])
		}
	}
	return query
}

// onlyVersion is the header that makes a change depend on the version (RFC 9110, section 13.1.1).
func onlyVersion(version int64) http.Header {
	if version == AnyVersion {
		return nil
	}
	return http.Header{"If-Match": {strconv.Quote(strconv.FormatInt(version, 10))}}
}

// call sends r and decodes the answer.
func call[Answer any](ctx context.Context, c *Client, r request) (answer Answer, err error) {
	_, err = c.do(ctx, r, &answer)
	return answer, err
}

// do sends r and decodes the answer into out, unless that is nil. It returns the status.
func (c *Client) do(ctx context.Context, r request, out any) (int, error) {
	var text []byte
	if r.body != nil {
		var err error
		if text, err = json.Marshal(r.body); err != nil {
			return 0, err
		}
	}
	if r.once {
		return c.repeat(ctx, r, text, out)
	}
	return c.try(ctx, r, text, out)
}

// repeatFor is how long a request whose answer did not arrive is repeated. It is longer than the server regards an answer
// as on its way.
const repeatFor = 45 * time.Second

// repeat sends r with an Idempotency-Key, again and again if no answer arrives: the server carries it out once.
func (c *Client) repeat(ctx context.Context, r request, text []byte, out any) (int, error) {
	r.header = r.header.Clone()
	if r.header == nil {
		r.header = http.Header{}
	}
	r.header.Set("Idempotency-Key", strconv.Quote(rand.Text()))
	limit := time.NewTimer(repeatFor)
	defer limit.Stop()
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		status, err := c.try(ctx, r, text, out)
		if !repeatable(err, wait > 100*time.Millisecond) {
			return status, err
		}
		next := time.NewTimer(wait)
		select {
		case <-next.C:
		case <-ctx.Done():
			next.Stop()
			return status, err
		case <-limit.C:
			next.Stop()
			return status, err
		}
	}
}

// repeatable reports whether the request that ended with err may have been carried out without an answer, or is in
// progress. If again is not set, it was sent once.
func repeatable(err error, again bool) bool {
	if e, ok := errors.AsType[*UnreachableError](err); ok {
		dial, ok := errors.AsType[*net.OpError](e.Cause)
		// Where nobody listens nothing was carried out, except by a server that was restarted since.
		return again || !ok || dial.Op != "dial"
	}
	e, ok := errors.AsType[*Error](err)
	return ok && (e.Code == "request_in_progress" || again && e.Status >= http.StatusBadGateway && e.Status <= http.StatusGatewayTimeout)
}

// try sends r, with text as its body, once.
func (c *Client) try(ctx context.Context, r request, text []byte, out any) (int, error) {
	var body io.Reader
	if r.body != nil {
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
		return resp.StatusCode, c.notTheAPI(req.Method + " " + req.URL.Path)
	}
	return resp.StatusCode, nil
}

func (c *Client) notTheAPI(request string) error {
	return fmt.Errorf("%s did not answer as the operator's API of Watchword does; is %s the operator's listener?", request, c.URL())
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

// Readiness is whether a server can do its job.
type Readiness struct {
	// Status is "ready", "degraded" when the server issues tokens but cannot do all of its job, or
	// "not ready".
	Status string `json:"status"`
	// Problems are what keeps it from its job, by part: store, clock, directory, keys, audit, server.
	Problems map[string]string `json:"problems"`
}

// Ready asks the server whether it can do its job.
func (c *Client) Ready(ctx context.Context) (r Readiness, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL()+"/readyz", nil)
	if err != nil {
		return r, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return r, &UnreachableError{c.URL(), err}
	}
	defer resp.Body.Close()
	if json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&r) != nil || resp.StatusCode != http.StatusOK && len(r.Problems) == 0 {
		r = Readiness{"not ready", map[string]string{"server": "answered " + resp.Status}}
	}
	return r, nil
}
