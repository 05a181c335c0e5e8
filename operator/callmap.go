package operator

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/watchword-dev/watchword/api"
)

// PlanCallMap returns what would change if call map files were applied, and what their tests say then. Nothing is
// changed. Status 422: a file has a mistake; Error.Errors has each with its place.
func (c *Client) PlanCallMap(ctx context.Context, p api.PlanCallMap) (api.CallMapPlan, error) {
	return call[api.CallMapPlan](ctx, c, request{method: http.MethodPost, path: at("callmap", "plan"), body: p, large: true})
}

// ApplyCallMap makes all changes of call map files at once, in one revision. Status 409: a test of the files
// fails, something was changed since the plan that Base names, or Remove does not repeat how many services, rules, trusts and identities
// are removed.
func (c *Client) ApplyCallMap(ctx context.Context, a api.ApplyCallMap) (api.AppliedCallMap, error) {
	return call[api.AppliedCallMap](ctx, c, request{method: http.MethodPost, path: at("callmap", "apply"), body: a, large: true, once: true})
}

// ExportCallMap returns what the call map file of an owner would say. An empty owner stands for "callmap"; the
// file of that one also has what is made by hand.
func (c *Client) ExportCallMap(ctx context.Context, owner string) (api.CallMapDocument, error) {
	return call[api.CallMapDocument](ctx, c, request{path: at("callmap", "export"), query: named("managedBy", owner), large: true})
}

// CallMapHistory lists what was applied before a revision (0: at any time), the newest first, at most limit of them
// (up to 1,000).
func (c *Client) CallMapHistory(ctx context.Context, before int64, limit int) ([]api.AppliedCallMap, error) {
	query := url.Values{"before": {strconv.FormatInt(before, 10)}, "limit": {strconv.Itoa(limit)}}
	l, err := call[api.AppliedList](ctx, c, request{path: at("callmap", "history"), query: query})
	return l.Applied, err
}

// AppliedCallMap returns the files that were applied in a revision.
func (c *Client) AppliedCallMap(ctx context.Context, revision int64) (api.CallMapDocument, error) {
	return call[api.CallMapDocument](ctx, c, request{path: at("callmap", "history", strconv.FormatInt(revision, 10)), large: true})
}

// RollbackCallMap applies again what was applied in a revision, as a change of its own. Status 409: as for
// ApplyCallMap.
func (c *Client) RollbackCallMap(ctx context.Context, revision int64, r api.RollbackCallMap) (api.AppliedCallMap, error) {
	path := at("callmap", "history", strconv.FormatInt(revision, 10), "rollback")
	return call[api.AppliedCallMap](ctx, c, request{method: http.MethodPost, path: path, body: r, large: true, once: true})
}

// PutShadow has each decision from now on made a second time as if call map files were applied, and recorded where
// it would come out otherwise. What is in force stays as it is.
func (c *Client) PutShadow(ctx context.Context, files api.CallMapFiles) (api.CallMapShadow, error) {
	return call[api.CallMapShadow](ctx, c, request{method: http.MethodPut, path: at("callmap", "shadow"), body: files, large: true})
}

// DeleteShadow ends that. What was recorded stays.
func (c *Client) DeleteShadow(ctx context.Context) (api.CallMapShadow, error) {
	return call[api.CallMapShadow](ctx, c, request{method: http.MethodDelete, path: at("callmap", "shadow"), large: true})
}

// ShadowReport returns which decisions of the last days (1 to 400) would have come out otherwise.
func (c *Client) ShadowReport(ctx context.Context, days int) (api.ShadowReport, error) {
	return call[api.ShadowReport](ctx, c, request{path: at("callmap", "shadow", "report"), query: daysOf(days), large: true})
}

// Explain returns what a token request would get, and why. No token is made.
func (c *Client) Explain(ctx context.Context, q api.Question) (api.Explanation, error) {
	return call[api.Explanation](ctx, c, request{method: http.MethodPost, path: at("decisions", "explain"), body: q})
}

// Decision reads a decision from the audit log of the server that answers, by the id that the caller saw in the
// header Watchword-Decision. Replicas have a log each.
func (c *Client) Decision(ctx context.Context, id string) (api.Decision, error) {
	return call[api.Decision](ctx, c, request{path: at("decisions", id)})
}

// Blast returns what somebody who stole a credential of a service reaches with it.
func (c *Client) Blast(ctx context.Context, service string) (api.Blast, error) {
	return call[api.Blast](ctx, c, request{path: at("services", service, "blast")})
}

// Graph returns the call map as a graph, or the part of it on the ways from one service to another. An empty name
// is any.
func (c *Client) Graph(ctx context.Context, from, to string) (api.Graph, error) {
	return call[api.Graph](ctx, c, request{path: at("callmap", "graph"), query: named("from", from, "to", to)})
}

// Unused returns what was not used in the last days (1 to 400): services, credentials, rules and scopes of rules.
func (c *Client) Unused(ctx context.Context, days int) (api.Unused, error) {
	return call[api.Unused](ctx, c, request{path: at("callmap", "unused"), query: daysOf(days)})
}

// ImpactOf names what would be taken away: a rule by Caller and Target, a signing key by its kid, or a credential by
// its id.
type ImpactOf struct{ Caller, Target, Key, Credential string }

// Impact returns who used something in the last days (1 to 400), and would break without it.
func (c *Client) Impact(ctx context.Context, of ImpactOf, days int) (api.Impact, error) {
	query := named("caller", of.Caller, "target", of.Target, "key", of.Key, "credential", of.Credential, "days", strconv.Itoa(days))
	return call[api.Impact](ctx, c, request{path: at("callmap", "impact"), query: query})
}

// Suggestion returns the least that would allow what was refused in the last days (1 to 400). It is for a person
// to review: what was refused may be an attack.
func (c *Client) Suggestion(ctx context.Context, days int) (api.Suggestion, error) {
	return call[api.Suggestion](ctx, c, request{path: at("callmap", "suggestion"), query: daysOf(days)})
}

func daysOf(days int) url.Values { return url.Values{"days": {strconv.Itoa(days)}} }
