// Package issuer makes every decision about a token and mints every token. Doors propose;
// here the caller is authenticated, the call map is asked, the decision is recorded, and
// only then is there a token. It does not know HTTP.
package issuer

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/internal/audit"
	"github.com/watchword-dev/watchword/internal/clientauth"
	"github.com/watchword-dev/watchword/internal/directory"
	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/internal/keys"
	"github.com/watchword-dev/watchword/internal/policy"
)

// AccessTokenType is the typ of every access token (RFC 9068, section 2.1).
const AccessTokenType = "at+jwt"

// What the issuer needs of its neighbours.
type (
	// Directory is the services, credentials and rules.
	Directory interface {
		Snapshot() *directory.Snapshot
		Fresh() error
		RecordUse(credential string, at time.Time, from string)
		AddCredential(ctx context.Context, by directory.Author, service string, n directory.NewCredential) (directory.Credential, error)
	}
	// Keys are the key ring.
	Keys interface {
		Signer(use keys.Use, alg jose.Algorithm) (*jose.Signer, error)
	}
	// Authenticator says which service presented a proof.
	Authenticator interface {
		Authenticate(p *clientauth.Presented, s *directory.Snapshot, now time.Time) (clientauth.Identity, *clientauth.Failure)
	}
	// Log is the audit log.
	Log interface {
		Begin(audit.Event) *audit.Pending
	}
)

// Options of an Issuer.
type Options struct {
	// Issuer is the iss of the tokens, and with it the aud of bootstrap credentials.
	Issuer string
	// TTL of tokens for targets that have none of their own. Zero: 15 minutes.
	TTL time.Duration
	// Algorithm for targets that have none of their own. Zero: ES256.
	Algorithm jose.Algorithm
	// ReuseWindow is how long one token may be handed out again to the same credential for
	// the same target and scopes. Zero: never.
	ReuseWindow time.Duration
	Now         func() time.Time
}

// Issuer decides and mints.
type Issuer struct {
	directory Directory
	keys      Keys
	auth      Authenticator
	log       Log
	o         Options
	claims    claimsBuilder
	reuse     reuse
}

// New makes an issuer.
func New(d Directory, k Keys, a Authenticator, l Log, o Options) *Issuer {
	if o.TTL == 0 {
		o.TTL = 15 * time.Minute
	}
	if o.Algorithm == "" {
		o.Algorithm = jose.ES256
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Issuer{directory: d, keys: k, auth: a, log: l, o: o, claims: newClaimsBuilder(o.Issuer), reuse: reuse{window: o.ReuseWindow}}
}

// Request is where a proposal came from.
type Request struct {
	Door      string
	RequestID string
	Address   netip.Addr
}

// Proposal asks for a token.
type Proposal struct {
	Request
	// Presented proves who asks.
	Presented clientauth.Presented
	// Target is the name of the service the token is for, as asked.
	Target string
	// Scopes asked for, sorted. None: all the rule has.
	Scopes []string
}

// Token is an access token.
type Token struct {
	Value     string
	ExpiresIn time.Duration
	Scopes    []string
}

// Refusal is a proposal that was not granted, and recorded so. Reason is not for the caller.
type Refusal struct {
	Kind   RefusalKind
	Reason string
}

// RefusalKind is all a caller may learn.
type RefusalKind int

// The kinds of refusal.
const (
	Malformed       RefusalKind = iota // the request itself
	Unauthenticated                    // no proof was presented
	InvalidToken                       // the proof presented is not good
	Denied                             // no rule allows it
)

func (r *Refusal) Error() string { return "refused: " + r.Reason }

// ErrUnavailable: the server cannot do its part now.
var ErrUnavailable = errors.New("unavailable")

// AccessToken decides about p. The decision is on disk when it returns, granted or refused
// (*Refusal); when it cannot be recorded, or a key or the directory is not fit for use, the
// error wraps ErrUnavailable and there is no token. The id names the decision in the audit
// log, and may be told.
//
// A caller that leaves, or closes its half of the connection, changes nothing about a decision:
// it is recorded all the same, and the log bounds the wait itself.
func (i *Issuer) AccessToken(ctx context.Context, p *Proposal) (t Token, decisionID string, err error) {
	now := i.o.Now()
	e := i.event(p.Request, now)
	e.Target, e.Scope = p.Target, strings.Join(p.Scopes, " ")
	if err := i.directory.Fresh(); err != nil {
		return Token{}, e.ID, i.fail(ctx, e, err)
	}
	snapshot := i.directory.Snapshot()
	caller, failure := i.auth.Authenticate(&p.Presented, snapshot, now)
	if failure != nil {
		e.Caller, e.Credential = failure.Claimed, failure.CredentialID
		kind := InvalidToken
		if p.Presented.Bearer == "" {
			kind = Unauthenticated
		}
		return Token{}, e.ID, i.refuse(ctx, e, kind, failure.Reason)
	}
	e.Caller, e.CallerUID, e.Credential = caller.Service.Name, directory.FormatUID(caller.Service.UID), caller.CredentialID
	decision, target := snapshot.Decide(directory.Question{Caller: caller.Service.UID, Target: p.Target, Scopes: p.Scopes, At: now})
	if !decision.Allowed() {
		return Token{}, e.ID, i.refuse(ctx, e, Denied, string(decision.Reason))
	}
	i.directory.RecordUse(caller.CredentialID, now, e.Address)
	t, err = i.grant(ctx, e, grant{caller, target, decision.Scopes, snapshot.Revision(), now})
	return t, e.ID, err
}

// Refuse records a request that a door could not make a proposal of.
func (i *Issuer) Refuse(ctx context.Context, r Request, kind RefusalKind, reason string) (decisionID string, err error) {
	e := i.event(r, i.o.Now())
	return e.ID, i.refuse(ctx, e, kind, reason)
}

// Fail records a request that a door failed to serve by its own fault.
func (i *Issuer) Fail(ctx context.Context, r Request, cause error) (decisionID string, err error) {
	e := i.event(r, i.o.Now())
	return e.ID, i.fail(ctx, e, cause)
}

// grant is a decision that a token be made.
type grant struct {
	caller   clientauth.Identity
	target   *directory.Service
	scopes   []string
	revision int64
	now      time.Time
}

// grant signs while the record of the decision travels to the disk, and returns when both
// are done.
func (i *Issuer) grant(ctx context.Context, e audit.Event, g grant) (Token, error) {
	alg := i.o.Algorithm
	if g.target.Algorithm != "" {
		alg = jose.Algorithm(g.target.Algorithm)
	}
	signer, err := i.keys.Signer(keys.UseAccess, alg)
	if err != nil {
		return Token{}, i.fail(ctx, e, fmt.Errorf("no key to sign %s with: %w", alg, err))
	}
	m := i.reuse.find(i, g, signer)
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
	return Token{Value: value, ExpiresIn: m.expiresAt.Sub(g.now.Truncate(time.Second)), Scopes: g.scopes}, nil
}

func (i *Issuer) event(r Request, now time.Time) audit.Event {
	e := audit.Event{ID: directory.RandomID(), At: now, Kind: audit.KindDecision, Door: r.Door, RequestID: r.RequestID}
	if r.Address.IsValid() {
		e.Address = r.Address.String()
	}
	return e
}

func (i *Issuer) refuse(ctx context.Context, e audit.Event, kind RefusalKind, reason string) error {
	e.Outcome, e.Reason = audit.Refused, reason
	if err := i.log.Begin(clip(e)).Wait(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("%w: record the refusal: %w", ErrUnavailable, err)
	}
	return &Refusal{kind, reason}
}

// fail records a request that the server itself could not serve.
func (i *Issuer) fail(ctx context.Context, e audit.Event, cause error) error {
	e.Outcome, e.Reason = audit.Failed, "server_failed"
	if err := i.log.Begin(clip(e)).Wait(context.WithoutCancel(ctx)); err != nil {
		cause = errors.Join(cause, err)
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, cause)
}

// clip shortens what a caller may have made long.
func clip(e audit.Event) audit.Event {
	const most = 256
	for _, s := range []*string{&e.Caller, &e.Target, &e.Scope, &e.Credential} {
		if len(*s) > most {
			*s = strings.ToValidUTF8((*s)[:most], "") + "..."
		}
	}
	return e
}
