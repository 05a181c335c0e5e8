package operator

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/watchword-dev/watchword/server/internal/explain"
)

// Question is one that a token request would put.
type Question struct {
	Caller      string     `json:"caller"`
	Target      string     `json:"target,omitempty"`
	Scopes      []string   `json:"scopes,omitempty"`
	Method      string     `json:"method,omitempty"`
	Bound       bool       `json:"bound,omitempty"`
	Network     string     `json:"network,omitempty"`
	OnBehalfOf  string     `json:"onBehalfOf,omitempty"`
	Impersonate bool       `json:"impersonate,omitempty"`
	At          *time.Time `json:"at,omitempty"`
}

// Explanation is what would come out, and why.
type Explanation struct {
	Caller  string   `json:"caller"`
	Target  string   `json:"target"`
	Allowed bool     `json:"allowed"`
	Reason  string   `json:"reason"`
	Text    string   `json:"text"`
	Command string   `json:"command"`
	Scopes  []string `json:"scopes"`
	Shadow  string   `json:"shadow"`
}

// Decision is one that was recorded.
type Decision struct {
	ID         string       `json:"id"`
	At         time.Time    `json:"at"`
	Outcome    string       `json:"outcome"`
	Reason     string       `json:"reason"`
	Text       string       `json:"text"`
	Address    string       `json:"address"`
	Caller     string       `json:"caller"`
	Target     string       `json:"target"`
	Scope      string       `json:"scope"`
	Credential string       `json:"credential"`
	Method     string       `json:"method"`
	OnBehalfOf string       `json:"onBehalfOf"`
	Observed   string       `json:"observed"`
	Shadow     string       `json:"shadow"`
	Record     uint64       `json:"record"`
	Today      *Explanation `json:"today"`
}

// Explain says what a token request would get.
func (c *Client) Explain(ctx context.Context, q Question) (a Answer[Explanation], err error) {
	_, err = c.do(ctx, request{method: http.MethodPost, path: []string{"decisions", "explain"}, body: q}, &a)
	return a, err
}

// Decision reads a decision from the audit log.
func (c *Client) Decision(ctx context.Context, id string) (a Answer[Decision], err error) {
	_, err = c.do(ctx, request{method: http.MethodGet, path: []string{"decisions", id}}, &a)
	return a, err
}

// Blast is what a stolen credential of a service reaches.
func (c *Client) Blast(ctx context.Context, service string) (a Answer[explain.Blast], err error) {
	_, err = c.do(ctx, request{method: http.MethodGet, path: []string{"services", service, "blast"}}, &a)
	return a, err
}

// Graph is the call map, or the part of it on the ways from one service to another. Empty: any.
func (c *Client) Graph(ctx context.Context, from, to string) (a Answer[explain.Graph], err error) {
	query := url.Values{}
	for name, value := range map[string]string{"from": from, "to": to} {
		if value != "" {
			query.Set(name, value)
		}
	}
	_, err = c.do(ctx, request{method: http.MethodGet, path: []string{"callmap", "graph"}, query: query}, &a)
	return a, err
}

// Unused is what was never exercised in the last days.
func (c *Client) Unused(ctx context.Context, days int) (a Answer[explain.Unused], err error) {
	_, err = c.do(ctx, request{method: http.MethodGet, path: []string{"callmap", "unused"}, query: url.Values{"days": {strconv.Itoa(days)}}}, &a)
	return a, err
}

// Impact is who used what query names in the last days: caller and target, key, or credential.
func (c *Client) Impact(ctx context.Context, days int, what map[string]string) (a Answer[explain.Impact], err error) {
	query := url.Values{"days": {strconv.Itoa(days)}}
	for name, value := range what {
		query.Set(name, value)
	}
	_, err = c.do(ctx, request{method: http.MethodGet, path: []string{"callmap", "impact"}, query: query}, &a)
	return a, err
}

// Suggestion is the least that would allow what was refused in the last days.
func (c *Client) Suggestion(ctx context.Context, days int) (a Answer[explain.Suggestion], err error) {
	_, err = c.do(ctx, request{method: http.MethodGet, path: []string{"callmap", "suggestion"}, query: url.Values{"days": {strconv.Itoa(days)}}}, &a)
	return a, err
}
