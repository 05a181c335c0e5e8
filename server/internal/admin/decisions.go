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
	"time"

	"github.com/watchword-dev/watchword/server/internal/audit"
	"github.com/watchword-dev/watchword/server/internal/directory"
	words "github.com/watchword-dev/watchword/server/internal/explain"
	"github.com/watchword-dev/watchword/server/internal/issuer"
	"github.com/watchword-dev/watchword/server/internal/policy"
)

// ExplainDecision is a question as a token request puts it.
type ExplainDecision struct {
	Caller      string    `json:"caller" minLength:"1" maxLength:"128" example:"m1" doc:"Name of the service that would ask."`
	Target      string    `json:"target,omitempty" maxLength:"512" example:"m2" doc:"Name or audience of the service the token would be for. Absent: the caller's default target."`
	Scopes      []string  `json:"scopes,omitempty" nullable:"false" maxItems:"64" example:"[\"write\"]" doc:"What would be asked for. None: all there is."`
	Grant       string    `json:"grant,omitempty" enum:",client_credentials,urn:ietf:params:oauth:grant-type:token-exchange,urn:ietf:params:oauth:grant-type:jwt-bearer" example:"client_credentials" doc:"The OAuth grant. Empty: POST /accesstoken or, with onBehalfOf, token exchange."`
	Method      string    `json:"method,omitempty" enum:",client_secret_basic,client_secret_post,private_key_jwt,tls_client_auth,self_signed_tls_client_auth,bootstrap" example:"private_key_jwt" doc:"How the caller would prove itself. Empty: nobody says; a rule that wants a way is not met."`
	Bound       bool      `json:"bound,omitempty" example:"false" doc:"It would bring the proof of a key."`
	Network     string    `json:"network,omitempty" maxLength:"64" example:"10.1.2.3" doc:"The address it would ask from."`
	OnBehalfOf  string    `json:"onBehalfOf,omitempty" maxLength:"128" example:"m0" doc:"It would exchange a token of this service for itself."`
	Impersonate bool      `json:"impersonate,omitempty" example:"false" doc:"With onBehalfOf: for a token that does not say who acts."`
	At          time.Time `json:"at,omitzero" example:"2026-11-24T12:00:00Z" doc:"When. Absent: now."`
}

// Explanation is what would come out, and why.
type Explanation struct {
	Caller string `json:"caller" example:"m1" doc:"The caller."`
	Target string `json:"target" example:"m2" doc:"The target."`
	words.Why
	Shadow   policy.Reason `json:"shadow,omitempty" example:"no_rule" doc:"What the rules of the shadow would say, where they say something else."`
	Revision int64         `json:"revision" example:"42" doc:"The revision of the directory that was asked."`
}

// Decision is one that was recorded.
type Decision struct {
	ID         string        `json:"id" example:"5f1e2d3c4b5a69788796a5b4c3d2e1f0" doc:"As the caller saw it, in the header Watchword-Decision."`
	At         time.Time     `json:"at" example:"2026-11-24T12:00:00Z" doc:"When."`
	Outcome    audit.Outcome `json:"outcome" enum:"allowed,refused,failed" example:"refused" doc:"What came out."`
	Reason     string        `json:"reason" example:"no_rule" doc:"Why, in a word."`
	Text       string        `json:"text" example:"no rule allowed it" doc:"Why, in words."`
	Door       string        `json:"door,omitempty" example:"oauth" doc:"Where it was asked."`
	Address    string        `json:"address,omitempty" example:"10.1.2.3" doc:"From where."`
	Caller     string        `json:"caller,omitempty" example:"m1" doc:"Who asked; as claimed, where that was not proved."`
	Target     string        `json:"target,omitempty" example:"m2" doc:"For whom, as asked."`
	Scope      string        `json:"scope,omitempty" example:"read" doc:"What was granted or, when refused, asked for."`
	Credential string        `json:"credential,omitempty" example:"00112233445566778899aabbccddeeff" doc:"The credential by which the caller proved itself."`
	Method     string        `json:"method,omitempty" example:"private_key_jwt" doc:"How."`
	OnBehalfOf string        `json:"onBehalfOf,omitempty" example:"m0" doc:"Whose token it would have exchanged."`
	Observed   string        `json:"observed,omitempty" example:"no_rule" doc:"Why it was allowed only since the target observes."`
	Shadow     string        `json:"shadow,omitempty" example:"no_rule" doc:"What the rules of the shadow would have said."`
	Token      string        `json:"token,omitempty" example:"0f1e2d3c4b5a69788796a5b4c3d2e1f0" doc:"The jti of the token."`
	Record     uint64        `json:"record" example:"1234" doc:"Its number in the audit log."`
	Today      *Explanation  `json:"today,omitempty" doc:"What the same request would get now, as far as the record tells how it was made. Absent: the caller was not known."`
}

var (
	exampleExplanation = Explanation{
		Caller: "m1", Target: "m2", Revision: 42,
		Why: words.Why{Reason: policy.ScopeNotGranted, Text: "m1 -> m2 exists for read; write was asked", Command: "watchword allow m1 m2 --scope read --scope write"},
	}
	errNoDecision = newProblem(http.StatusNotFound, "not_found", "There is no decision of that id in the audit log of this server, as far back as it was searched. Each replica has its own: ask the one that made it, or look with `watchword audit tail` for when it was.")
)

var errUnproved = newProblem(http.StatusConflict, "audit_unproved", "The audit log of this server was changed, or a part of it is missing, so that nothing proves what it says of that decision. `watchword audit verify` shows where.")

// searchLimit bounds what is read of the audit log for one id.
const searchLimit = 4 << 30

func (a *handlers) decisions() {
	register(a, operation{
		method: http.MethodPost, path: "/decisions/explain", id: "explainDecision", action: action{name: "decision.explain"}, tag: "decisions",
		summary: "Say what a token request would get", description: "The same decision as that of a real request, but for the proofs, in words, with the command that would change it. No token is made; that it was a rehearsal is recorded in the audit log.",
		request: ExplainDecision{Caller: "m1", Target: "m2", Scopes: []string{"write"}}, answer: exampleExplanation,
	}, a.explainDecision)
	register(a, operation{
		method: http.MethodGet, path: "/decisions/{id}", id: "readDecision", action: action{name: "decision.read", audited: true, large: true}, tag: "decisions",
		summary: "Read a decision", description: "A decision from the audit log of this server, the newest records first, and what the directory would say today. Reading it is recorded in the audit log.",
		missing: errNoDecision, answer: Decision{
			ID: "5f1e2d3c4b5a69788796a5b4c3d2e1f0", At: exampleTime, Outcome: audit.Refused, Reason: "no_rule", Text: "no rule allowed it",
			Door: "oauth", Address: "10.1.2.3", Caller: "m1", Target: "m2", Scope: "write", Method: "private_key_jwt", Record: 1234, Today: &exampleExplanation,
		},
	}, a.readDecision)
}

func (a *handlers) explainDecision(ctx context.Context, in *struct{ Body ExplainDecision }) (*answered[Explanation], error) {
	q := in.Body
	r := issuer.Rehearsal{Endpoint: issuer.AccessTokenEndpoint, Caller: q.Caller, Grant: q.Grant, Method: q.Method, Bound: q.Bound, OnBehalfOf: q.OnBehalfOf, Impersonate: q.Impersonate, At: q.At}
	var err error
	if r.Scopes, err = scopesOf(q.Scopes); err != nil {
		return nil, err
	}
	if q.Target != "" {
		r.Targets = []string{q.Target}
	}
	if r.Grant != "" || q.Target == "" { // POST /accesstoken knows no default target
		r.Endpoint = issuer.TokenEndpoint
	}
	if q.Network != "" {
		if r.Address, err = netip.ParseAddr(q.Network); err != nil {
			return nil, &directory.InvalidError{Field: "network", Problem: "must be an address such as 10.1.2.3"}
		}
	}
	out, err := a.explained(ctx, r)
	if err != nil {
		return nil, err
	}
	note(ctx, "dryRun", "true", "caller", q.Caller, "target", out.Target, "scope", strings.Join(r.Scopes, " "), "reason", string(out.Reason))
	return &answered[Explanation]{*out}, nil
}

func scopesOf(scopes []string) ([]string, error) {
	if slices.ContainsFunc(scopes, func(s string) bool { return s == "" || strings.Contains(s, " ") }) {
		return nil, &directory.InvalidError{Field: "scopes", Problem: "must be scope tokens: not empty and without spaces"}
	}
	return directory.ParseScopes(strings.Join(scopes, " "))
}

// explained rehearses r and puts what comes out into words.
func (a *handlers) explained(ctx context.Context, r issuer.Rehearsal) (*Explanation, error) {
	if err := a.Directory.CatchUp(ctx); err != nil {
		return nil, err
	}
	out := a.Issuer.Rehearse(r)
	asked := words.Asked{Caller: out.Caller, Target: out.Target, Scopes: r.Scopes, Method: r.Method, Grant: r.Grant, At: out.Question.At}
	e := &Explanation{Caller: out.Caller, Target: out.Target, Revision: out.Snapshot.Revision()}
	v := out.Verdict
	switch {
	case out.Reason == string(policy.Allowed), out.Reason == string(v.Reason), out.Reason == string(policy.CallerDisabled):
		if v.Reason == "" {
			v.Reason = policy.Reason(out.Reason)
		}
		e.Why = words.Explain(out.Snapshot, asked, v, a.ownerOf(ctx, out.Question.Caller, v))
	default:
		e.Why = words.Before(out.Snapshot, asked, out.Reason)
	}
	e.Shadow = v.Otherwise()
	return e, nil
}

// ownerOf is the call map file that owns the rule of a verdict, if one does.
func (a *handlers) ownerOf(ctx context.Context, caller directory.UID, v directory.Verdict) string {
	if v.Rule == nil {
		return ""
	}
	r, err := a.Lists.ReadRule(ctx, policy.Edge{Caller: caller, Target: v.Target.UID})
	if err != nil {
		return "" // a rule that went meanwhile is nobody's
	}
	return r.ManagedBy
}

func (a *handlers) readDecision(ctx context.Context, in *struct {
	ID string `path:"id" example:"5f1e2d3c4b5a69788796a5b4c3d2e1f0" doc:"The id of a decision."`
},
) (*answered[Decision], error) {
	if raw, err := hex.DecodeString(in.ID); err != nil || len(raw) != 16 {
		return nil, errNoDecision // not worth reading the log for
	}
	record, err := a.Audit.Find(ctx, in.ID, searchLimit)
	switch {
	case errors.Is(err, os.ErrNotExist), err == nil && (record == nil || record.Kind != audit.KindDecision):
		return nil, errNoDecision
	case errors.Is(err, audit.ErrUnproved):
		return nil, errUnproved.Because(err)
	case err != nil:
		return nil, err
	}
	d := Decision{
		ID: record.ID, At: record.At.UTC(), Outcome: record.Outcome, Reason: record.Reason, Text: words.Recorded(record.Reason), Door: record.Endpoint, Address: record.Address,
		Caller: record.Caller, Target: record.Target, Scope: record.Scope, Credential: record.Credential, Method: record.Method, OnBehalfOf: record.OnBehalfOf,
		Observed: record.WouldRefuse, Shadow: record.Shadow, Token: record.Token, Record: record.Seq,
	}
	if r, ok := again(record); ok {
		if d.Today, err = a.explained(ctx, r); err != nil {
			return nil, err
		}
	}
	return &answered[Decision]{d}, nil
}

// again is the request of a record, if that tells who made it. Whether its token was bound, and
// whether it was to tell who acts, no record says.
func again(r *audit.Record) (issuer.Rehearsal, bool) {
	scopes, err := directory.ParseScopes(r.Scope)
	if r.Caller == "" || r.CallerUID == "" || err != nil {
		return issuer.Rehearsal{}, false
	}
	address, _ := netip.ParseAddr(r.Address) // none: none
	q := issuer.Rehearsal{Endpoint: issuer.Endpoint(r.Endpoint), Caller: r.Caller, Method: r.Method, Grant: r.Grant, Targets: strings.Fields(r.Target), Scopes: scopes, Address: address, OnBehalfOf: r.OnBehalfOf}
	if r.Reason == string(policy.ImpersonateForbidden) {
		q.Impersonate = true
	}
	return q, true
}
