package issuer

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/clientauth"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/policy"
)

// Rehearsal is a proposal without its proofs: what would come out if it were made.
type Rehearsal struct {
	// Caller is the service that would prove itself by Method. Empty Method: in a way that its
	// service accepts.
	Caller, Method string
	// Endpoint and Grant are those of a Proposal. With OnBehalfOf they are TokenEndpoint and TokenExchange.
	Endpoint Endpoint
	Grant    string
	Targets  []string
	Scopes   []string // sorted
	// Bound: it would bring the proof of a key.
	Bound   bool
	Address netip.Addr
	// OnBehalfOf is the service whose token for Caller it would exchange; Impersonate is that of
	// Exchange.
	OnBehalfOf  string
	Impersonate bool
	// At is when. Zero: now.
	At time.Time
}

// Rehearsed is what would come out.
type Rehearsed struct {
	// Caller, Target and At of the question that decided. With OnBehalfOf it may be the one whether
	// there is a token to exchange.
	Caller, Target string
	Question       directory.Question
	// Verdict of the call map. Zero: it was not asked, since Reason is about the caller.
	Verdict directory.Verdict
	// Reason is as in the audit log; policy.Allowed: there would be a token.
	Reason   string
	Scopes   []string
	Snapshot *directory.Snapshot
}

// Rehearse walks r through the same steps as AccessToken, but for the proofs, and makes, records and
// counts nothing.
func (i *Issuer) Rehearse(r Rehearsal) Rehearsed {
	s := i.directory.Snapshot()
	if r.At.IsZero() {
		r.At = i.o.Now()
	}
	if r.OnBehalfOf == "" {
		return i.rehearse(s, r, nil)
	}
	// Whose token is exchanged, and what it is good for.
	first := i.rehearse(s, received(s, r), nil)
	if first.Reason != string(policy.Allowed) {
		return first
	}
	sub := &subject{name: r.OnBehalfOf, scopes: first.Scopes, expiry: r.At.Add(i.o.TTL), exchange: policy.Delegate}
	if r.Impersonate {
		sub.exchange = policy.Impersonate
	} else {
		sub.actors = []string{r.Caller}
	}
	r.Endpoint, r.Grant = TokenEndpoint, api.GrantTokenExchange
	out := i.rehearse(s, r, sub)
	if by := first.Verdict.Rule.MayAct(); by != (directory.UID{}) && by != out.Question.Caller {
		out.Reason, out.Scopes = "not_in_may_act", nil
	}
	return out
}

// received is how the token that is exchanged came to be: nothing is known of that, so in whatever way
// the rule wants.
func received(s *directory.Snapshot, r Rehearsal) Rehearsal {
	first := Rehearsal{Endpoint: AccessTokenEndpoint, Caller: r.OnBehalfOf, Targets: []string{r.Caller}, Bound: true, Address: r.Address, At: r.At}
	from, ok1 := s.Service(r.OnBehalfOf)
	to, ok2 := s.Service(r.Caller)
	if !ok1 || !ok2 {
		return first
	}
	if rule := s.Rule(policy.Edge{Caller: from.UID, Target: to.UID}); rule != nil && rule.Terms != nil && rule.Terms.When != nil {
		if m := rule.Terms.When.Methods; len(m) > 0 {
			first.Method = m[0]
		}
		if n := rule.Terms.When.Networks; len(n) > 0 {
			first.Address = n[0].Addr()
		}
	}
	return first
}

func (i *Issuer) rehearse(s *directory.Snapshot, r Rehearsal, sub *subject) Rehearsed {
	a := &attempt{
		Proposal: &Proposal{Request: Request{Endpoint: r.Endpoint, Address: r.Address}, Grant: r.Grant, Targets: r.Targets, Scopes: r.Scopes},
		now:      r.At, snapshot: s, subject: sub, rehearsed: true,
	}
	out := Rehearsed{Caller: r.Caller, Snapshot: s}
	if len(r.Targets) > 0 {
		out.Target = r.Targets[0]
	}
	svc, ok := s.Service(r.Caller)
	if !ok {
		out.Reason = string(policy.CallerDisabled)
		return out
	}
	a.caller = clientauth.Identity{Service: svc, Method: r.Method}
	if r.Bound {
		a.binding.key = "rehearsed"
		if svc.Binding == api.BindingMTLS {
			a.binding.certificate = "rehearsed"
		}
	}
	refusal := i.rehearsePermit(a)
	if refusal == nil {
		var g *grant
		if g, refusal = i.decide(a); refusal == nil {
			out.Scopes = g.scopes
		}
	}
	out.Question, out.Verdict, out.Reason = a.question(out.Target), a.verdict, string(policy.Allowed)
	if len(a.Targets) > 0 {
		out.Target = a.Targets[0] // the default one, where none was asked for
		out.Question.Target = out.Target
	}
	if refusal != nil {
		out.Reason = refusal.Reason
	}
	return out
}

// rehearsePermit is what is refused before the call map is asked.
func (i *Issuer) rehearsePermit(a *attempt) *Refusal {
	if m := a.caller.Service.AuthMethods; a.caller.Method != "" && len(m) > 0 && !slices.Contains(m, a.caller.Method) {
		return &Refusal{Kind: InvalidToken, Reason: "method_not_accepted"}
	}
	var refusal *Refusal
	if errors.As(i.permit(context.Background(), a), &refusal) {
		return refusal
	}
	return a.unbound()
}
