package issuer

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/audit"
	"github.com/watchword-dev/watchword/server/internal/clientauth"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/keys"
	"github.com/watchword-dev/watchword/server/internal/policy"
)

// proofs are what a proposal rests on. A request carries them (presented), and in a rehearsal they are supposed.
// Nothing else of a walk differs, so that a rehearsal cannot come to another decision than a request.
type proofs interface {
	// identify finds out who asks.
	identify(ctx context.Context, a *attempt) (clientauth.Identity, error)
	// keys are those of which the caller has shown that it has them.
	keys(a *attempt) (shown, error)
	// spend uses up what may be used once.
	spend(ctx context.Context, a *attempt) error
	// read reads a token of the exchange, as Issuer.read does.
	read(token string, now time.Time) (t *Inspected, why string)
}

// attempt is one proposal on its way to a decision.
type attempt struct {
	*Proposal
	proofs   proofs
	clock    func() time.Time
	now      time.Time
	snapshot *directory.Snapshot
	event    audit.Event

	// What is found out on the way, in this order.
	caller  clientauth.Identity
	shown   shown
	binding binding
	subject *subject // whose token is exchanged; nil for other grants
	asked   []asked
}

// asked is a question to the call map, and the answer.
type asked struct {
	question directory.Question
	verdict  directory.Verdict
}

func (i *Issuer) attempt(p *Proposal, by proofs, clock func() time.Time) *attempt {
	now := clock()
	a := &attempt{Proposal: p, proofs: by, clock: clock, now: now, snapshot: i.directory.Snapshot(), event: i.event(p.Request, now)}
	a.event.Target, a.event.Scope, a.event.Grant = strings.Join(p.Targets, " "), strings.Join(p.Scopes, " "), p.Grant
	return a
}

// step determines one thing about an attempt. A *Refusal ends the attempt, and so does any other error, which is the
// server's own.
type step func(context.Context, *attempt) error

// walk takes a proposal to a decision and to the claims of a token. It signs, records and counts nothing.
func (i *Issuer) walk(ctx context.Context, a *attempt) (*grant, error) {
	if err := a.through(ctx, i.authenticate, i.permit, i.bind, i.spend, i.settle, i.readSubject); err != nil {
		return nil, err
	}
	g, err := i.decide(a)
	if err != nil {
		return nil, err
	}
	return g, i.prepare(g)
}

func (a *attempt) through(ctx context.Context, steps ...step) error {
	for _, s := range steps {
		if err := s(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

// authenticate finds out who asks.
func (i *Issuer) authenticate(ctx context.Context, a *attempt) error {
	id, err := a.proofs.identify(ctx, a)
	if err != nil {
		return err
	}
	a.identified(id)
	return nil
}

func (a *attempt) identified(id clientauth.Identity) {
	a.caller = id
	a.event.Caller, a.event.CallerUID = id.Service.Name, directory.FormatUID(id.Service.UID)
	a.event.Credential, a.event.Method = id.CredentialID, id.Method
}

// permit refuses a service that may not ask in this way at all.
func (i *Issuer) permit(_ context.Context, a *attempt) error {
	svc := a.caller.Service
	switch {
	case svc.Disabled && a.Endpoint == AccessTokenEndpoint:
		return &Refusal{Kind: Denied, Reason: string(policy.CallerDisabled)}
	case svc.Disabled:
		return &Refusal{Kind: InvalidToken, Reason: string(policy.CallerDisabled)}
	case a.Endpoint != TokenEndpoint:
		return nil
	case !isGrant(a.Grant):
		return unsupportedGrant()
	case len(svc.GrantTypes) > 0 && !slices.Contains(svc.GrantTypes, a.Grant):
		return &Refusal{Kind: UnauthorizedClient, Reason: "grant_not_allowed"}
	}
	return nil
}

// isGrant reports whether there is such a grant type.
func isGrant(grant string) bool {
	return slices.ContainsFunc(api.GrantTypes(), func(n api.Name) bool { return n.Name == grant })
}

func unsupportedGrant() *Refusal {
	return &Refusal{Kind: UnsupportedGrant, Reason: "unsupported_grant_type"}
}

// bind finds out to which key the token is bound, and refuses what is not bound as the service wants. A certificate
// binds only where it counted: a client whose TLS library happens to present one, and which proved itself otherwise,
// may not present it to the target.
func (i *Issuer) bind(_ context.Context, a *attempt) (err error) {
	if a.shown, err = a.proofs.keys(a); err != nil {
		return err
	}
	wants := a.caller.Service.Binding
	a.binding.key = a.shown.key
	if wants == api.BindingMTLS || a.binding.key == "" && (a.byCertificate() || wants == api.BindingRequired) {
		a.binding.certificate = a.shown.certificate
	}
	a.event.Bound = a.binding.members()
	return a.bound()
}

// byCertificate reports whether it is a certificate by which the caller proved itself.
func (a *attempt) byCertificate() bool {
	return slices.Contains([]string{api.TLSClientAuth, api.SelfSignedTLSClientAuth, api.SPIFFEX509}, a.caller.Method)
}

// bound refuses what is not bound as the service wants.
func (a *attempt) bound() error {
	wants := a.caller.Service.Binding
	switch {
	case wants == api.BindingDPoP && a.binding.key == "", wants == api.BindingRequired && a.binding == (binding{}):
		return &Refusal{Kind: InvalidProof, Reason: "unbound", Text: "tokens of this client must be bound to a key: send a DPoP proof"}
	case wants == api.BindingMTLS && a.binding.certificate == "":
		return &Refusal{Kind: Malformed, Reason: "unbound", Text: "tokens of this client must be bound to its certificate: present it"}
	}
	return nil
}

// spend uses up what may be used once: the assertion and the proof of a key. Only what is good in every other way gets
// here, so nobody can use up what is another's.
func (i *Issuer) spend(ctx context.Context, a *attempt) error { return a.proofs.spend(ctx, a) }

// settle takes the directory as it is now, where it changed while a proof was checked: that may have taken seconds,
// where keys had to be fetched for it. What was withdrawn meanwhile counts no more.
func (i *Issuer) settle(ctx context.Context, a *attempt) error {
	s := i.directory.Snapshot()
	if s == a.snapshot {
		return nil
	}
	a.snapshot, a.now = s, a.clock()
	svc, ok := s.ServiceByUID(a.caller.Service.UID)
	credential, known := s.Credential(a.caller.CredentialID)
	switch {
	case !ok:
		return &Refusal{Kind: InvalidToken, Reason: "unknown_service"}
	case known && credential.Good(a.now) != "":
		return &Refusal{Kind: InvalidToken, Reason: credential.Good(a.now)}
	case s.Denied(a.caller.Depends):
		return &Refusal{Kind: InvalidToken, Reason: "trust_changed"}
	case !clientauth.Accepts(svc, a.caller.Method):
		return &Refusal{Kind: InvalidToken, Reason: "method_not_accepted"}
	}
	a.caller.Service = svc
	return a.through(ctx, i.permit, func(context.Context, *attempt) error { return a.bound() })
}

// grant is a decision that a token be made.
type grant struct {
	caller    clientauth.Identity
	oauth     bool
	targets   []*directory.Service
	audiences []string // what the targets were asked for by
	scopes    []string
	algorithm jose.Algorithm
	ttl       time.Duration
	mayAct    directory.UID
	binding   binding
	subject   *subject
	snapshot  *directory.Snapshot // the decision was made from
	now       time.Time
	minting   *minting
}

// decide asks the call map about each target.
func (i *Issuer) decide(a *attempt) (*grant, error) {
	g := &grant{
		caller: a.caller, oauth: a.Endpoint == TokenEndpoint, binding: a.binding, subject: a.subject,
		snapshot: a.snapshot, now: a.now,
	}
	if d := a.caller.Service.DefaultTarget; len(a.Targets) == 0 && g.oauth && d != "" {
		a.Targets, a.event.Target = []string{d}, d // RFC 9068, section 3
	}
	g.audiences = distinct(a.Targets, a.snapshot)
	switch {
	case len(g.audiences) == 0:
		return nil, &Refusal{Kind: Denied, Reason: "no_target", Text: "name the service that the token is for, in resource or audience"}
	case len(g.audiences) > 1 && !a.caller.Service.MultipleTargets:
		return nil, &Refusal{Kind: Denied, Reason: "several_targets"}
	}
	for n, target := range g.audiences {
		v := a.ask(target)
		if !v.Allowed() {
			return nil, &Refusal{Kind: a.kindOf(v.Reason), Reason: string(v.Reason)}
		}
		d, svc := v.Decision, v.Target
		if n == 0 {
			g.scopes, g.mayAct = d.Scopes, d.Rule.MayAct()
		} else if g.mayAct != d.Rule.MayAct() || !slices.Equal(g.scopes, d.Scopes) {
			// One token has one scope, which each of its targets must have granted.
			return nil, &Refusal{Kind: InvalidScope, Reason: "targets_disagree", Text: "the targets do not grant the same scopes; name the scopes, or request one token for each target"}
		}
		if g.algorithm, g.ttl = i.strictest(g, svc, n == 0); g.algorithm == "" {
			return nil, &Refusal{Kind: Denied, Reason: "targets_disagree"}
		}
		g.targets = append(g.targets, svc)
	}
	// No token lives longer than what it was obtained with.
	ends := []time.Time{a.caller.Until}
	if a.subject != nil {
		ends = append(ends, a.subject.expiry)
	}
	for _, end := range ends {
		if left := end.Truncate(time.Second).Sub(a.now.Truncate(time.Second)); !end.IsZero() && left < g.ttl {
			g.ttl = left
		}
	}
	if g.ttl <= 0 {
		return nil, &Refusal{Kind: InvalidToken, Reason: "expired"}
	}
	return g, nil
}

// ask asks the call map about one target.
func (a *attempt) ask(target string) directory.Verdict {
	q := directory.Question{
		Caller: a.caller.Service.UID, Target: target, Scopes: a.Scopes, At: a.now,
		With: policy.Circumstances{Method: a.caller.Method, Bound: a.binding != (binding{}), Address: a.Address},
	}
	if a.subject != nil {
		q.Exchange, q.Within, q.With.Actors = a.subject.exchange, a.subject.scopes, len(a.subject.actors)
	}
	v := a.snapshot.Decide(q)
	a.asked = append(a.asked, asked{q, v})
	return v
}

// kindOf keeps the one answer of AccessTokenEndpoint for all that no rule allows. TokenEndpoint tells a caller that has
// a rule when it is the scope that is missing (RFC 6749, section 5.2).
func (a *attempt) kindOf(r policy.Reason) RefusalKind {
	if a.Endpoint == TokenEndpoint && (r == policy.ScopeNotGranted || r == policy.ScopeNotInToken) {
		return InvalidScope
	}
	return Denied
}

// prepare makes the claims of the token, and refuses those that are too many.
func (i *Issuer) prepare(g *grant) error {
	signer, err := i.keys.Signer(keys.UseAccess, g.algorithm)
	if err != nil {
		return fmt.Errorf("no key to sign %s with: %w", g.algorithm, err)
	}
	if g.minting = i.mint(g, signer); !g.minting.fits() {
		return &Refusal{Kind: InvalidScope, Reason: "token_too_large", Text: "a token with these scopes would be longer than 4 KiB; request fewer scopes"}
	}
	return nil
}

// distinct are the targets without those that name one service again: RFC 8707 has a resource, RFC
// 8693 an audience, and some clients send both. The first is what the token will say.
func distinct(targets []string, s *directory.Snapshot) []string {
	if len(targets) < 2 {
		return targets
	}
	var kept []string
	for _, t := range targets {
		svc, ok := s.Audience(t)
		if !slices.ContainsFunc(kept, func(k string) bool {
			other, known := s.Audience(k)
			return k == t || ok && known && other.UID == svc.UID
		}) {
			kept = append(kept, t)
		}
	}
	return kept
}

// strictest is the algorithm all targets want, or none, and the shortest of their lifetimes.
func (i *Issuer) strictest(g *grant, svc *directory.Service, first bool) (jose.Algorithm, time.Duration) {
	alg, ttl := i.o.Algorithm, i.o.TTL
	if svc.Algorithm != "" {
		alg = jose.Algorithm(svc.Algorithm)
	}
	if svc.TokenTTL() != 0 {
		ttl = svc.TokenTTL()
	}
	switch {
	case first:
		return alg, ttl
	case g.algorithm != alg:
		return "", 0
	}
	return alg, min(ttl, g.ttl)
}
