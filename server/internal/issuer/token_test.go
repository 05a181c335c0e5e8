package issuer_test

import (
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/audit"
	"github.com/watchword-dev/watchword/server/internal/clientauth"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/issuer"
	"github.com/watchword-dev/watchword/server/internal/keys"
)

// identity of a service that sent its secret to an endpoint.
func (w *world) identity(name string) clientauth.Identity {
	w.Helper()
	id, _, err := w.issuer.Authenticate(w.Context(), issuer.Request{Endpoint: issuer.IntrospectEndpoint, Address: home}, w.propose(name, "").Presented)
	w.must(err)
	return id
}

// INT-004.
func TestAuthenticateRefusesAndRecords(t *testing.T) {
	w := newChain(t)
	ask := func(p clientauth.Presented) (string, error) {
		_, id, err := w.issuer.Authenticate(t.Context(), issuer.Request{Endpoint: issuer.IntrospectEndpoint}, p)
		return id, err
	}
	w.edit("m9", func(svc *directory.Service) { svc.GrantTypes = []string{api.GrantTokenExchange} })
	if _, err := ask(w.propose("m9", "").Presented); err != nil {
		t.Errorf("grants are looked at where there is none: %v", err)
	}
	w.edit("m3", func(svc *directory.Service) { svc.Disabled = true })
	assertion := clientauth.Presented{Assertion: w.assertion("m1", nil)}
	if _, err := ask(assertion); err != nil {
		t.Error(err)
	}
	for name, c := range map[string]struct {
		p      clientauth.Presented
		kind   issuer.RefusalKind
		reason string
	}{
		"nothing":             {clientauth.Presented{}, issuer.Unauthenticated, "no_credential"},
		"a wrong secret":      {clientauth.Presented{Basic: &clientauth.Secret{ClientID: "m1", Secret: "x"}}, issuer.InvalidToken, "wrong_secret"},
		"a disabled service":  {w.propose("m3", "").Presented, issuer.InvalidToken, "caller_disabled"},
		"the assertion again": {assertion, issuer.InvalidToken, "replayed_assertion"},
	} {
		id, err := ask(c.p)
		if refusal, ok := errors.AsType[*issuer.Refusal](err); !ok || refusal.Kind != c.kind || refusal.Reason != c.reason {
			t.Errorf("%s: got %v", name, err)
		}
		if r := w.record(id); r.Outcome != audit.Refused || r.Reason != c.reason || r.Endpoint != "oauth2/introspect" || r.Grant != "" {
			t.Errorf("%s: recorded %+v", name, r)
		}
	}
}

// RFC 9701, section 5: an answer is signed for the one who asked, and is no token.
func TestSignedIntrospection(t *testing.T) {
	w := newChain(t)
	signed, err := w.issuer.SignIntrospection(w.identity("m2"), []byte(`{"active":false}`))
	w.must(err)
	j, err := jose.Parse(signed)
	w.must(err)
	w.must(j.Verify(w.ring.Verifiers(keys.UseAccess), []jose.Algorithm{jose.ES256}))
	var c map[string]any
	w.must(json.Unmarshal(j.Payload, &c))
	if j.Type != "token-introspection+jwt" || c["iss"] != issuerURL || c["aud"] != "m2" || c["sub"] != nil || c["exp"] != nil || c["token_introspection"].(map[string]any)["active"] != false {
		t.Errorf("got %s %v", j.Type, c)
	}
	if w.introspected("m2", signed) {
		t.Error("it passes for a token")
	}
}

// REV-001, REV-002: RFC 7009, section 2.1.
func TestOnlyItsOwnersRevokeAToken(t *testing.T) {
	w := newChain(t)
	revoke := func(name, token string) (*audit.Record, error) {
		id, err := w.issuer.Revoke(t.Context(), issuer.Request{Endpoint: issuer.RevokeEndpoint}, w.identity(name), token)
		return w.record(id), err
	}
	subject := w.token(w.propose("m1", "m2"))
	exchanged := w.token(w.propose("m2", "m3", exchanging(subject)))
	var refusal *issuer.Refusal
	for name, token := range map[string]string{"m2": subject, "m3": exchanged, "m9": subject} {
		if r, err := revoke(name, token); !errors.As(err, &refusal) || refusal.Reason != "token_of_another" || r.Outcome != audit.Refused {
			t.Errorf("%s: got %v, recorded %+v", name, err, r)
		}
	}
	if r, err := revoke("m2", exchanged); err != nil || r.Reason != "revoked" || r.Action != "token.revoke" || w.introspected("m3", exchanged) || !w.introspected("m2", subject) {
		t.Errorf("got %v, recorded %+v", err, r)
	}
	exchanged = w.token(w.propose("m2", "m3", exchanging(subject)))
	if _, err := revoke("m1", exchanged); err != nil { // who is its subject, too
		t.Error(err)
	}
	if r, err := revoke("m1", "x"); err != nil || r.Reason != "nothing_to_revoke" || r.Outcome != audit.Allowed {
		t.Errorf("got %v, recorded %+v", err, r)
	}
	if _, err := revoke("m1", subject); err != nil || w.introspected("m2", subject) {
		t.Errorf("got %v, or it is still good", err)
	}
	jti, _, _, why := w.issuer.Identify(subject)
	if jti != w.claims(subject)["jti"] || why != "" || !w.directory.Snapshot().Denied(jti) {
		t.Errorf("identified as %q, %q", jti, why)
	}
	if _, _, _, why := w.issuer.Identify(w.proofs["m1"].bootstrap); why != "wrong_type" {
		t.Errorf("a credential: got %q", why)
	}
}

// F01. A service that has revoked many of its own tokens is held back, and no other.
func TestOwnRevocationsAreBounded(t *testing.T) {
	w := newChain(t)
	svc, _ := w.directory.Snapshot().Service("m1")
	for n := range directory.MaxOwnRevocations {
		w.must(w.directory.RevokeOwnToken(t.Context(), operator, svc.UID, fmt.Sprint("own", n), time.Time{}, ""))
	}
	revoke := func(name, target string) error {
		token := w.token(w.propose(name, target))
		_, err := w.issuer.Revoke(t.Context(), issuer.Request{Endpoint: issuer.RevokeEndpoint}, w.identity(name), token)
		if w.introspected(target, token) != (err != nil) {
			t.Errorf("%s: got %v for a token that is good or is not", name, err)
		}
		return err
	}
	var refusal *issuer.Refusal
	if err := revoke("m1", "m2"); !errors.As(err, &refusal) || refusal.Kind != issuer.Throttled || !strings.Contains(refusal.Text, "revoke its credential") {
		t.Errorf("got %v", err)
	}
	w.must(revoke("m2", "m3"))
}

// INT-003: a token is told to whom it was issued for, by whatever name, and only while it is good.
func TestOnlyTheAudienceIsToldOfAToken(t *testing.T) {
	w := newChain(t)
	const uri = "https://m2.test/api"
	w.edit("m2", func(svc *directory.Service) { svc.Audiences = []string{uri} })
	for _, target := range []string{"m2", uri} {
		token := w.token(w.propose("m1", target))
		for name, want := range map[string]bool{"m1": false, "m2": true, "m3": false} {
			if got := w.introspected(name, token); got != want {
				t.Errorf("%s is told of a token for %s: %t", name, target, got)
			}
		}
		for what, bad := range map[string]string{
			"a twist": token + "=", "no signature": token[:strings.LastIndexByte(token, '.')+1], "an assertion": w.assertion("m1", nil),
			"another type": w.signed(t, keys.UseAccess, "JWT", token, func(map[string]any) {}),
			"no jti":       w.signed(t, keys.UseAccess, issuer.AccessTokenType, token, func(c map[string]any) { delete(c, "jti") }),
			"no targets":   w.signed(t, keys.UseAccess, issuer.AccessTokenType, token, func(c map[string]any) { delete(c, "targets") }),
		} {
			if w.introspected("m2", bad) {
				t.Errorf("%s passes for a token", what)
			}
		}
		w.pass(15 * time.Minute)
		if w.introspected("m2", token) {
			t.Error("it is good after its end")
		}
	}
}

// REV-007: another form of a revoked token is revoked too.
func TestTwinOfARevokedTokenIsRevoked(t *testing.T) {
	w := newChain(t)
	token := w.token(w.propose("m1", "m2"))
	i := strings.LastIndexByte(token, '.')
	raw, err := base64.RawURLEncoding.DecodeString(token[i+1:])
	w.must(err)
	new(big.Int).Sub(elliptic.P256().Params().N, new(big.Int).SetBytes(raw[32:])).FillBytes(raw[32:])
	twin := token[:i+1] + base64.RawURLEncoding.EncodeToString(raw)
	if !w.introspected("m2", twin) {
		t.Fatal("the twin is none")
	}
	_, err = w.issuer.Revoke(t.Context(), issuer.Request{Endpoint: issuer.RevokeEndpoint}, w.identity("m1"), token)
	w.must(err)
	if w.introspected("m2", twin) || w.introspected("m2", token) {
		t.Error("it is still good")
	}
}

// What a revoked token's place in a status list is, is stored with it.
func TestRevocationKnowsThePlaceOfTheToken(t *testing.T) {
	w := newChain(t)
	token := w.token(w.propose("m1", "m2"))
	_, err := w.issuer.Revoke(t.Context(), issuer.Request{Endpoint: issuer.RevokeEndpoint}, w.identity("m1"), token)
	w.must(err)
	jti, expiry, status, _ := w.issuer.Identify(token)
	denials := w.directory.Snapshot().Denials()
	for id, d := range denials.All() {
		if id == jti && (d.Status != status || status == "" || !d.Until.After(expiry)) {
			t.Errorf("stored %+v, want the place %q and an end after %s", d, status, expiry)
		}
	}
}

func TestCredentialsAreMadeAndRotated(t *testing.T) {
	w := newChain(t)
	for _, kind := range []directory.Kind{directory.KindBootstrap, directory.KindSecret} {
		c, secret, err := w.issuer.Credential(t.Context(), operator, "m9", directory.NewCredential{Kind: kind, Name: "ci"})
		w.must(err)
		fresh, old, second, err := w.issuer.RotateCredential(t.Context(), operator, c.ID, time.Hour)
		w.must(err)
		if old.ID != c.ID || fresh.ID == c.ID || fresh.Name != "ci" || second == secret || second == "" || old.ExpiresAt != c.ExpiresAt {
			t.Errorf("%s: got %+v for %+v", kind, fresh, old)
		}
		w.allow("m9", "m2", directory.NewRule{})
		for name, s := range map[string]string{"the old one": secret, "the new one": second} {
			p := w.by(api.Bootstrap, "m9", plain, to("m2"))
			p.Presented.Bearer = s
			if kind == directory.KindSecret {
				p = w.propose("m9", "m2")
				p.Presented.Basic.Secret = s
			}
			if _, _, err := w.issuer.AccessToken(t.Context(), p); err != nil {
				t.Errorf("%s, %s: %v", kind, name, err)
			}
		}
	}
	var invalid *directory.InvalidError
	for _, c := range w.directory.Snapshot().CredentialsOf(mustService(w, "m1").UID) {
		if c.Kind == directory.KindKey {
			if _, _, _, err := w.issuer.RotateCredential(t.Context(), operator, c.ID, time.Hour); !errors.As(err, &invalid) {
				t.Errorf("a key, which this server never had: got %v", err)
			}
		}
	}
	if _, _, err := w.issuer.Credential(t.Context(), operator, "nobody", directory.NewCredential{}); !errors.Is(err, directory.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

// A bootstrap credential is signed by a key that is published nowhere, for this server alone.
func TestBootstrapCredentialIsNoAccessToken(t *testing.T) {
	w := newChain(t)
	j, err := jose.Parse(w.proofs["m1"].bootstrap)
	w.must(err)
	c, err := jose.ParseClaims(j.Payload)
	w.must(err)
	if j.Type != clientauth.BootstrapType || c.Issuer != plainIssuer || len(c.Audience) != 1 || c.Audience[0] != plainIssuer || c.Subject != "m1" || c.Scope != "" {
		t.Errorf("got %s %s", j.Type, c.Raw)
	}
	if _, ok := w.ring.Verifiers(keys.UseAccess).Find(j.KeyID); ok {
		t.Error("its key is published")
	}
}

// Whatever is asked of a prober, its tokens speak for no service, and not for long.
func TestProbeTokensSpeakForNobody(t *testing.T) {
	w := newChain(t)
	probe, err := w.issuer.Probe(t.Context(), operator, mustService(w, "m2"), "http://m2.test")
	w.must(err)
	for name, p := range map[string]issuer.ProbeToken{
		"good": {}, "oauth": {OAuth: true}, "another issuer": {Issuer: "https://x.test"}, "another audience": {Audience: "m3"}, "later": {Later: time.Hour},
		"over": {Later: -time.Hour}, "another type": {Type: "statuslist+jwt"}, "bound": {Key: "K"}, "credential": {Credential: true},
	} {
		token, err := probe.Token(p)
		w.must(err)
		j, err := jose.Parse(token)
		w.must(err)
		ring := keys.UseAccess
		if p.Credential {
			ring = keys.UseCredential
		}
		w.must(j.Verify(w.ring.Verifiers(ring), []jose.Algorithm{probe.Key().Algorithm}))
		var own struct{ Probe bool }
		w.must(json.Unmarshal(j.Payload, &own))
		c, err := jose.ParseClaims(j.Payload)
		w.must(err)
		start := c.IssuedAt
		if c.NotBefore.After(start) {
			start = c.NotBefore
		}
		if c.Subject != issuer.ProbeName || !own.Probe || c.Expiry.Sub(start) > issuer.ProbeLife || c.Scope != "" {
			t.Errorf("%s: got %s", name, c.Raw)
		}
		if w.introspected("m2", token) != (name == "good" || name == "oauth" || name == "bound") || w.introspected("m3", token) {
			t.Errorf("%s: introspection says of it what it should not", name)
		}
		if p.Credential {
			ask := w.by(api.Bootstrap, "m1", plain, to("m2"))
			ask.Presented.Bearer = token
			w.refused(name, ask, issuer.InvalidToken, "unknown_service")
		}
	}
	token, err := probe.Token(issuer.ProbeToken{})
	w.must(err)
	_, err = w.issuer.Revoke(t.Context(), issuer.Request{}, w.identity("m1"), token)
	if refusal, ok := errors.AsType[*issuer.Refusal](err); !ok || refusal.Reason != "token_of_another" {
		t.Errorf("a service that revokes it: got %v", err)
	}
	if err := probe.Revoke(t.Context(), token); err != nil || w.introspected("m2", token) {
		t.Errorf("got %v, or it is still good", err)
	}
	if probe.Revoke(t.Context(), "x") == nil {
		t.Error("nonsense is revoked")
	}
	if oauth, plain := w.issuer.Issuers(); oauth != issuerURL || plain != plainIssuer {
		t.Errorf("got the issuers %q and %q", oauth, plain)
	}
	if _, err := w.directory.CreateService(t.Context(), operator, directory.NewService{Name: issuer.ProbeName}); err == nil {
		t.Error("a service can have that name")
	}
}
