package issuer

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/clientauth"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/policy"
)

// Rehearsal is a proposal without its proofs: what would come out if it were made.
type Rehearsal struct {
	// Endpoint and Grant are those of a Proposal. A token is exchanged at TokenEndpoint, by api.GrantTokenExchange.
	Endpoint Endpoint
	Grant    string
	// Caller is the service that would prove itself by Method. Empty Method: in a way that the service accepts.
	Caller, Method string
	// Credential is the id of what it would prove itself with. Empty: any.
	Credential string
	Targets    []string
	Scopes     []string // sorted
	// Key: it would bring the proof of a key. Certificate: it would present a certificate.
	Key, Certificate bool
	Address          netip.Addr
	// Exchanges is how the token came to be that Caller would exchange.
	Exchanges *Rehearsal
	// OnBehalfOf is the service whose token Caller would exchange, where Exchanges is nil: the token then came on the
	// shortest way there is.
	OnBehalfOf  string
	Impersonate bool
	// At is when. Zero: now.
	At time.Time
}

// Rehearsed is what would come out.
type Rehearsed struct {
	// Caller, Target, Grant and At of the question that decided. With Exchanges or OnBehalfOf it may be the one whether
	// there is a token to exchange.
	Caller, Target, Grant string
	Question              directory.Question
	// Verdict of the call map. Zero: it was not asked, since Reason is about the caller.
	Verdict directory.Verdict
	// Reason is as in the audit log; policy.Allowed: there would be a token.
	Reason   string
	Scopes   []string
	Snapshot *directory.Snapshot

	token []byte // its claims
}

// Allowed reports whether there would be a token.
func (r *Rehearsed) Allowed() bool { return r.Reason == string(policy.Allowed) }

// Rehearse walks r as AccessToken walks a proposal, with proofs that are supposed to be good. It signs, records and
// counts nothing.
func (i *Issuer) Rehearse(r Rehearsal) Rehearsed {
	if r.At.IsZero() {
		r.At = i.o.Now()
	}
	if r.Exchanges == nil && r.OnBehalfOf != "" {
		s := i.directory.Snapshot()
		if r.Exchanges = i.received(s, &r); r.Exchanges == nil {
			r.Exchanges = i.likely(s, &r, hop{from: r.OnBehalfOf, to: r.Caller}, nil)
		}
	}
	return i.rehearse(&r)
}

func (i *Issuer) rehearse(r *Rehearsal) Rehearsed {
	supposed := supposed{i, r, nil}
	p := &Proposal{Request: Request{Endpoint: r.Endpoint, Address: r.Address}, Grant: r.Grant, Targets: r.Targets, Scopes: r.Scopes}
	if r.Exchanges != nil {
		first := *r.Exchanges
		first.At = r.At
		received := i.rehearse(&first)
		if !received.Allowed() {
			return received
		}
		supposed.subject = received.token
		p.Endpoint, p.Grant, p.Exchange.Impersonate = TokenEndpoint, api.GrantTokenExchange, r.Impersonate
	}
	a := i.attempt(p, supposed, func() time.Time { return r.At })
	g, err := i.walk(context.Background(), a)
	out := Rehearsed{Caller: r.Caller, Grant: p.Grant, Target: strings.Join(a.Targets, " "), Question: directory.Question{At: a.now}, Snapshot: a.snapshot}
	if svc := a.caller.Service; svc != nil {
		out.Question.Caller = svc.UID
	}
	if n := len(a.asked); n > 0 {
		out.Question, out.Verdict = a.asked[n-1].question, a.asked[n-1].verdict
		out.Target = out.Question.Target
	}
	var refusal *Refusal
	switch {
	case errors.As(err, &refusal):
		out.Reason = refusal.Reason
	case err != nil:
		out.Reason = "server_failed"
	default:
		out.Reason, out.Scopes, out.token = string(policy.Allowed), g.scopes, g.minting.payload
	}
	return out
}

// supposed are the proofs of a rehearsal: good ones, that were never made.
type supposed struct {
	i       *Issuer
	r       *Rehearsal
	subject []byte // the claims of the token that is exchanged
}

// What is supposed is as long as what is real, so that a token is too large, or is not, in both.
var (
	supposedCredential = strings.Repeat("0", 32)
	supposedThumbprint = strings.Repeat("A", 43)
)

func (s supposed) identify(_ context.Context, a *attempt) (id clientauth.Identity, err error) {
	svc, ok := a.snapshot.Service(s.r.Caller)
	if !ok {
		return id, &Refusal{Kind: InvalidToken, Reason: "unknown_service"}
	}
	id = clientauth.Identity{Service: svc, Method: s.r.Method, CredentialID: s.r.Credential}
	if id.Method == "" && a.Grant == api.GrantJWTBearer {
		id.Method = api.PrivateKeyJWT
	}
	if id.CredentialID == "" {
		id.CredentialID = supposedCredential
	}
	if id.Method != "" && !clientauth.Accepts(svc, id.Method) {
		return id, &Refusal{Kind: InvalidToken, Reason: "method_not_accepted"}
	}
	return id, nil
}

func (s supposed) keys(a *attempt) (k shown, err error) {
	if s.r.Key {
		k.key = supposedThumbprint
	}
	if s.r.Certificate || a.byCertificate() {
		k.certificate = supposedThumbprint
	}
	return k, nil
}

func (s supposed) spend(context.Context, *attempt) error { return nil }

func (s supposed) read(_ string, now time.Time) (*Inspected, string) {
	return s.i.parse(s.subject, now)
}

// maxTried bounds how many hops are rehearsed to find a way: it takes a second or so.
const maxTried = 200_000

// hop is that a service gets a token for another.
type hop struct{ from, to string }

// received is the shortest way on which r.Caller may have received a token of r.OnBehalfOf with the scopes of r, or nil.
// Tokens travel by exchange, or are exchanged by whom their may_act names.
func (i *Issuer) received(s *directory.Snapshot, r *Rehearsal) *Rehearsal {
	type holder struct {
		name string
		got  *Rehearsal // nil: it is the subject itself
	}
	hops := hopsOf(s, r.OnBehalfOf)
	seen, tried := map[string]bool{r.OnBehalfOf: true}, 0
	for queue := []holder{{r.OnBehalfOf, nil}}; len(queue) > 0; queue = queue[1:] {
		for _, to := range hops[queue[0].name] {
			if tried++; tried > maxTried {
				return nil
			}
			next := i.likely(s, r, hop{queue[0].name, to}, queue[0].got)
			out := i.rehearse(next)
			if !out.Allowed() {
				continue
			}
			by := to
			if svc, ok := s.ServiceByUID(out.Verdict.Rule.MayAct()); ok {
				by = svc.Name
			}
			if by == r.Caller {
				return next
			}
			if !seen[by] {
				seen[by] = true
				queue = append(queue, holder{by, next})
			}
		}
	}
	return nil
}

// hopsOf are the targets of the rules that may be part of a way of a token of subject, by caller.
func hopsOf(s *directory.Snapshot, subject string) map[string][]string {
	hops := map[string][]string{}
	first, _ := s.Service(subject)
	for rule := range s.Rules() {
		from, ok1 := s.ServiceByUID(rule.Caller)
		to, ok2 := s.ServiceByUID(rule.Target)
		if ok1 && ok2 && (from == first || rule.Exchange() != policy.NoExchange) {
			hops[from.Name] = append(hops[from.Name], to.Name)
		}
	}
	for svc := range s.All() {
		if svc.Observe { // whom everybody may call
			hops[subject] = append(hops[subject], svc.Name)
		}
	}
	return hops
}

// likely is a hop made in whatever way its rule wants: of how a token came to be, nothing is known.
func (i *Issuer) likely(s *directory.Snapshot, r *Rehearsal, h hop, got *Rehearsal) *Rehearsal {
	next := &Rehearsal{
		Endpoint: AccessTokenEndpoint, Caller: h.from, Targets: []string{h.to}, Scopes: r.Scopes, Address: r.Address,
		Exchanges: got, At: r.At,
	}
	from, ok1 := s.Service(h.from)
	to, ok2 := s.Service(h.to)
	if !ok1 || !ok2 {
		return next
	}
	next.Key = got != nil && got.Key || from.Binding != ""
	rule := s.Rule(policy.Edge{Caller: from.UID, Target: to.UID})
	when := &policy.When{}
	if rule != nil && rule.Terms != nil && rule.Terms.When != nil {
		when = rule.Terms.When
	}
	next.Key = next.Key || when.Bound
	next.Certificate = next.Key
	if len(when.Networks) > 0 {
		next.Address = when.Networks[0].Addr()
	}
	for _, m := range when.Methods {
		if clientauth.Accepts(from, m) {
			next.Method = m
		}
	}
	if next.Method != "" && next.Method != api.Bootstrap {
		next.Endpoint, next.Grant = TokenEndpoint, api.GrantClientCredentials
	}
	return next
}
