// Package issuer makes every decision about a token and mints every token. Endpoints propose;
// here the caller is authenticated, the call map is asked, the decision is recorded, and
// only then is there a token. It does not know HTTP.
package issuer

import (
	"context"
	"fmt"
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
		Ended() time.Time
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
	// Authenticator determines which service presented a proof.
	Authenticator interface {
		Authenticate(ctx context.Context, p *clientauth.Presented, s *directory.Snapshot, now time.Time) (clientauth.Identity, *clientauth.Failure)
	}
	// Once reports which entries were not used before. With an error nothing is known.
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
	// PlainIssuer is the iss of the tokens of AccessTokenEndpoint, and with it the aud of bootstrap
	// credentials.
	PlainIssuer string
	// Issuer is the iss of the tokens of TokenEndpoint: a URL.
	Issuer string
	// TTL of tokens for targets that have none of their own. Zero: 15 minutes.
	TTL time.Duration
	// Algorithm for targets that have none of their own. Zero: ES256.
	Algorithm jose.Algorithm
	// ReuseWindow is how long one token may be handed out again to the same credential for
	// the same target and scopes. Zero: never.
	ReuseWindow time.Duration
	// MaxActors bounds how often a token may be exchanged, and with it how many services may have acted for
	// another in one token. Zero: 5.
	MaxActors int
	// Pepper is the key under which client secrets are hashed, as package clientauth has it.
	Pepper []byte
	// Nonces are those that proofs of keys may or must have. Nil: none are known.
	Nonces *dpop.Nonces
	// RequireNonce refuses proofs of keys without one.
	RequireNonce bool
	// Status gives a token its place in a status list, from its deps. Nil: none.
	Status func(deps []string) (uri string, index int64)
	// Count is called for each decision about a service, with the scopes of the rule that allowed it. It may be nil.
	Count func(u usage.Use, of []string, at time.Time)
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

// AccessToken decides about p. The decision is on disk when it returns, granted or refused (*Refusal). When it cannot
// be recorded, or a key or the directory is not fit for use, the error wraps ErrUnavailable and there is no token. The
// id names the decision in the audit log, and may be told to the caller. It is empty for a refusal that is only counted:
// nobody proved who asked, and there were many such requests from the same network.
//
// A caller that leaves, or closes its half of the connection, changes nothing about a decision: it is recorded all the
// same, and the log itself bounds the wait.
func (i *Issuer) AccessToken(ctx context.Context, p *Proposal) (t Token, decisionID string, err error) {
	ctx = context.WithoutCancel(ctx)
	a := i.attempt(p, presented{i}, i.o.Now)
	g, err := i.walk(ctx, a)
	i.count(a)
	if err != nil {
		decisionID, err = i.conclude(ctx, a.event, err)
		return Token{}, decisionID, err
	}
	i.directory.RecordUse(a.caller.CredentialID, a.now, a.event.Address)
	t, err = i.grant(ctx, a.event, g)
	return t, a.event.ID, err
}

// count tells Options.Count what the call map answered, where that is about a service that there is. It also notes in
// the record what would have come out otherwise.
func (i *Issuer) count(a *attempt) {
	for _, asked := range a.asked {
		q, v := asked.question, asked.verdict
		otherwise := v.Otherwise()
		if v.Observed != "" {
			a.event.WouldRefuse = string(v.Observed)
		}
		if otherwise != "" {
			a.event.Shadow = string(otherwise)
		}
		if i.o.Count == nil || v.Target == nil {
			continue
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
		var of []string
		if v.Rule != nil {
			of = v.Rule.Scopes()
		}
		i.o.Count(u, of, a.now)
	}
}

// grant signs while the record of the decision travels to the disk, and returns when both are done.
func (i *Issuer) grant(ctx context.Context, e audit.Event, g *grant) (Token, error) {
	m := i.reuse.find(g)
	e.Outcome, e.Reason = audit.Allowed, string(policy.Allowed)
	e.Token, e.KeyID, e.AnyScope, e.Scope = m.id, m.signer.ID(), e.Scope == "" && len(g.scopes) > 0, strings.Join(g.scopes, " ")
	pending := i.log.Begin(e)
	value, signErr := m.token()
	if err := pending.Wait(context.WithoutCancel(ctx)); err != nil {
		return Token{}, fmt.Errorf("%w: record the decision: %w", ErrUnavailable, err)
	}
	if signErr != nil {
		return Token{}, fmt.Errorf("%w: sign: %w", ErrUnavailable, signErr)
	}
	return Token{
		Value: value, ExpiresIn: m.expiresAt.Sub(g.now.Truncate(time.Second)), Scopes: g.scopes, Type: g.binding.tokenType(),
	}, nil
}

// Refuse records a request that an endpoint could not make a proposal of.
func (i *Issuer) Refuse(ctx context.Context, r Request, kind RefusalKind, reason string) (decisionID string, err error) {
	e := i.event(r, i.o.Now())
	return i.conclude(ctx, e, &Refusal{Kind: kind, Reason: reason})
}

// Fail records a request that an endpoint failed to serve by its own fault.
func (i *Issuer) Fail(ctx context.Context, r Request, cause error) (decisionID string, err error) {
	e := i.event(r, i.o.Now())
	return i.conclude(ctx, e, cause)
}
