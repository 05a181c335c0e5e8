// Package issuer makes every decision about a token and mints every token. Doors propose;
// here the caller is authenticated, the call map is asked, the decision is recorded, and
// only then is there a token. It does not know HTTP.
package issuer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/internal/dpop"
	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/audit"
	"github.com/watchword-dev/watchword/server/internal/clientauth"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/keys"
	"github.com/watchword-dev/watchword/server/internal/once"
	"github.com/watchword-dev/watchword/server/internal/policy"
	"github.com/watchword-dev/watchword/server/internal/usage"
)

// AccessTokenType is the typ of every access token (RFC 9068, section 2.1).
const AccessTokenType = "at+jwt"

// MaxTokenSize is the longest access token issued, in bytes: what fits the header of a request
// everywhere. More scopes than that are refused (RFC 6749, section 5.1).
const MaxTokenSize = 4 << 10

// What the issuer needs of its neighbours.
type (
	// Directory is the services, credentials and rules.
	Directory interface {
		Snapshot() *directory.Snapshot
		Fresh() error
		RecordUse(credential string, at time.Time, from string)
		AddCredential(ctx context.Context, by directory.Author, service string, n directory.NewCredential) (directory.Credential, error)
		RotateCredential(ctx context.Context, by directory.Author, id string, overlap time.Duration, remake func(directory.Kind) (material string, err error)) (fresh, old directory.Credential, err error)
		RevokeToken(ctx context.Context, by directory.Author, jti string, expiry time.Time, status string) error
		RevokeOwnToken(ctx context.Context, by directory.Author, owner directory.UID, jti string, expiry time.Time, status string) error
	}
	// Keys are the key ring.
	Keys interface {
		Signer(use keys.Use, alg jose.Algorithm) (*jose.Signer, error)
		Verifiers(use keys.Use) *jose.KeySet
	}
	// Authenticator says which service presented a proof.
	Authenticator interface {
		Authenticate(ctx context.Context, p *clientauth.Presented, s *directory.Snapshot, now time.Time) (clientauth.Identity, *clientauth.Failure)
	}
	// Once says which entries were not used before. With an error nothing is known.
	Once interface {
		Use(ctx context.Context, entries ...once.Entry) (fresh []bool, err error)
	}
	// Log is the audit log.
	Log interface {
		Begin(audit.Event) *audit.Pending
	}
)

// Options of an Issuer.
type Options struct {
	// PlainIssuer is the iss of the tokens of the plain door, and with it the aud of bootstrap
	// credentials.
	PlainIssuer string
	// Issuer is the iss of the tokens of the OAuth doors: a URL.
	Issuer string
	// TTL of tokens for targets that have none of their own. Zero: 15 minutes.
	TTL time.Duration
	// Algorithm for targets that have none of their own. Zero: ES256.
	Algorithm jose.Algorithm
	// ReuseWindow is how long one token may be handed out again to the same credential for
	// the same target and scopes. Zero: never.
	ReuseWindow time.Duration
	// MaxActors bounds how many services may have acted for another in one token. Zero: 5.
	MaxActors int
	// Pepper is the key under which client secrets are hashed, as package clientauth has it.
	Pepper []byte
	// Nonces are those that proofs of keys may or must have. Nil: none are known.
	Nonces *dpop.Nonces
	// RequireNonce refuses proofs of keys without one.
	RequireNonce bool
	// Status gives a token its place in a status list, from what it hangs on. Nil: none.
	Status func(deps []string) (uri string, index int64)
	// Count hears of each decision about a service. Nil: nobody does.
	Count func(u usage.Use, at time.Time)
	Now   func() time.Time
}

// Issuer decides and mints.
type Issuer struct {
	directory Directory
	keys      Keys
	auth      Authenticator
	once      Once
	log       Log
	o         Options
	claims    claimsBuilder
	reuse     reuse
}

// New makes an issuer.
func New(d Directory, k Keys, a Authenticator, u Once, l Log, o Options) *Issuer {
	if o.TTL == 0 {
		o.TTL = 15 * time.Minute
	}
	if o.Algorithm == "" {
		o.Algorithm = jose.ES256
	}
	if o.MaxActors == 0 {
		o.MaxActors = 5
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Issuer{
		directory: d, keys: k, auth: a, once: u, log: l, o: o,
		claims: newClaimsBuilder(o.PlainIssuer, o.Issuer), reuse: reuse{window: o.ReuseWindow},
	}
}

// attempt is one proposal on its way to a decision.
type attempt struct {
	*Proposal
	now      time.Time
	snapshot *directory.Snapshot
	event    audit.Event

	// What is found out on the way, in this order.
	caller  clientauth.Identity
	binding binding
	subject *subject          // whose token is exchanged; nil for other grants
	verdict directory.Verdict // of the last question to the call map

	rehearsed bool // nothing is counted
}

// AccessToken decides about p. The decision is on disk when it returns, granted or refused
// (*Refusal); when it cannot be recorded, or a key or the directory is not fit for use, the
// error wraps ErrUnavailable and there is no token. The id names the decision in the audit
// log, and may be told. It is empty for a refusal that is only counted: nobody proved who asked,
// and there were many such requests from the same network.
//
// A caller that leaves, or closes its half of the connection, changes nothing about a decision:
// it is recorded all the same, and the log bounds the wait itself.
func (i *Issuer) AccessToken(ctx context.Context, p *Proposal) (t Token, decisionID string, err error) {
	ctx = context.WithoutCancel(ctx)
	a := i.attempt(p)
	var refusal *Refusal
	for _, step := range []func(context.Context, *attempt) error{i.authenticate, i.permit, i.bind, i.spend, i.readSubject} {
		switch err := step(ctx, a); {
		case err == nil:
		case errors.As(err, &refusal):
			id, err := i.refuse(ctx, a.event, refusal)
			return Token{}, id, err
		default:
			id, err := i.fail(ctx, a.event, err)
			return Token{}, id, err
		}
	}
	g, refusal := i.decide(a)
	if refusal != nil {
		id, err := i.refuse(ctx, a.event, refusal)
		return Token{}, id, err
	}
	i.directory.RecordUse(a.caller.CredentialID, a.now, a.event.Address)
	t, err = i.grant(ctx, a.event, g)
	return t, a.event.ID, err
}

func (i *Issuer) attempt(p *Proposal) *attempt {
	now := i.o.Now()
	a := &attempt{Proposal: p, now: now, snapshot: i.directory.Snapshot(), event: i.event(p.Request, now)}
	a.event.Target, a.event.Scope, a.event.Grant = strings.Join(p.Targets, " "), strings.Join(p.Scopes, " "), p.Grant
	return a
}

// permit says whether the service may ask in this way at all.
func (i *Issuer) permit(_ context.Context, a *attempt) error {
	svc := a.caller.Service
	if svc.Disabled {
		if a.Endpoint == AccessTokenEndpoint {
			return &Refusal{Kind: Denied, Reason: string(policy.CallerDisabled)}
		}
		return &Refusal{Kind: InvalidToken, Reason: string(policy.CallerDisabled)}
	}
	if a.Endpoint == TokenEndpoint && len(svc.GrantTypes) > 0 && !slices.Contains(svc.GrantTypes, a.Grant) {
		return &Refusal{Kind: UnauthorizedClient, Reason: "grant_not_allowed"}
	}
	return nil
}

// decide asks the call map about each target.
func (i *Issuer) decide(a *attempt) (*grant, *Refusal) {
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
		return nil, &Refusal{Kind: Denied, Reason: "no_target", Text: "say whom the token is for, as resource or audience"}
	case len(g.audiences) > 1 && !a.caller.Service.MultipleTargets:
		return nil, &Refusal{Kind: Denied, Reason: "several_targets"}
	}
	for n, target := range g.audiences {
		q := a.question(target)
		v := a.snapshot.Decide(q)
		if a.verdict = v; !a.rehearsed {
			i.count(a, q, v)
		}
		if !v.Allowed() {
			return nil, &Refusal{Kind: i.kindOf(a, v.Reason), Reason: string(v.Reason)}
		}
		d, svc := v.Decision, v.Target
		if n == 0 {
			g.scopes, g.mayAct = d.Scopes, d.Rule.MayAct()
		} else if g.mayAct != d.Rule.MayAct() || !slices.Equal(g.scopes, d.Scopes) {
			// One token has one scope, which each of its targets must have granted.
			return nil, &Refusal{Kind: InvalidScope, Reason: "targets_disagree", Text: "the targets do not grant the same; name the scope, or ask for a token each"}
		}
		if g.algorithm, g.ttl = i.strictest(g, svc, n == 0); g.algorithm == "" {
			return nil, &Refusal{Kind: Denied, Reason: "targets_disagree"}
		}
		g.targets = append(g.targets, svc)
	}
	if a.subject != nil {
		if left := a.subject.expiry.Sub(a.now.Truncate(time.Second)); left < g.ttl {
			g.ttl = left
		}
	}
	return g, nil
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

// question is what the call map is asked about one target.
func (a *attempt) question(target string) directory.Question {
	q := directory.Question{
		Caller: a.caller.Service.UID, Target: target, Scopes: a.Scopes, At: a.now,
		With: policy.Circumstances{Method: a.caller.Method, Bound: a.binding.key != "" || a.binding.certificate != "", Address: a.Address},
	}
	if a.subject != nil {
		q.Exchange, q.Within, q.With.Actors = a.subject.exchange, a.subject.scopes, len(a.subject.actors)
	}
	return q
}

// count notes a decision about a service that there is, and what would have come out otherwise.
func (i *Issuer) count(a *attempt, q directory.Question, v directory.Verdict) {
	otherwise := v.Otherwise()
	if v.Observed != "" {
		a.event.WouldRefuse = string(v.Observed)
	}
	if otherwise != "" {
		a.event.Shadow = string(otherwise)
	}
	if i.o.Count == nil || v.Target == nil {
		return
	}
	u := usage.Use{
		Edge: policy.Edge{Caller: q.Caller, Target: v.Target.UID}, Credential: a.caller.CredentialID,
		Scopes: strings.Join(v.Scopes, " "), Method: q.With.Method, Bound: q.With.Bound,
		Exchange: q.Exchange, Actors: q.With.Actors, Network: usage.NetworkOf(a.Address),
		Would: v.Observed, Shadow: otherwise,
	}
	if !v.Allowed() {
		u.Why, u.Scopes = v.Reason, strings.Join(a.Scopes, " ")
	}
	i.o.Count(u, a.now)
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

// kindOf keeps the one answer of AccessTokenEndpoint for all that no rule allows. TokenEndpoint tells a
// caller that has a rule when it is the scope that is missing (RFC 6749, section 5.2).
func (i *Issuer) kindOf(a *attempt, r policy.Reason) RefusalKind {
	if a.Endpoint == TokenEndpoint && (r == policy.ScopeNotGranted || r == policy.ScopeNotInToken) {
		return InvalidScope
	}
	return Denied
}

// Refuse records a request that a door could not make a proposal of.
func (i *Issuer) Refuse(ctx context.Context, r Request, kind RefusalKind, reason string) (decisionID string, err error) {
	e := i.event(r, i.o.Now())
	return i.refuse(ctx, e, &Refusal{Kind: kind, Reason: reason})
}

// Fail records a request that a door failed to serve by its own fault.
func (i *Issuer) Fail(ctx context.Context, r Request, cause error) (decisionID string, err error) {
	e := i.event(r, i.o.Now())
	return i.fail(ctx, e, cause)
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
}

// grant signs while the record of the decision travels to the disk, and returns when both
// are done.
func (i *Issuer) grant(ctx context.Context, e audit.Event, g *grant) (Token, error) {
	signer, err := i.keys.Signer(keys.UseAccess, g.algorithm)
	if err != nil {
		_, err := i.fail(ctx, e, fmt.Errorf("no key to sign %s with: %w", g.algorithm, err))
		return Token{}, err
	}
	m := i.reuse.find(i, g, signer)
	if !m.fits(signer) {
		_, err := i.refuse(ctx, e, &Refusal{Kind: InvalidScope, Reason: "token_too_large", Text: "a token with these scopes would be longer than 4 KiB; ask for fewer"})
		return Token{}, err
	}
	e.Outcome, e.Reason = audit.Allowed, string(policy.Allowed)
	e.Token, e.KeyID, e.Scope = m.id, signer.ID(), strings.Join(g.scopes, " ")
	pending := i.log.Begin(e)
	value, signErr := m.token()
	if err := pending.Wait(context.WithoutCancel(ctx)); err != nil {
		return Token{}, fmt.Errorf("%w: record the decision: %w", ErrUnavailable, err)
	}
	if signErr != nil {
		return Token{}, fmt.Errorf("%w: sign: %w", ErrUnavailable, signErr)
	}
	return Token{Value: value, ExpiresIn: m.expiresAt.Sub(g.now.Truncate(time.Second)), Scopes: g.scopes, Type: g.binding.tokenType()}, nil
}
