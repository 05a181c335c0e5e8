package issuer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/audit"
	"github.com/watchword-dev/watchword/server/internal/clientauth"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/keys"
)

// Inspected is an access token of this server that is good at the moment it was looked at.
type Inspected struct {
	Claims *jose.Claims
	// Subject is the service of the token's sub. Nil: it is a probe token.
	Subject *directory.Service

	keyID string // of the key that signed it
	own   ownClaims
}

// ownClaims are those that only this server reads.
type ownClaims struct {
	// Targets are the uids of the services the token is for. aud has their names, or URIs, which may be another
	// service's by now.
	Targets []string `json:"targets"`
	MayAct  struct {
		UID string `json:"uid"`
	} `json:"may_act"`
	Probe  bool `json:"probe"`
	Status struct {
		List struct {
			Index int64  `json:"idx"`
			URI   string `json:"uri"`
		} `json:"status_list"`
	} `json:"status"`
}

// isFor reports whether the token was issued for a service to receive.
func (t *Inspected) isFor(s *directory.Service) bool {
	return slices.Contains(t.own.Targets, directory.FormatUID(s.UID))
}

// place is the token's place in a status list, as directory.Revocation has it.
func (t *Inspected) place() string {
	uri := t.own.Status.List.URI
	if uri == "" {
		return ""
	}
	return uri[strings.LastIndexByte(uri, '/')+1:] + "/" + strconv.FormatInt(t.own.Status.List.Index, 10)
}

// inspect looks at an access token as the directory stands. why it is not good is in a word for the audit log. It is the
// one place that says so for exchange, introspection and revocation.
func (i *Issuer) inspect(token string, by proofs, s *directory.Snapshot, now time.Time) (t *Inspected, why string) {
	if t, why = by.read(token, now); why != "" {
		return nil, why
	}
	if slices.ContainsFunc(append([]string{t.Claims.ID}, t.Claims.Deps...), s.Denied) {
		return nil, "revoked"
	}
	svc, ok := s.Service(t.Claims.Subject)
	switch {
	case !ok && t.Claims.Subject == ProbeName && t.own.Probe:
		return t, ""
	case !ok || directory.FormatUID(svc.UID) != t.Claims.Deps[0]:
		return nil, "service_replaced"
	}
	t.Subject = svc
	return t, ""
}

// read verifies that a token is an access token of this server that has not expired. It does not look at whether the
// token was revoked.
func (i *Issuer) read(token string, now time.Time) (t *Inspected, why string) {
	j, err := jose.Parse(token)
	if err != nil {
		return nil, "malformed"
	}
	if j.Type != AccessTokenType {
		return nil, "wrong_type"
	}
	// A revoked key is not among the verifiers.
	verifiers := i.keys.Verifiers(keys.UseAccess)
	if err := j.Verify(verifiers, jose.Algorithms()); err != nil {
		if errors.Is(err, jose.ErrSignature) {
			return nil, "bad_signature"
		}
		return nil, "unknown_key"
	}
	if t, why = i.parse(j.Payload, now); why != "" {
		return nil, why
	}
	// A key stays published until the tokens that it signed have expired, and with them those they were exchanged for.
	for _, kid := range t.Claims.DepKeys {
		if _, ok := verifiers.Find(kid); !ok {
			return nil, "unknown_key"
		}
	}
	t.keyID = j.KeyID
	return t, ""
}

// parse reads the claims of an access token of this server.
func (i *Issuer) parse(payload []byte, now time.Time) (t *Inspected, why string) {
	c, err := jose.ParseClaims(payload)
	t = &Inspected{Claims: c}
	switch {
	case err != nil || json.Unmarshal(payload, &t.own) != nil:
		return nil, "malformed"
	case c.Issuer != i.o.Issuer && c.Issuer != i.o.PlainIssuer:
		return nil, "issuer_mismatch"
	case c.Expiry.IsZero() || c.ID == "" || len(c.Audience) == 0 || len(c.Deps) == 0:
		return nil, "malformed"
	case !now.Before(c.Expiry):
		return nil, "expired"
	case now.Before(c.NotBefore):
		return nil, "not_yet_valid"
	}
	return t, ""
}

// Identify reads the jti, the end and the place in a status list of an access token of this server,
// for an operator who revokes one by showing it. why it is none that could be revoked is in a
// word, as in the audit log.
func (i *Issuer) Identify(token string) (jti string, expiry time.Time, status, why string) {
	t, why := i.read(token, i.directory.Ended())
	if why != "" {
		return "", time.Time{}, "", why
	}
	return t.Claims.ID, t.Claims.Expiry, t.place(), ""
}

// Authenticate finds out which service asks at an endpoint where no token is given out. A failure is
// recorded, and a *Refusal. What proves who asks is used up.
func (i *Issuer) Authenticate(ctx context.Context, r Request, p clientauth.Presented) (id clientauth.Identity, decisionID string, err error) {
	ctx = context.WithoutCancel(ctx)
	a := i.attempt(&Proposal{Request: r, Presented: p}, presented{i}, i.o.Now)
	if err := a.through(ctx, i.authenticate, i.permit, i.spend, i.settle); err != nil {
		decisionID, err = i.conclude(ctx, a.event, err)
		return id, decisionID, err
	}
	i.directory.RecordUse(a.caller.CredentialID, a.now, a.event.Address)
	return a.caller, a.event.ID, nil
}

// Introspect returns the token if it is good now and was issued for the service that asks, else nil: who is not its
// audience learns nothing of it (RFC 7662, section 4).
func (i *Issuer) Introspect(by clientauth.Identity, token string) *Inspected {
	t, why := i.inspect(token, presented{i}, i.directory.Snapshot(), i.o.Now())
	if why != "" || !t.isFor(by.Service) {
		return nil
	}
	return t
}

// introspectionType keeps a signed answer from passing for any token (RFC 9701, section 5).
const introspectionType = "token-introspection+jwt"

// SignIntrospection signs the answer of an introspection, one JSON object, for the service that
// asked. It has no sub and no exp of its own, so that who forgets the type still takes it for no
// access token (RFC 9701, section 8.1).
func (i *Issuer) SignIntrospection(by clientauth.Identity, answer []byte) (string, error) {
	signer, err := i.keys.Signer(keys.UseAccess, i.o.Algorithm)
	if err != nil {
		return "", fmt.Errorf("%w: no key to sign an answer with: %w", ErrUnavailable, err)
	}
	p := append([]byte(`{"iss":`), i.claims.issuer...)
	p = appendMember(p, "aud", by.Service.Name)
	p = append(p, `,"iat":`...)
	p = strconv.AppendInt(p, i.o.Now().Unix(), 10)
	p = append(p, `,"token_introspection":`...)
	p = append(append(p, answer...), '}')
	return signer.Sign(introspectionType, p)
}

// Revoke revokes a token that was issued to the service that asks (RFC 7009, section 2.1). A token
// that is good no longer, or never was, is nothing to revoke and no error. One of another
// service is a *Refusal. The outcome is recorded.
func (i *Issuer) Revoke(ctx context.Context, r Request, by clientauth.Identity, token string) (decisionID string, err error) {
	ctx = context.WithoutCancel(ctx)
	a := i.attempt(&Proposal{Request: r}, presented{i}, i.o.Now)
	a.identified(by)
	a.event.Action = "token.revoke"
	// One that has expired by a clock that may be wrong is not yet nothing to revoke.
	t, why := i.inspect(token, a.proofs, a.snapshot, i.directory.Ended())
	switch {
	case why != "":
		a.event.Reason = "nothing_to_revoke"
	case t.Subject == nil, t.Claims.ClientID != by.Service.Name && t.Subject.UID != by.Service.UID:
		err := &Refusal{Kind: UnauthorizedClient, Reason: "token_of_another", Text: "the token was not issued to this client"}
		return i.conclude(ctx, a.event, err)
	default:
		a.event.Token, a.event.Reason = t.Claims.ID, "revoked"
		author := directory.Author{Actor: "service " + by.Service.Name, RequestID: r.RequestID}
		err := i.directory.RevokeOwnToken(ctx, author, by.Service.UID, t.Claims.ID, t.Claims.Expiry, t.place())
		switch {
		case errors.Is(err, directory.ErrTooMany):
			return i.conclude(ctx, a.event, &Refusal{
				Kind: Throttled, Reason: "too_many_revocations", RetryAfter: time.Minute,
				Text: fmt.Sprintf("%d tokens of this client are revoked and have not expired; to end more, have an operator revoke its credential", directory.MaxOwnRevocations),
			})
		case err != nil:
			return i.conclude(ctx, a.event, err)
		}
	}
	a.event.Outcome = audit.Allowed
	return i.record(ctx, a.event)
}
