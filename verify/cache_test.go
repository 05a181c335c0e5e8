package verify_test

import (
	"crypto/elliptic"
	"encoding/base64"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/verify"
	"github.com/watchword-dev/watchword/verify/verifytest"
)

// VER-032: verifiers share nothing, so a token that passed for one audience, issuer or list of
// algorithms has still to pass for another.
func TestTokenSeenForOneAudienceIsCheckedForAnother(t *testing.T) {
	i := verifytest.NewIssuer(t)
	token := i.Token("m1", "m2", verifytest.Scopes("read"))
	accepted(t, offline(t, i), "m2", token)
	refused(t, offline(t, i, func(c *verify.Config) { c.Audience = "m3" }), "m3", token, verify.ErrAudience)
	refused(t, offline(t, i, func(c *verify.Config) { c.Issuer = "other" }), "other issuer", token, verify.ErrIssuer)
	refused(t, offline(t, i, func(c *verify.Config) { c.Algorithms = []string{"RS256"} }), "other algorithm", token, verify.ErrAlgorithm)

	// Scopes are checked for each request, and the result is not cached.
	h := offline(t, i)
	for range 2 {
		if w := serve(h.Middleware(verify.RequireScope("read")(whoCalls)), get(), "Bearer "+token); w.Code != 200 {
			t.Errorf("read: got %d", w.Code)
		}
		if w := serve(h.Middleware(verify.RequireScope("write")(whoCalls)), get(), "Bearer "+token); w.Code != 403 {
			t.Errorf("write: got %d", w.Code)
		}
	}
}

// VER-033.
func TestTokenSeenBeforeIsRefusedOnceExpired(t *testing.T) {
	i := verifytest.NewIssuer(t)
	issued := time.Now()
	now := issued
	v := offline(t, i, func(c *verify.Config) { c.Now = func() time.Time { return now } })
	token := i.Token("m1", "m2", verifytest.IssuedAt(issued.Truncate(time.Second)))
	for range 3 {
		accepted(t, v, "fresh", token)
	}
	exp := issued.Truncate(time.Second).Add(15 * time.Minute)
	now = exp.Add(verify.DefaultLeeway - 1)
	accepted(t, v, "last nanosecond", token)
	now = exp.Add(verify.DefaultLeeway)
	refused(t, v, "expired", token, verify.ErrExpired)
	now = issued.Add(-time.Minute)
	refused(t, v, "a clock put back", token, verify.ErrNotYetValid)
}

// VER-005: the (r, n-s) twin is verified on its own. So is whatever else differs in one byte from a
// token seen.
func TestOnlyTheVeryTokenCountsAsSeen(t *testing.T) {
	i := verifytest.NewIssuer(t)
	v := offline(t, i)
	token := i.Token("m1", "m2")
	accepted(t, v, "the token", token)
	dot := strings.LastIndexByte(token, '.')
	sig, err := base64.RawURLEncoding.DecodeString(token[dot+1:])
	must(t, err)
	s := new(big.Int).SetBytes(sig[32:])
	new(big.Int).Sub(elliptic.P256().Params().N, s).FillBytes(sig[32:])
	accepted(t, v, "its twin", token[:dot+1]+base64.RawURLEncoding.EncodeToString(sig))
	sig[40] ^= 1
	refused(t, v, "one bit changed", token[:dot+1]+base64.RawURLEncoding.EncodeToString(sig), verify.ErrSignature)
}

func TestCallersCannotChangeWhatIsRemembered(t *testing.T) {
	i := verifytest.NewIssuer(t)
	v := offline(t, i)
	token := i.Token("m1", "m2", verifytest.Scopes("read"))
	for range 3 {
		c, err := v.Verify(t.Context(), token)
		must(t, err)
		if c.Subject != "m1" || !c.HasScope("read") || c.HasScope("admin") {
			t.Fatalf("got %+v", c)
		}
		c.Subject, c.Scope, c.ExpiresAt = "m9", "admin", c.ExpiresAt.Add(time.Hour)
		c.Scopes()[0] = "admin"
	}
}

func TestManyTokensAreAllVerified(t *testing.T) {
	i := verifytest.NewIssuer(t)
	i.Rotate("EdDSA")
	v := offline(t, i)
	first := i.Token("m1", "m2")
	for range 5000 { // more than are remembered
		accepted(t, v, "one of many", i.Token("m1", "m2"))
	}
	accepted(t, v, "the first again", first)
}

func TestSeenTokenCostsOneAllocation(t *testing.T) {
	i := verifytest.NewIssuer(t)
	v := offline(t, i)
	token := i.Token("m1", "m2")
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() {
		if _, err := v.Verify(ctx, token); err != nil {
			t.Error(err)
		}
	}); n > 1 {
		t.Errorf("got %v allocations, want 1: the caller's own claims", n)
	}
}
