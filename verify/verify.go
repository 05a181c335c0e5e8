// Package verify is for services that are called by other services. It verifies the access tokens that Watchword
// issues: which service calls, and whether the token is for this service. It verifies tokens offline, with the
// public keys that the authorization server publishes. It does not decide who may call whom, which was decided when
// the token was issued.
//
// A service protects its handlers like this:
//
//	v, err := verify.New(ctx, verify.Config{
//		Server:   "http://localhost:8000",
//		Issuer:   "auth-server",
//		Audience: "m2", // this service's own name
//	})
//	if err != nil {
//		return err
//	}
//	defer v.Close()
//	http.Handle("/hello", v.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
//		fmt.Fprintln(w, "hello,", verify.ClaimsFrom(r.Context()).Subject)
//	})))
package verify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/watchword-dev/watchword/internal/dpop"
	"github.com/watchword-dev/watchword/internal/jose"
)

// Verifier verifies tokens for one service. It is safe for concurrent use. If it follows revocations, it has a
// goroutine for that until Close. Otherwise it has a goroutine only while it fetches keys, for seconds, and need
// not be closed.
type Verifier struct {
	issuers, audiences []string
	severalAudiences   bool
	requireBound       bool
	realm, externalURL string
	algorithms         []jose.Algorithm
	leeway             time.Duration
	now                func() time.Time

	keys        *keySource
	seen        tokenCache
	revocations *follower // nil if none are followed
	nonces      *dpop.Nonces
	replays     Replays
	resource    resource

	logger      *slog.Logger
	hostWarning sync.Once
}

// New returns a Verifier. It returns an error only if the Config is wrong.
//
// New fetches the keys and the revocations, so that the first request does not have to wait, and so that a wrong
// URL is logged at the start. If that fails, or ctx ends before, New returns no error: the authorization server may
// start later than this service, and requests try again. ctx is not used for anything else.
func New(ctx context.Context, c Config) (*Verifier, error) {
	v, err := c.verifier()
	if err != nil {
		return nil, fmt.Errorf("verify: %w", err)
	}
	v.keys.warmUp(ctx)
	if v.revocations != nil {
		v.revocations.start(ctx)
	}
	return v, nil
}

// Close stops following revocations, and waits until that has ended. After that the Verifier still works, with the
// revocations that it knows.
func (v *Verifier) Close() error {
	if v.revocations != nil {
		v.revocations.close()
	}
	return nil
}

// Verify checks a bearer token. If there is an error, the claims are nil. A token that is bound to a key is
// refused; use VerifyRequest or VerifyWith for it.
func (v *Verifier) Verify(ctx context.Context, token string) (*Claims, error) {
	return v.VerifyWith(ctx, token, Proof{})
}

// token checks everything about a token except how it was presented. The returned claims are shared.
func (v *Verifier) token(ctx context.Context, token string) (*Claims, error) {
	keys, err := v.keys.current(ctx)
	if err != nil {
		return nil, err
	}
	if len(token) > jose.MaxTokenSize {
		return nil, jose.ErrTooLarge
	}
	id := identify(token)
	claims := v.seen.find(id, keys)
	fresh := claims == nil
	if fresh {
		if claims, keys, err = v.verify(ctx, token, keys); err != nil {
			return nil, err
		}
	}
	// Times and revocations are checked for cached tokens too.
	if err := v.checkTimes(claims); err != nil {
		return nil, err
	}
	if v.revocations != nil {
		if err := v.revocations.check(claims); err != nil {
			return nil, err
		}
	}
	if fresh {
		v.seen.add(id, keys, claims)
	}
	return claims, nil
}

// verify checks everything except times, and returns the key set that it used.
func (v *Verifier) verify(ctx context.Context, token string, keys *jose.KeySet) (*Claims, *jose.KeySet, error) {
	t, err := jose.Parse(token)
	if err != nil {
		return nil, nil, err
	}
	if !isAccessToken(t.Type) {
		return nil, nil, ErrType
	}
	err = t.Verify(keys, v.algorithms)
	if errors.Is(err, jose.ErrUnknownKey) {
		if keys, err = v.keys.newer(ctx, keys, fetchEvery); err == nil {
			err = t.Verify(keys, v.algorithms)
		}
	}
	if errors.Is(err, jose.ErrNoKey) {
		err = fmt.Errorf("%w: %w", ErrUnknownKey, err)
	}
	if err != nil {
		return nil, nil, err
	}
	c, err := jose.ParseClaims(t.Payload)
	if err != nil {
		return nil, nil, err
	}
	if err := v.checkClaims(c); err != nil {
		return nil, nil, err
	}
	return v.newClaims(c, t.KeyID), keys, nil
}

// isAccessToken compares the typ (RFC 9068, section 4; media types are not case-sensitive). A bootstrap credential,
// an ID token or a DPoP proof is refused even if all its claims would be accepted.
func isAccessToken(typ string) bool {
	return strings.EqualFold(typ, "at+jwt") || strings.EqualFold(typ, "application/at+jwt")
}

// checkClaims may have claims in its errors, because the signature has been verified.
func (v *Verifier) checkClaims(c *jose.Claims) error {
	switch {
	case !slices.Contains(v.issuers, c.Issuer):
		return fmt.Errorf("%w: %q, not %q", ErrIssuer, c.Issuer, strings.Join(v.issuers, `" or "`))
	// If two services accepted the same token, each could call the other with it.
	case len(c.Audience) != 1 && !v.severalAudiences, v.ownAudience(c.Audience) == "":
		return fmt.Errorf("%w: %q, not %q", ErrAudience, c.Audience, strings.Join(v.audiences, `" or "`))
	case c.Subject == "":
		return fmt.Errorf("%w: sub", ErrMissingClaim)
	case c.Expiry.IsZero():
		return fmt.Errorf("%w: exp", ErrMissingClaim)
	case c.IssuedAt.IsZero():
		return fmt.Errorf("%w: iat", ErrMissingClaim)
	case c.ID == "":
		return fmt.Errorf("%w: jti", ErrMissingClaim)
	}
	return nil
}

// ownAudience returns the first audience that is this service, or "".
func (v *Verifier) ownAudience(aud []string) string {
	for _, a := range aud {
		if a != "" && slices.Contains(v.audiences, a) {
			return a
		}
	}
	return ""
}

func (v *Verifier) checkTimes(c *Claims) error {
	now := v.now()
	if late := now.Sub(c.ExpiresAt); late >= v.leeway {
		return fmt.Errorf("%w, %v ago (leeway %v): if its issuer thinks otherwise there is clock skew, and the clock here is ahead", ErrExpired, late.Round(time.Second), v.leeway)
	}
	from := c.IssuedAt
	if c.notBefore.After(from) {
		from = c.notBefore
	}
	if early := from.Sub(now); early > v.leeway {
		return fmt.Errorf("%w, for another %v (leeway %v): if it was issued just now there is clock skew, and the clock here is behind", ErrNotYetValid, early.Round(time.Second), v.leeway)
	}
	return nil
}
