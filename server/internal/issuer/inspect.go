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
	KeyID  string
	// Subject is the service of the token's sub. Nil: it is a probe token.
	Subject *directory.Service
}

// placeOf is a token's place in a status list, as directory.Revocation has it.
func placeOf(c *jose.Claims) string {
	var m struct {
		Status struct {
			List struct {
				Index int64  `json:"idx"`
				URI   string `json:"uri"`
			} `json:"status_list"`
		} `json:"status"`
	}
	if err := json.Unmarshal(c.Raw, &m); err != nil || m.Status.List.URI == "" {
		return ""
	}
	uri := m.Status.List.URI
	return uri[strings.LastIndexByte(uri, '/')+1:] + "/" + strconv.FormatInt(m.Status.List.Index, 10)
}

// inspect looks at an access token as the directory stands, and says in a word for the audit log
// why it is not good. It is the one place that says so for exchange, introspection and
// revocation.
func (i *Issuer) inspect(token string, s *directory.Snapshot, now time.Time) (_ *Inspected, why string) {
	c, keyID, why := i.read(token, now)
	if why != "" {
		return nil, why
	}
	if slices.ContainsFunc(append([]string{c.ID}, c.Deps...), s.Denied) {
		return nil, "revoked"
	}
	svc, ok := s.Service(c.Subject)
	if !ok && isProbe(c) {
		return &Inspected{Claims: c, KeyID: keyID}, ""
	}
	if !ok || directory.FormatUID(svc.UID) != c.Deps[0] {
		return nil, "service_replaced"
	}
	return &Inspected{Claims: c, KeyID: keyID, Subject: svc}, ""
}

// read verifies that a token is an access token of this server that has not expired. Whether it
// was revoked it does not look at.
func (i *Issuer) read(token string, now time.Time) (c *jose.Claims, keyID, why string) {
	t, err := jose.Parse(token)
	if err != nil {
		return nil, "", "malformed"
	}
	if t.Type != AccessTokenType {
		return nil, "", "wrong_type"
	}
	// A revoked key is not among the verifiers.
	if err := t.Verify(i.keys.Verifiers(keys.UseAccess), jose.Algorithms()); err != nil {
		if errors.Is(err, jose.ErrSignature) {
			return nil, "", "bad_signature"
		}
		return nil, "", "unknown_key"
	}
	c, err = jose.ParseClaims(t.Payload)
	switch {
	case err != nil:
		return nil, "", "malformed"
	case c.Issuer != i.o.Issuer && c.Issuer != i.o.PlainIssuer:
		return nil, "", "issuer_mismatch"
	case c.Expiry.IsZero() || c.ID == "" || len(c.Audience) == 0 || len(c.Deps) == 0:
		return nil, "", "malformed"
	case !now.Before(c.Expiry):
		return nil, "", "expired"
	case now.Before(c.NotBefore):
		return nil, "", "not_yet_valid"
	}
	return c, t.KeyID, ""
}

// Identify reads the jti, the end and the place in a status list of an access token of this server,
// for an operator who revokes one by showing it. why it is none that could be revoked is in a
// word, as in the audit log.
func (i *Issuer) Identify(token string) (jti string, expiry time.Time, status, why string) {
	c, _, why := i.read(token, i.o.Now())
	if why != "" {
		return "", time.Time{}, "", why
	}
	return c.ID, c.Expiry, placeOf(c), ""
}

// Authenticate says which service asks at an endpoint where no token is given out. A failure is
// recorded, and a *Refusal. What proves it is used up.
func (i *Issuer) Authenticate(ctx context.Context, r Request, p clientauth.Presented) (id clientauth.Identity, decisionID string, err error) {
	ctx = context.WithoutCancel(ctx)
	a := i.attempt(&Proposal{Request: r, Presented: p})
	var refusal *Refusal
	for _, step := range []func(context.Context, *attempt) error{i.authenticate, i.permit, i.spend} {
		switch err := step(ctx, a); {
		case err == nil:
		case errors.As(err, &refusal):
			decisionID, err := i.refuse(ctx, a.event, refusal)
			return id, decisionID, err
		default:
			decisionID, err := i.fail(ctx, a.event, err)
			return id, decisionID, err
		}
	}
	i.directory.RecordUse(a.caller.CredentialID, a.now, a.event.Address)
	return a.caller, a.event.ID, nil
}

// Introspect returns the token if it is good now and meant for the service that asks, else nil:
// who is not its audience learns nothing of it (RFC 7662, section 4).
func (i *Issuer) Introspect(by clientauth.Identity, token string) *Inspected {
	t, why := i.inspect(token, i.directory.Snapshot(), i.o.Now())
	if why != "" || isOlder(t.Claims, by.Service) {
		return nil
	}
	for _, aud := range t.Claims.Audience {
		if aud == by.Service.Name || slices.Contains(by.Service.Audiences, aud) {
			return t
		}
	}
	return nil
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
	a := i.attempt(&Proposal{Request: r})
	a.identified(by)
	a.event.Action = "token.revoke"
	t, why := i.inspect(token, a.snapshot, a.now)
	switch {
	case why != "":
		a.event.Reason = "nothing_to_revoke"
	case t.Subject == nil:
		return i.refuse(ctx, a.event, &Refusal{Kind: UnauthorizedClient, Reason: "token_of_another", Text: "the token was not issued to this client"})
	case t.Claims.ClientID != by.Service.Name && t.Subject.UID != by.Service.UID:
		return i.refuse(ctx, a.event, &Refusal{Kind: UnauthorizedClient, Reason: "token_of_another", Text: "the token was not issued to this client"})
	default:
		a.event.Token, a.event.Reason = t.Claims.ID, "revoked"
		author := directory.Author{Actor: "service " + by.Service.Name, RequestID: r.RequestID}
		err := i.directory.RevokeOwnToken(ctx, author, by.Service.UID, t.Claims.ID, t.Claims.Expiry, placeOf(t.Claims))
		switch {
		case errors.Is(err, directory.ErrTooMany):
			return i.refuse(ctx, a.event, &Refusal{
				Kind: Throttled, Reason: "too_many_revocations", RetryAfter: time.Minute,
				Text: fmt.Sprintf("%d tokens of this client are revoked and have not expired; to end more, have an operator revoke its credential", directory.MaxOwnRevocations),
			})
		case err != nil:
			return i.fail(ctx, a.event, err)
		}
	}
	a.event.Outcome = audit.Allowed
	return i.record(ctx, a.event)
}
