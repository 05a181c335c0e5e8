package dpop_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/internal/dpop"
	"github.com/watchword-dev/watchword/internal/jose"
)

var (
	now      = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	tokenURL = "https://auth.example/oauth2/token"
	expected = dpop.Expect{Method: "POST", URL: tokenURL, Now: now}
)

var signers = sync.OnceValue(func() map[jose.Algorithm]*jose.Signer {
	m := map[jose.Algorithm]*jose.Signer{}
	for _, alg := range []jose.Algorithm{jose.ES256, jose.PS256, jose.EdDSA, jose.RS256} {
		key, err := jose.GenerateKey(alg)
		if err != nil {
			panic(err)
		}
		id, err := jose.Thumbprint(key.Public())
		if err != nil {
			panic(err)
		}
		if m[alg], err = jose.NewSigner(id, alg, key); err != nil {
			panic(err)
		}
	}
	return m
})

// sound are the claims of a proof that holds; nil values of changes are taken out.
func sound(changes map[string]any) map[string]any {
	c := map[string]any{"jti": "id-1", "htm": "POST", "htu": tokenURL, "iat": now.Unix()}
	maps.Copy(c, changes)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

// forge signs any claims with any typ.
func forge(t testing.TB, alg jose.Algorithm, typ string, c map[string]any) string {
	t.Helper()
	payload, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	proof, err := signers()[alg].SignProof(typ, payload)
	if err != nil {
		t.Fatal(err)
	}
	return proof
}

func proof(t testing.TB, changes map[string]any) string {
	t.Helper()
	return forge(t, jose.ES256, dpop.Type, sound(changes))
}

func refused(t *testing.T, what string, headers []string, e dpop.Expect, want error) {
	t.Helper()
	p, err := dpop.Check(headers, e)
	if !errors.Is(err, want) || p != nil {
		t.Errorf("%s: got %+v, %v, want %v", what, p, err, want)
	}
	if err != nil && strings.ContainsAny(err.Error(), "\"\\\n") {
		t.Errorf("%s: %q does not fit an error_description", what, err)
	}
}

// DPO-001: what NewProof makes, Check takes, under every algorithm for proofs.
func TestProofHolds(t *testing.T) {
	for _, alg := range jose.ClientAlgorithms() {
		s := signers()[alg]
		made, err := dpop.NewProof(s, "GET", "https://M2.example:443/hello?a=b#c", "n", "the token", now)
		if err != nil {
			t.Fatal(err)
		}
		p, err := dpop.Check([]string{made}, dpop.Expect{Method: "GET", URL: "https://m2.example/hello?x=y", Now: now, AccessToken: "the token", Key: s.ID()})
		if err != nil {
			t.Fatalf("%s: %v", alg, err)
		}
		if p.Key != s.ID() || len(p.ID) < 22 || !p.IssuedAt.Equal(now) || p.Nonce != "n" || len(p.ReplayKey) != 43 {
			t.Errorf("%s: got %+v", alg, p)
		}
	}
	if _, err := dpop.NewProof(signers()[jose.ES256], "GET", "/relative", "", "", now); err == nil {
		t.Error("a proof for a relative URL was made")
	}
}

// DPO-002. RFC 9449, section 4.3, items 1 and 2.
func TestExactlyOneProof(t *testing.T) {
	good := proof(t, nil)
	refused(t, "none", nil, expected, dpop.ErrMissing)
	refused(t, "two headers", []string{good, good}, expected, dpop.ErrProof)
	refused(t, "two headers, one empty", []string{good, ""}, expected, dpop.ErrProof)
	refused(t, "joined by a comma", []string{good + "," + good}, expected, dpop.ErrProof)
	refused(t, "joined by a comma and a space", []string{good + ", " + good}, expected, dpop.ErrProof)
	for _, text := range []string{"", " ", "x", "a.b.c", good + " ", " " + good, good + "\n", good + "=", good + ".AAAA", "DPoP " + good, strings.Repeat("A", 9000)} {
		refused(t, text[:min(len(text), 20)], []string{text}, expected, dpop.ErrProof)
	}
}

// DPO-003. Item 4.
func TestTypeIsThatOfProofs(t *testing.T) {
	for _, typ := range []string{"", "jwt", "JWT", "at+jwt", "client-authentication+jwt", "dpop", "dpop+jwt ", "text/dpop+jwt"} {
		refused(t, typ, []string{forge(t, jose.ES256, typ, sound(nil))}, expected, dpop.ErrProof)
	}
	for _, typ := range []string{"dpop+jwt", "DPoP+JWT", "application/dpop+jwt"} {
		if _, err := dpop.Check([]string{forge(t, jose.ES256, typ, sound(nil))}, expected); err != nil {
			t.Errorf("%s: %v", typ, err)
		}
	}
}

// DPO-004. Item 5; FAPI 2.0 Security Profile, section 5.4.1.
func TestAlgorithmIsOneForProofs(t *testing.T) {
	refused(t, "RS256", []string{forge(t, jose.RS256, dpop.Type, sound(nil))}, expected, dpop.ErrProof)
	only := expected
	only.Algorithms = []jose.Algorithm{jose.EdDSA}
	refused(t, "ES256 when EdDSA is asked for", []string{proof(t, nil)}, only, dpop.ErrProof)
	only.Algorithms = []jose.Algorithm{jose.RS256}
	if _, err := dpop.Check([]string{forge(t, jose.RS256, dpop.Type, sound(nil))}, only); err != nil {
		t.Errorf("RS256 when asked for: %v", err)
	}
	parts := strings.Split(proof(t, nil), ".")
	head, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, alg := range []string{`"none"`, `"HS256"`, `"ES384"`, `"PS256"`, `null`, `""`} {
		changed := base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(head), `"ES256"`, alg, 1)))
		refused(t, alg, []string{changed + "." + parts[1] + "." + parts[2]}, expected, dpop.ErrProof)
	}
}

// DPO-005, as far as package jose does not hold it. Items 6 and 7.
func TestKeyOfTheProofIsPublicAndSound(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(proof(t, nil), ".")
	for name, jwk := range map[string]string{
		"missing": ``, "a secret": `,"jwk":{"kty":"oct","k":"AAAA"}`, "empty": `,"jwk":{}`, "a private key": `,"jwk":{"kty":"EC","crv":"P-256","x":"AA","y":"AA","d":"AA"}`,
		"P-384": `,"jwk":{"kty":"EC","crv":"P-384","x":"` + number(key.X) + `","y":"` + number(key.Y) + `"}`,
	} {
		header := base64.RawURLEncoding.EncodeToString([]byte(`{"typ":"dpop+jwt","alg":"ES256"` + jwk + `}`))
		refused(t, name, []string{header + "." + parts[1] + "." + parts[2]}, expected, dpop.ErrProof)
	}
}

func number(n *big.Int) string {
	return base64.RawURLEncoding.EncodeToString(n.FillBytes(make([]byte, 48)))
}

// DPO-006. Item 6.
func TestSignatureIsOfTheKeyInTheProof(t *testing.T) {
	mine, theirs := strings.Split(proof(t, nil), "."), strings.Split(proof(t, map[string]any{"jti": "other"}), ".")
	refused(t, "payload changed", []string{mine[0] + "." + theirs[1] + "." + mine[2]}, expected, dpop.ErrProof)
	key, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	other, err := jose.NewSigner("other", jose.ES256, key)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := dpop.NewProof(other, "POST", tokenURL, "", "", now)
	if err != nil {
		t.Fatal(err)
	}
	swapped := strings.Split(stranger, ".")
	refused(t, "another key in the header", []string{swapped[0] + "." + mine[1] + "." + mine[2]}, expected, dpop.ErrProof)
	bound := expected
	bound.Key = signers()[jose.ES256].ID()
	refused(t, "a sound proof of another key", []string{stranger}, bound, dpop.ErrKey)
}

// Item 3, and claims that are of other types.
func TestRequiredClaims(t *testing.T) {
	for _, name := range []string{"jti", "htm", "htu", "iat"} {
		for _, value := range []any{nil, 1.5, true, []string{"POST"}, map[string]any{}, json.RawMessage("null"), ""} {
			if name == "iat" && value == 1.5 {
				value = "x"
			}
			changes := map[string]any{name: value}
			refused(t, name, []string{proof(t, changes)}, expected, dpop.ErrProof)
		}
	}
	for _, name := range []string{"nonce", "ath"} {
		refused(t, name, []string{proof(t, map[string]any{name: 1})}, expected, dpop.ErrProof)
	}
}

// DPO-030.
func TestIDIsBounded(t *testing.T) {
	refused(t, "129", []string{proof(t, map[string]any{"jti": strings.Repeat("x", 129)})}, expected, dpop.ErrProof)
	if _, err := dpop.Check([]string{proof(t, map[string]any{"jti": strings.Repeat("x", 128)})}, expected); err != nil {
		t.Errorf("128: %v", err)
	}
}

// DPO-008. Item 8: methods have their case.
func TestMethodIsTheRequests(t *testing.T) {
	for _, method := range []string{"GET", "post", "Post", "POST ", ""} {
		refused(t, method, []string{proof(t, map[string]any{"htm": method})}, expected, dpop.ErrProof)
	}
}

// DPO-009, DPO-011: only the configured URL counts. Item 9.
func TestURLIsTheRequests(t *testing.T) {
	for _, url := range []string{
		"http://auth.example/oauth2/token", "https://attacker.example/oauth2/token", "https://auth.example/oauth2/Token", "https://auth.example/oauth2/token/",
		"https://auth.example:8443/oauth2/token", "https://auth.example", "/oauth2/token", "//auth.example/oauth2/token", "https:///oauth2/token", "https://user@auth.example/oauth2/token",
		"https://auth.example@attacker.example/oauth2/token", "https://auth.example/oauth2%2Ftoken", "https://auth.example/oauth2/token%", "https://auth.example/oauth2/token%zz",
		"https://auth.example\\oauth2/token", "https://auth.example/oauth2/token ", "https://auth.example./oauth2/token", "https://auth.%65xample/oauth2/token", "ftp://auth.example/oauth2/token",
		"https://auth.example:x/oauth2/token", "https://auth.example:/../oauth2/token/..",
	} {
		refused(t, url, []string{proof(t, map[string]any{"htu": url})}, expected, dpop.ErrProof)
	}
	for _, url := range []string{
		tokenURL, tokenURL + "?a=b", tokenURL + "#f", tokenURL + "?", "HTTPS://AUTH.example/oauth2/token", "https://auth.example:443/oauth2/token", "https://auth.example:/oauth2/token",
		"https://auth.example/oauth2/./token", "https://auth.example/x/../oauth2/token", "https://auth.example/../oauth2/token", "https://auth.example/%6Fauth2/%74oken", "https://auth.example/%2e%2E/oauth2/token",
	} {
		if _, err := dpop.Check([]string{proof(t, map[string]any{"htu": url})}, expected); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
	broken := expected
	broken.URL = "/oauth2/token"
	refused(t, "no URL to hold it against", []string{proof(t, nil)}, broken, dpop.ErrProof)
}

// DPO-013. Item 11, to the second; a nonce does not widen it.
func TestWindow(t *testing.T) {
	nonces := newNonces(t)
	for _, c := range []struct {
		after time.Duration
		holds bool
	}{{-time.Hour, false}, {-61 * time.Second, false}, {-60 * time.Second, true}, {0, true}, {10 * time.Second, true}, {11 * time.Second, false}, {time.Hour, false}} {
		for _, nonce := range []any{nil, nonces.Next(now)} {
			e := expected
			e.Nonces = nonces
			header := []string{proof(t, map[string]any{"iat": now.Add(c.after).Unix(), "nonce": nonce})}
			if c.holds {
				if _, err := dpop.Check(header, e); err != nil {
					t.Errorf("iat %v: %v", c.after, err)
				}
			} else {
				refused(t, c.after.String(), header, e, dpop.ErrProof)
			}
		}
	}
	for name, changes := range map[string]map[string]any{
		"exp now": {"exp": now.Unix()}, "exp over": {"exp": now.Unix() - 1}, "nbf to come": {"nbf": now.Unix() + 11}, "exp a string": {"exp": "x"},
	} {
		refused(t, name, []string{proof(t, changes)}, expected, dpop.ErrProof)
	}
	if _, err := dpop.Check([]string{proof(t, map[string]any{"exp": now.Unix() + 1, "nbf": now.Unix() + 10})}, expected); err != nil {
		t.Errorf("within exp and nbf: %v", err)
	}
}

// DPO-016, DPO-018: the key is made of what was compared, and is needed as long as the proof holds.
func TestReplayKeyIsOfCanonicalValues(t *testing.T) {
	key := func(changes map[string]any) *dpop.Proof {
		t.Helper()
		p, err := dpop.Check([]string{proof(t, changes)}, expected)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	first := key(nil)
	for _, url := range []string{tokenURL + "?a=b", tokenURL + "#f", "https://AUTH.example:443/oauth2/token", "https://auth.example/oauth2/%74oken"} {
		if got := key(map[string]any{"htu": url, "iat": now.Unix() - 1}); got.ReplayKey != first.ReplayKey {
			t.Errorf("%s: another key", url)
		}
	}
	if key(map[string]any{"jti": "id-2"}).ReplayKey == first.ReplayKey {
		t.Error("another jti has the same key")
	}
	ahead := key(map[string]any{"iat": now.Unix() + 9})
	late := expected
	late.Now = ahead.ReplayUntil.Add(-time.Second)
	if _, err := dpop.Check([]string{proof(t, map[string]any{"iat": now.Unix() + 9})}, late); err != nil {
		t.Errorf("the window ends before ReplayUntil by more than a second: %v", err)
	}
	late.Now = ahead.ReplayUntil
	refused(t, "at ReplayUntil", []string{proof(t, map[string]any{"iat": now.Unix() + 9})}, late, dpop.ErrProof)
}

// Item 12.
func TestAccessTokenIsTheOneOfTheProof(t *testing.T) {
	e := expected
	e.AccessToken = "the token"
	for _, ath := range []any{nil, "", "the token", dpop.TokenHash("another"), dpop.TokenHash("the token") + "="} {
		refused(t, "ath", []string{proof(t, map[string]any{"ath": ath})}, e, dpop.ErrProof)
	}
	if _, err := dpop.Check([]string{proof(t, map[string]any{"ath": dpop.TokenHash("the token")})}, e); err != nil {
		t.Error(err)
	}
	// RFC 9449, section 7.1, the example.
	if got := dpop.TokenHash("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"); got != "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo" {
		t.Errorf("got %s", got)
	}
}

// RFC 9449, section 4.1: a proof somebody else made.
func TestProofOfTheRFCHolds(t *testing.T) {
	const rfc = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
	p, err := dpop.Check([]string{rfc}, dpop.Expect{Method: "POST", URL: "https://server.example.com/token", Now: time.Unix(1562262616, 0)})
	if err != nil || p.Key != "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" || p.ID != "-BwC3ESc6acc2lTc" {
		t.Errorf("got %+v, %v", p, err)
	}
}
