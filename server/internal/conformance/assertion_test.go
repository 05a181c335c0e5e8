package conformance

import (
	"net/http"
	"net/url"
	"testing"
	"time"
)

// fapi2-security-profile-final-ensure-signed-client-assertion-with-RS256-fails: FAPI 2.0 Security
// Profile, section 5.4.1. The key is one for PS256, so nothing but the algorithm is wrong.
func TestFAPI2SecurityProfileFinalEnsureSignedClientAssertionWithRS256Fails(t *testing.T) {
	all := variants(withAssertion)
	for i := range all {
		all[i].alg = "PS256"
	}
	inAll(t, all, func(t *testing.T, c, _ *client) {
		refusedAssertion(t, c, func(header, _ map[string]any) { header["alg"] = "RS256" })
	})
}

// fapi2-security-profile-final-ensure-client-assertion-in-token-endpoint: a client_id alone proves
// nothing.
func TestFAPI2SecurityProfileFinalEnsureClientAssertionInTokenEndpoint(t *testing.T) {
	inAll(t, variants(withAssertion), func(t *testing.T, c, _ *client) {
		c.refused(t, tokenSteps{authenticate: func(form url.Values) { form.Set("client_id", c.id) }}, http.StatusUnauthorized, "invalid_client")
	})
}

// fapi2-security-profile-final-ensure-client-assertion-with-exp-is-5-minutes-in-past-fails.
func TestFAPI2SecurityProfileFinalEnsureClientAssertionWithExpIs5MinutesInPastFails(t *testing.T) {
	assertions(t, func(_, claims map[string]any) { claims["exp"] = time.Now().Add(-5 * time.Minute).Unix() })
}

// fapi2-security-profile-final-ensure-client-assertion-with-wrong-aud-fails: one for another server.
func TestFAPI2SecurityProfileFinalEnsureClientAssertionWithWrongAudFails(t *testing.T) {
	assertions(t, func(_, claims map[string]any) { claims["aud"] = "https://other.example/api/userinfo" })
}

// fapi2-security-profile-final-ensure-client-assertion-with-no-sub-fails: sub is what a signed request
// object, which has all the rest, does not have.
func TestFAPI2SecurityProfileFinalEnsureClientAssertionWithNoSubFails(t *testing.T) {
	assertions(t, func(_, claims map[string]any) { delete(claims, "sub") })
}

// FAPI 2.0 Security Profile, section 5.3.2.1, item 8: the issuer as a string. The plan has these as
// par-endpoint-as-array-audience-fails and par-token-endpoint-as-audience-fails, for servers with
// a PAR endpoint.
func TestAssertionWhoseAudienceIsAnArrayIsRefused(t *testing.T) {
	for _, aud := range [][]string{{issuer}, {issuer, issuer + "/oauth2/token"}} {
		assertions(t, func(_, claims map[string]any) { claims["aud"] = aud })
	}
}

func TestAssertionForTheTokenEndpointIsRefusedUnlessTheOperatorSaysOtherwise(t *testing.T) {
	endpoint := metadata(t, worlds[0]).text("token_endpoint")
	atEndpoint := func(_, claims map[string]any) { claims["aud"] = endpoint }
	assertions(t, atEndpoint)
	for _, v := range variants(withAssertion) {
		t.Run("switched on/"+v.String(), func(t *testing.T) {
			c := newClient(t, v, func(service map[string]any) { service["tokenEndpointAudience"] = true })
			c.reach(t, c.token(t, tokenSteps{assertion: atEndpoint}), resourceSteps{})
			refusedAssertion(t, c, func(_, claims map[string]any) { claims["aud"] = []string{endpoint} })
		})
	}
}

// FAPI 2.0 Security Profile, section 5.3.2.1, item 13, which the plan also tries at the PAR endpoint
// only (iat-nbf-8-seconds-in-the-future-is-accepted, nbf-over-60-seconds-in-the-future-fails).
func TestAssertionFromAClockThatIsAhead(t *testing.T) {
	ahead := func(by time.Duration, claim ...string) change {
		return func(_, claims map[string]any) {
			for _, name := range claim {
				claims[name] = time.Now().Add(by).Unix()
			}
		}
	}
	inAll(t, variants(withAssertion), func(t *testing.T, c, _ *client) {
		c.token(t, tokenSteps{assertion: ahead(8*time.Second, "iat", "nbf")})
		refusedAssertion(t, c, ahead(65*time.Second, "iat"))
		refusedAssertion(t, c, ahead(65*time.Second, "nbf"))
	})
}

func assertions(t *testing.T, edit change) {
	t.Helper()
	inAll(t, variants(withAssertion), func(t *testing.T, c, _ *client) { refusedAssertion(t, c, edit) })
}

func refusedAssertion(t *testing.T, c *client, edit change) {
	t.Helper()
	c.refused(t, tokenSteps{assertion: edit}, http.StatusUnauthorized, "invalid_client")
}
