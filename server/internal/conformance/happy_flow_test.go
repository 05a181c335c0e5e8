package conformance

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode"
)

// fapi2-security-profile-final-happy-flow: two clients each get a token and reach the resource with
// it; the token of the second is no good with the key of the first. The plan runs with one algorithm
// at a time; here with all.
func TestFAPI2SecurityProfileFinalHappyFlow(t *testing.T) {
	t.Run("tls", func(t *testing.T) {
		for _, w := range worlds {
			w.checkTLS(t, "rs.example")
		}
	})
	all := variants()
	for _, alg := range algorithms[1:] {
		for _, v := range variants() {
			if v.alg = alg; v.bound == "dpop" || v.auth == privateKeyJWT {
				all = append(all, v)
			}
		}
	}
	inAll(t, all, func(t *testing.T, c, second *client) {
		tok := c.token(t, tokenSteps{})
		c.reach(t, tok, resourceSteps{})
		c.checkQuery(t, tok)
		c.checkAccept(t, tok)
		c.checkNonces(t)

		other := second.token(t, tokenSteps{})
		second.reach(t, other, resourceSteps{})
		// switchToClient1AndTryClient2AccessToken; RFC 8705, section 3; RFC 9449, section 7.1.
		second.refusedAt(t, other, resourceSteps{key: c.proofKey, by: c}, "invalid_token")
	})
}

// checkQuery: a token in the query is none (FAPI 2.0 Security Profile, section 5.3.4, item 2;
// condition DisallowAccessTokenInQuery).
func (c *client) checkQuery(t *testing.T, tok token) {
	t.Helper()
	a := c.call(t, tok, resourceSteps{
		withURL: resourceURL + "?" + url.Values{"access_token": {tok.value}}.Encode(),
		request: func(_ *testing.T, r *http.Request, _ string) { r.Header.Del("Authorization") },
	})
	if a.status != http.StatusUnauthorized {
		t.Errorf("with the token in the query: %d %s", a.status, a.body)
	}
}

// checkAccept: other Accept headers that a JSON answer fits (SetUtf8JsonAcceptHeaders..., SetPermissive...).
func (c *client) checkAccept(t *testing.T, tok token) {
	t.Helper()
	for _, accept := range []string{"application/json;charset=UTF-8", "application/json, application/*+json, */*"} {
		c.reach(t, tok, resourceSteps{request: func(_ *testing.T, r *http.Request, _ string) { r.Header.Set("Accept", accept) }})
	}
}

// checkNonces holds this test itself to what its variant says.
func (c *client) checkNonces(t *testing.T) {
	t.Helper()
	want := c.nonces && c.bound == "dpop"
	if c.sawTokenNonce != want || c.sawResourceNonce != want {
		t.Errorf("nonces asked for: %v, %v, want %v", c.sawTokenNonce, c.sawResourceNonce, want)
	}
}

// fapi2-security-profile-final-access-token-type-header-case-sensitivity: RFC 9110, section 11.1.
func TestFAPI2SecurityProfileFinalAccessTokenTypeHeaderCaseSensitivity(t *testing.T) {
	inAll(t, variants(), func(t *testing.T, c, _ *client) {
		tok := c.token(t, tokenSteps{})
		tok.kind = strings.Map(func(r rune) rune {
			if unicode.IsUpper(r) {
				return unicode.ToLower(r)
			}
			return unicode.ToUpper(r)
		}, tok.kind)
		c.reach(t, tok, resourceSteps{})
	})
}
