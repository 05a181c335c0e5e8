package conformance

import (
	"net/http"
	"net/url"
	"testing"
)

// fapi2-security-profile-final-ensure-client-id-in-token-endpoint: the client_id of the second client
// with the key, or the certificate, of the first.
func TestFAPI2SecurityProfileFinalEnsureClientIDInTokenEndpoint(t *testing.T) {
	inAll(t, variants(), func(t *testing.T, c, second *client) {
		c.refused(t, tokenSteps{authenticate: func(form url.Values) {
			form.Set("client_id", second.id)
			if c.auth == privateKeyJWT {
				second.assert(t, form, c.key, nil)
			}
		}}, http.StatusUnauthorized, "invalid_client")
		if c.auth != privateKeyJWT {
			return
		}
		// And with an assertion of the first (RFC 7521, section 4.2).
		c.refused(t, tokenSteps{authenticate: func(form url.Values) {
			form.Set("client_id", second.id)
			c.assert(t, form, c.key, nil)
		}}, http.StatusUnauthorized, "invalid_client")
	})
}

// fapi2-security-profile-final-ensure-holder-of-key-required: TLS as FAPI 2.0 wants it, and no token
// for a client that shows neither a proof nor a certificate it could be bound to.
func TestFAPI2SecurityProfileFinalEnsureHolderOfKeyRequired(t *testing.T) {
	t.Run("tls", func(t *testing.T) {
		for _, w := range worlds {
			w.checkTLS(t, "as.example")
		}
	})
	inAll(t, variants(), func(t *testing.T, c, _ *client) {
		status, code := http.StatusBadRequest, "invalid_dpop_proof" // RFC 9449, section 5
		switch {
		case c.bound == "mtls" && c.auth == privateKeyJWT:
			code = "invalid_request"
		case c.bound == "mtls": // nothing is left to know the client by
			status, code = http.StatusUnauthorized, "invalid_client"
		}
		c.refused(t, tokenSteps{unbound: true}, status, code)
	})
}
