package admin

import (
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/reason"
	"github.com/watchword-dev/watchword/server/internal/audit"
	"github.com/watchword-dev/watchword/server/internal/directory"
	words "github.com/watchword-dev/watchword/server/internal/explain"
	"github.com/watchword-dev/watchword/server/internal/issuer"
	"github.com/watchword-dev/watchword/server/internal/policy"
)

var (
	exampleExplanation = api.Explanation{
		Caller: "m1", Target: "m2", Revision: 42,
		Reason: string(policy.ScopeNotGranted), Text: "the rule m1 -> m2 allows read; write was requested", Command: "watchword allow m1 m2 --scope read --scope write",
	}
	errNoDecision = problem("decision_not_found")
)

var errUnproved = problem("audit_unproved")

// SearchLimit bounds what is read of the audit log for one id.
const SearchLimit = 4 << 30

func (a *handlers) decisions() {
	register(a, operation{
		method: http.MethodPost, path: "/decisions/explain", id: "explainDecision", action: action{name: "decision.explain", reads: true}, tag: "decisions",
		summary: "Explain a decision", description: "Makes the decision about a token request, supposing that its proofs are valid, and returns it in words, with the command that would change it. No token is issued. The request is recorded in the audit log.",
		request: api.Question{Caller: "m1", Target: "m2", Scopes: []string{"write"}}, answer: exampleExplanation,
	}, a.explainDecision)
	register(a, operation{
		method: http.MethodGet, path: "/decisions/{id}", id: "readDecision", action: action{name: "decision.read", audited: true, large: true}, tag: "decisions",
		summary: "Read a decision", description: "Returns a decision from the audit log of this server, and the decision about the same request today. The request is recorded in the audit log.",
		missing: errNoDecision, answer: api.Decision{
			ID: "5f1e2d3c4b5a69788796a5b4c3d2e1f0", At: exampleTime, Outcome: string(audit.Refused), Reason: "no_rule", Text: "no rule allowed it",
			Endpoint: string(issuer.TokenEndpoint), Address: "10.1.2.3", Caller: "m1", Target: "m2", Scope: "write", Method: "private_key_jwt", Record: 1234, Today: &exampleExplanation,
		},
	}, a.readDecision)
}

func (a *handlers) explainDecision(ctx context.Context, in *struct{ Body api.Question }) (*answered[api.Explanation], error) {
	q := in.Body
	r := issuer.Rehearsal{Caller: q.Caller, Grant: q.Grant, Method: q.Method, Key: q.Bound, Certificate: q.Bound, OnBehalfOf: q.OnBehalfOf, Impersonate: q.Impersonate, At: q.At}
	var err error
	if r.Scopes, err = scopesOf(q.Scopes); err != nil {
		return nil, err
	}
	if q.Target != "" {
		r.Targets = []string{q.Target}
	}
	if q.Network != "" {
		if r.Address, err = netip.ParseAddr(q.Network); err != nil {
			return nil, &directory.InvalidError{Field: "network", Problem: "must be an address such as 10.1.2.3"}
		}
	}
	out, err := a.explained(ctx, r.AtEndpoint())
	if err != nil {
		return nil, err
	}
	note(ctx, "dryRun", "true", "caller", q.Caller, "target", out.Target, "scope", strings.Join(r.Scopes, " "), "reason", out.Reason)
	return &answered[api.Explanation]{*out}, nil
}

func scopesOf(scopes []string) ([]string, error) {
	if slices.ContainsFunc(scopes, func(s string) bool { return s == "" || strings.Contains(s, " ") }) {
		return nil, &directory.InvalidError{Field: "scopes", Problem: "must be scope tokens: not empty and without spaces"}
	}
	return directory.ParseScopes(strings.Join(scopes, " "))
}

// explained rehearses r and puts what comes out into words.
func (a *handlers) explained(ctx context.Context, r issuer.Rehearsal) (*api.Explanation, error) {
	if err := a.Directory.CatchUp(ctx); err != nil {
		return nil, err
	}
	out := a.Issuer.Rehearse(r)
	asked := words.Asked{Caller: out.Caller, Target: out.Target, Scopes: r.Scopes, Method: r.Method, Grant: out.Grant, At: out.Question.At}
	var e api.Explanation
	v := out.Verdict
	switch {
	case out.Allowed(), out.Reason == string(v.Reason), out.Reason == string(policy.CallerDisabled):
		if v.Reason == "" {
			v.Reason = policy.Reason(out.Reason)
		}
		e = words.Explain(out.Snapshot, asked, v, a.ownerOf(ctx, out.Question.Caller, v))
	default:
		e = words.Before(out.Snapshot, asked, out.Reason)
	}
	e.Caller, e.Target, e.Shadow, e.Revision = out.Caller, out.Target, string(v.Otherwise()), out.Snapshot.Revision()
	return &e, nil
}

// ownerOf is the call map file that owns the rule of a verdict, if one does.
func (a *handlers) ownerOf(ctx context.Context, caller directory.UID, v directory.Verdict) string {
	if v.Rule == nil {
		return ""
	}
	r, err := a.Lists.ReadRule(ctx, policy.Edge{Caller: caller, Target: v.Target.UID})
	if err != nil {
		return "" // the rule was deleted meanwhile
	}
	return r.ManagedBy
}

func (a *handlers) readDecision(ctx context.Context, in *struct {
	ID string `path:"id" example:"5f1e2d3c4b5a69788796a5b4c3d2e1f0" doc:"The id of a decision."`
},
) (*answered[api.Decision], error) {
	if raw, err := hex.DecodeString(in.ID); err != nil || len(raw) != 16 {
		return nil, errNoDecision // not worth reading the log for
	}
	record, err := a.Audit.Find(ctx, in.ID, SearchLimit)
	switch {
	case errors.Is(err, os.ErrNotExist), err == nil && (record == nil || record.Kind != audit.KindDecision):
		return nil, errNoDecision
	case errors.Is(err, audit.ErrUnproved):
		return nil, errUnproved.Because(err)
	case err != nil:
		return nil, err
	}
	d := api.Decision{
		ID: record.ID, At: record.At.UTC(), Outcome: string(record.Outcome), Reason: record.Reason, Text: reason.Text(record.Reason), Endpoint: record.Endpoint, Address: record.Address,
		Caller: record.Caller, Target: record.Target, Scope: record.Scope, Credential: record.Credential, Method: record.Method, OnBehalfOf: record.OnBehalfOf,
		Observed: record.WouldRefuse, Shadow: record.Shadow, Claims: record.Claims, Token: record.Token, Record: record.Seq,
	}
	if e, ok := reason.Find(record.Reason); ok && record.Outcome != audit.Allowed {
		d.Advice, d.See = e.Do, reason.See(record.Reason)
	}
	if r, ok := again(record); ok {
		if d.Today, err = a.explained(ctx, r); err != nil {
			return nil, err
		}
	}
	return &answered[api.Decision]{d}, nil
}

// again is the token request of a record, if that tells who made it. Records of early versions do not say whether the
// token was bound, nor whether it was to tell who acts, nor whether the scopes that were granted were asked for.
func again(r *audit.Record) (issuer.Rehearsal, bool) {
	scopes, err := directory.ParseScopes(r.Scope)
	if r.AnyScope {
		scopes = nil
	}
	at := issuer.Endpoint(r.Endpoint)
	if r.Caller == "" || r.CallerUID == "" || err != nil || at != issuer.AccessTokenEndpoint && at != issuer.TokenEndpoint {
		return issuer.Rehearsal{}, false
	}
	address, _ := netip.ParseAddr(r.Address) // none: none
	q := issuer.Rehearsal{Endpoint: at, Caller: r.Caller, Method: r.Method, Credential: r.Credential, Grant: r.Grant, Targets: strings.Fields(r.Target), Scopes: scopes, Address: address, OnBehalfOf: r.OnBehalfOf}
	q.Key, q.Certificate = strings.Contains(r.Bound, "jkt"), strings.Contains(r.Bound, "x5t")
	q.Impersonate = r.Exchange == string(policy.Impersonate)
	return q, true
}
