package verify_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/internal/leaktest"
	"github.com/watchword-dev/watchword/verify"
	"github.com/watchword-dev/watchword/verify/verifytest"
)

// VER-029: no test leaves a goroutine behind.
func TestMain(m *testing.M) { leaktest.Main(m) }

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// offline is a verifier for m2 of the issuer's present keys.
func offline(t testing.TB, i *verifytest.Issuer, changes ...func(*verify.Config)) *verify.Verifier {
	t.Helper()
	c := verify.Config{Issuer: i.Name, Audience: "m2", Keys: i.KeySet()}
	for _, change := range changes {
		change(&c)
	}
	v, err := verify.New(t.Context(), c)
	must(t, err)
	return v
}

func at(now time.Time) func(*verify.Config) {
	return func(c *verify.Config) { c.Now = func() time.Time { return now } }
}

// refused holds VER-030 on the way: with an error there are no claims.
func refused(t *testing.T, v *verify.Verifier, what, token string, want error) {
	t.Helper()
	claims, err := v.Verify(t.Context(), token)
	if !errors.Is(err, want) || claims != nil {
		t.Errorf("%s: got %v, %v, want %v", what, claims, err, want)
	}
	if token != "" && err != nil && strings.Contains(err.Error(), token) {
		t.Errorf("%s: the error shows the token", what)
	}
}

func TestGoodTokenGivesItsClaims(t *testing.T) {
	i := verifytest.NewIssuer(t)
	v := offline(t, i)
	for range 2 { // the second time from the cache
		c, err := v.Verify(t.Context(), i.Token("m1", "m2", verifytest.Scopes("read", "write"), verifytest.Claim("jti", "id"), verifytest.Claim("client_id", "c")))
		must(t, err)
		if c.Issuer != "auth-server" || c.Subject != "m1" || c.Audience != "m2" || c.ID != "id" || c.ClientID != "c" || c.ExpiresAt.Sub(c.IssuedAt) != 15*time.Minute {
			t.Errorf("got %+v", c)
		}
		if !c.HasScope("write") || !c.HasScope("read", "write") || c.HasScope("writ") || c.HasScope("read", "admin") || c.HasScope("") {
			t.Errorf("got scopes %q", c.Scopes())
		}
	}
}

func TestEveryAlgorithmIsAcceptedByDefaultAndOnlyThoseAllowedOtherwise(t *testing.T) {
	for _, alg := range []string{"ES256", "RS256", "PS256", "EdDSA"} {
		i := verifytest.NewIssuer(t)
		i.Rotate(alg)
		if _, err := offline(t, i).Verify(t.Context(), i.Token("m1", "m2")); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
		for _, allowed := range []string{"ES256", "RS256", "PS256", "EdDSA"} {
			v := offline(t, i, func(c *verify.Config) { c.Algorithms = []string{allowed} })
			if _, err := v.Verify(t.Context(), i.Token("m1", "m2")); (err == nil) != (alg == allowed) {
				t.Errorf("%s when %s is allowed: %v", alg, allowed, err)
			}
		}
	}
}

// VER-013.
func TestEmptyExpectationIsAConstructorError(t *testing.T) {
	i := verifytest.NewIssuer(t)
	good := i.Config("m2")
	for name, spoil := range map[string]func(*verify.Config){
		"no issuer":         func(c *verify.Config) { c.Issuer = "" },
		"no audience":       func(c *verify.Config) { c.Audience = "" },
		"no keys":           func(c *verify.Config) { c.JWKSURL = "" },
		"no algorithm":      func(c *verify.Config) { c.Algorithms = []string{} },
		"unknown algorithm": func(c *verify.Config) { c.Algorithms = []string{"ES256", "HS256"} },
		"alg none":          func(c *verify.Config) { c.Algorithms = []string{"none"} },
		"leeway of 61 s":    func(c *verify.Config) { c.Leeway = 61 * time.Second },
		"two sources":       func(c *verify.Config) { c.Keys = i.KeySet() },
		"empty key set":     func(c *verify.Config) { c.JWKSURL, c.Keys = "", []byte(`{"keys":[]}`) },
		"broken key set":    func(c *verify.Config) { c.JWKSURL, c.Keys = "", []byte(`{`) },
		"relative URL":      func(c *verify.Config) { c.JWKSURL = "/jwks.json" },
		"file URL":          func(c *verify.Config) { c.JWKSURL = "file:///etc/keys" },
		"not a URL":         func(c *verify.Config) { c.JWKSURL = "http://[" },
		"http elsewhere":    func(c *verify.Config) { c.JWKSURL = "http://auth.example/jwks.json" },
		"quote in realm":    func(c *verify.Config) { c.Realm = `a"b` },
		"newline in realm":  func(c *verify.Config) { c.Realm = "a\nb" },
	} {
		c := good
		spoil(&c)
		if v, err := verify.New(t.Context(), c); err == nil || v != nil {
			t.Errorf("%s: got %v, %v, want an error", name, v, err)
		}
	}
	if _, err := verify.New(t.Context(), verify.Config{}); err == nil || !strings.Contains(err.Error(), "Issuer") || !strings.Contains(err.Error(), "Audience") || !strings.Contains(err.Error(), "JWKSURL") {
		t.Errorf("got %v, want all three named", err)
	}
}

// NAT-004, from the called side: what the public demo let through.
func TestTokensForOthersAreRefused(t *testing.T) {
	i := verifytest.NewIssuer(t)
	v := offline(t, i)
	for name, aud := range map[string]any{
		"for m3": "m3", "an array for m3": []string{"m3"}, "for both": []string{"m2", "m3"}, "for both, turned": []string{"m3", "m2"},
		"twice for m2": []string{"m2", "m2"}, "for nobody": []string{}, "empty": "", "absent": nil, "a prefix": "m", "longer": "m22",
		"another case": "M2", "with a slash": "m2/", "with a space": "m2 ",
	} {
		refused(t, v, name, i.Token("m1", "", verifytest.Claim("aud", aud)), verify.ErrAudience)
	}
	if _, err := v.Verify(t.Context(), i.Token("m1", "", verifytest.Claim("aud", []string{"m2"}))); err != nil {
		t.Errorf("an array of this service alone (RFC 7519, section 4.1.3): %v", err)
	}
	// A bootstrap credential of m1, and one whose audience somebody made fit.
	refused(t, v, "bootstrap credential", i.Token("m1", "auth-server", verifytest.Type("bootstrap+jwt")), verify.ErrType)
	refused(t, v, "bootstrap credential for m2", i.Token("m1", "m2", verifytest.Type("bootstrap+jwt")), verify.ErrType)
}

// VER-010.
func TestOnlyAccessTokensPass(t *testing.T) {
	i := verifytest.NewIssuer(t)
	v := offline(t, i)
	for _, typ := range []string{"JWT", "", "dpop+jwt", "client-authentication+jwt", "logout+jwt", "bootstrap+jwt", "secevent+jwt", "at", "at+jwt ", "application/jwt", "application/at+jwt;x=1", "text/at+jwt"} {
		refused(t, v, typ, i.Token("m1", "m2", verifytest.Type(typ)), verify.ErrType)
	}
	for _, typ := range []string{"at+jwt", "AT+JWT", "application/at+jwt", "Application/AT+jwt"} {
		if _, err := v.Verify(t.Context(), i.Token("m1", "m2", verifytest.Type(typ))); err != nil {
			t.Errorf("%s: %v", typ, err)
		}
	}
}

// VER-011.
func TestOtherIssuersAreRefused(t *testing.T) {
	i := verifytest.NewIssuer(t)
	v := offline(t, i)
	for name, c := range map[string]struct {
		iss  any
		want error
	}{
		"another": {"other-server", verify.ErrIssuer}, "absent": {nil, verify.ErrIssuer}, "empty": {"", verify.ErrIssuer},
		"with a slash": {"auth-server/", verify.ErrIssuer}, "another case": {"Auth-Server", verify.ErrIssuer},
		"an array": {[]string{"auth-server"}, verify.ErrMalformed}, "a number": {1, verify.ErrMalformed},
	} {
		refused(t, v, name, i.Token("m1", "m2", verifytest.Claim("iss", c.iss)), c.want)
	}
}

// VER-026: whoever else is trusted elsewhere, for this issuer only its own keys count.
func TestKeyOfAnotherIssuerIsRefused(t *testing.T) {
	ours, federated := verifytest.NewIssuer(t), verifytest.NewIssuer(t)
	refused(t, offline(t, ours), "their key, our iss", federated.Token("m1", "m2", verifytest.Claim("iss", ours.Name)), verify.ErrUnknownKey)
	refused(t, offline(t, ours), "their key, our iss and kid", ours.Token("m1", "m2", verifytest.Forged()), verify.ErrSignature)
}

// VER-014.
func TestDateClaims(t *testing.T) {
	i := verifytest.NewIssuer(t)
	v := offline(t, i)
	in := func(d time.Duration) string { return fmt.Sprint(time.Now().Add(d).Unix()) }
	for _, c := range []struct {
		exp  any
		want error
	}{
		{nil, verify.ErrMissingClaim},
		{raw("null"), verify.ErrMalformed},
		{0, verify.ErrMalformed},
		{"x", verify.ErrMalformed},
		{in(time.Hour), verify.ErrMalformed},
		{-1, verify.ErrMalformed},
		{raw("1e3"), verify.ErrExpired},
		{raw("1000.5"), verify.ErrExpired},
		{raw("9223372036854775808"), verify.ErrMalformed},
		{raw("1e400"), verify.ErrMalformed},
		{"NaN", verify.ErrMalformed},
		{raw(in(time.Hour) + ".5"), nil},
		{raw(in(time.Hour)), nil},
	} {
		token := i.Token("m1", "m2", verifytest.Claim("exp", c.exp))
		if c.want != nil {
			refused(t, v, fmt.Sprint("exp ", c.exp), token, c.want)
		} else if _, err := v.Verify(t.Context(), token); err != nil {
			t.Errorf("exp %v: %v", c.exp, err)
		}
	}
}

// raw is JSON text as it stands.
type raw string

func (r raw) MarshalJSON() ([]byte, error) { return []byte(r), nil }

// RFC 9068, section 2.2.
func TestClaimsEveryAccessTokenHasAreRequired(t *testing.T) {
	i := verifytest.NewIssuer(t)
	v := offline(t, i)
	for _, name := range []string{"sub", "exp", "iat", "jti"} {
		refused(t, v, "no "+name, i.Token("m1", "m2", verifytest.Claim(name, nil)), verify.ErrMissingClaim)
	}
	refused(t, v, "empty sub", i.Token("", "m2"), verify.ErrMissingClaim)
	refused(t, v, "bound to a key", i.Token("m1", "m2", verifytest.Claim("cnf", map[string]string{"jkt": "x"})), verify.ErrBound)
	refused(t, v, "scope an array", i.Token("m1", "m2", verifytest.Claim("scope", []string{"a"})), verify.ErrMalformed)
}

// VER-015: refused from exp + leeway on, that moment included. VER-016, VER-033 for the rest of
// the clock.
func TestClockDecidesToTheNanosecond(t *testing.T) {
	i := verifytest.NewIssuer(t)
	issued := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	exp := issued.Add(15 * time.Minute)
	token := i.Token("m1", "m2", verifytest.IssuedAt(issued))
	later := i.Token("m1", "m2", verifytest.IssuedAt(issued), verifytest.Claim("nbf", issued.Add(time.Minute).Unix()))
	for _, c := range []struct {
		name   string
		token  string
		leeway time.Duration
		now    time.Time
		want   error
	}{
		{"exp = now", token, 0, exp, nil},
		{"exp = now-1", token, 0, exp.Add(time.Second), nil},
		{"exp = now-leeway+1ns", token, 0, exp.Add(10*time.Second - 1), nil},
		{"exp = now-leeway", token, 0, exp.Add(10 * time.Second), verify.ErrExpired},
		{"exp = now-leeway-1", token, 0, exp.Add(11 * time.Second), verify.ErrExpired},
		{"exp = now, no leeway", token, -1, exp, verify.ErrExpired},
		{"exp = now+1ns, no leeway", token, -1, exp.Add(-1), nil},
		{"exp = now-60 with the most leeway", token, time.Minute, exp.Add(time.Minute), verify.ErrExpired},
		{"exp = now-59 with the most leeway", token, time.Minute, exp.Add(59 * time.Second), nil},
		{"iat in 8 s", token, 0, issued.Add(-8 * time.Second), nil},
		{"iat in 10 s", token, 0, issued.Add(-10 * time.Second), nil},
		{"iat in 11 s", token, 0, issued.Add(-11 * time.Second), verify.ErrNotYetValid},
		{"iat in 65 s", token, time.Minute, issued.Add(-65 * time.Second), verify.ErrNotYetValid},
		{"nbf in 8 s", later, 0, issued.Add(52 * time.Second), nil},
		{"nbf in 65 s", later, time.Minute, issued.Add(-5 * time.Second), verify.ErrNotYetValid},
	} {
		v := offline(t, i, at(c.now), func(cfg *verify.Config) { cfg.Leeway = c.leeway })
		if claims, err := v.Verify(t.Context(), c.token); !errors.Is(err, c.want) || (claims == nil) != (c.want != nil) {
			t.Errorf("%s: got %v, %v, want %v", c.name, claims, err, c.want)
		}
	}
}

// FLT-023: 90 s is beyond any leeway here, so the error says what to look at.
func TestErrorNamesClockSkew(t *testing.T) {
	i := verifytest.NewIssuer(t)
	issued := time.Now().Truncate(time.Second)
	token := i.Token("m1", "m2", verifytest.IssuedAt(issued))
	for now, text := range map[time.Time]string{
		issued.Add(-90 * time.Second):               "for another 1m30s (leeway 10s): if it was issued just now there is clock skew, and the clock here is behind",
		issued.Add(15*time.Minute + 90*time.Second): "1m30s ago (leeway 10s): if its issuer thinks otherwise there is clock skew, and the clock here is ahead",
	} {
		if _, err := offline(t, i, at(now)).Verify(t.Context(), token); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("got %v, want it to say %q", err, text)
		}
	}
	for _, skew := range []time.Duration{-90 * time.Second, 90 * time.Second} {
		// A token in the middle of its life is valid on both.
		token := i.Token("m1", "m2", verifytest.IssuedAt(issued.Add(-5*time.Minute)))
		if _, err := offline(t, i, at(issued.Add(skew))).Verify(t.Context(), token); err != nil {
			t.Errorf("clock %v off: %v", skew, err)
		}
	}
}

// VER-002, VER-003, VER-007, VER-008, VER-020, VER-022: package jose holds them case by case;
// here, that nothing lies between.
func TestForgedShapesAreRefused(t *testing.T) {
	i := verifytest.NewIssuer(t)
	v := offline(t, i)
	good := i.Token("m1", "m2")
	parts := strings.Split(good, ".")
	header, err := base64.RawURLEncoding.DecodeString(parts[0])
	must(t, err)
	with := func(replace ...string) string {
		return base64.RawURLEncoding.EncodeToString([]byte(strings.NewReplacer(replace...).Replace(string(header)))) + "." + parts[1] + "." + parts[2]
	}
	for name, c := range map[string]struct {
		token string
		want  error
	}{
		"nothing":           {"", verify.ErrMalformed},
		"alg none":          {with("ES256", "none"), verify.ErrAlgorithm},
		"alg HS256":         {with("ES256", "HS256"), verify.ErrAlgorithm},
		"alg of other keys": {with("ES256", "RS256"), verify.ErrAlgorithm},
		"no signature":      {parts[0] + "." + parts[1] + ".", verify.ErrMalformed},
		"two parts":         {parts[0] + "." + parts[1], verify.ErrMalformed},
		"header brings jwk": {with(`{"kid"`, `{"jwk":{},"kid"`), verify.ErrMalformed},
		"kid unknown":       {with(`"kid":"`, `"kid":"../`), verify.ErrUnknownKey},
		"kid absent":        {with(`"kid"`, `"kit"`), verify.ErrUnknownKey},
		"header changed":    {with(`"kid"`, ` "kid"`), verify.ErrSignature},
		"a JWE":             {good + ".AAAA.AAAA", verify.ErrMalformed},
		"a line feed":       {good + "\n", verify.ErrMalformed},
		"a megabyte":        {strings.Repeat("A", 1<<20), verify.ErrMalformed},
	} {
		refused(t, v, name, c.token, c.want)
	}
}

// VER-019: a claim set nested a thousand deep, signed by nobody we know or by our issuer.
func TestDeepClaimsAreRefused(t *testing.T) {
	i := verifytest.NewIssuer(t)
	deep := raw(strings.Repeat("[", 1000) + strings.Repeat("]", 1000))
	refused(t, offline(t, i), "1,000 deep", i.Token("m1", "m2", verifytest.Claim("x", deep)), verify.ErrMalformed)
}

func TestVerifyNeedsNoLiveContextWhenItHasKeys(t *testing.T) {
	i := verifytest.NewIssuer(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := offline(t, i).Verify(ctx, i.Token("m1", "m2")); err != nil {
		t.Error(err)
	}
}

// F88, RFC 6749, section 3.3: scopes are separated by spaces. Other white space is part of none, and separates nothing.
func TestScopesAreSplitAtSpacesOnly(t *testing.T) {
	c := verify.Claims{Scope: "read  a\tb\u00a0c write"}
	if got := c.Scopes(); len(got) != 3 || got[1] != "a\tb\u00a0c" {
		t.Errorf("got %q", got)
	}
}
