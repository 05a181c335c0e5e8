package conformance

import (
	"net/url"
	"slices"
	"strings"
	"testing"
)

// fapi2-security-profile-final-discovery-end-point-verification.
func TestFAPI2SecurityProfileFinalDiscoveryEndPointVerification(t *testing.T) {
	for _, v := range variants() {
		t.Run(v.String(), func(t *testing.T) {
			m := metadata(t, v.world())
			if m.status != 200 || !strings.HasPrefix(m.header.Get("Content-Type"), "application/json") {
				t.Fatalf("got %d, %q", m.status, m.header.Get("Content-Type"))
			}
			// RFC 8414, section 3.3.
			if got := m.text("issuer"); got != issuer {
				t.Errorf("issuer is %q", got)
			}
			checkBindingMetadata(t, m, v)
			checkMethodMetadata(t, m, v)
			// FAPICheckDiscEndpointGrantTypesSupportedContainsClientCredentials.
			if !slices.Contains(m.list(t, "grant_types_supported"), "client_credentials") {
				t.Errorf("grant types: %v", m.object["grant_types_supported"])
			}
			for name, value := range m.object {
				if s, ok := value.(string); ok && strings.HasSuffix(name, "_endpoint") {
					if u, err := url.Parse(s); err != nil || u.Scheme != "https" || u.Host != "as.example" || u.Fragment != "" {
						t.Errorf("%s is %q", name, s)
					}
				}
			}
			if m.text("token_endpoint") == "" {
				t.Error("no token_endpoint")
			}
		})
	}
}

func checkBindingMetadata(t *testing.T, m answer, v variant) {
	t.Helper()
	if v.bound == "mtls" { // RFC 8705, section 3.3
		if m.object["tls_client_certificate_bound_access_tokens"] != true {
			t.Error("tls_client_certificate_bound_access_tokens is not true")
		}
		return
	}
	onlyPermitted(t, m, "dpop_signing_alg_values_supported")
}

func checkMethodMetadata(t *testing.T, m answer, v variant) {
	t.Helper()
	if !slices.Contains(m.list(t, "token_endpoint_auth_methods_supported"), v.auth) {
		t.Errorf("methods: %v", m.object["token_endpoint_auth_methods_supported"])
	}
	onlyPermitted(t, m, "token_endpoint_auth_signing_alg_values_supported")
}

// onlyPermitted: FAPI 2.0 Security Profile, section 5.4.1. Ed25519 is EdDSA's name in RFC 9864. The
// suite is content with one of them; others would be accepted from clients that conform to nothing.
func onlyPermitted(t *testing.T, m answer, member string) {
	t.Helper()
	algs := m.list(t, member)
	for _, alg := range algs {
		if !slices.Contains(append(algorithms, "Ed25519"), alg) {
			t.Errorf("%s has %s", member, alg)
		}
	}
	if len(algs) == 0 {
		t.Errorf("%s is empty", member)
	}
}

// What the plan checks of the keys of servers that have clients with users (ValidateServerJWKs,
// CheckForKeyIdInServerJWKs, EnsureServerJwksDoesNotContainPrivateOrSymmetricKeys; RFC 7517, section
// 4.5): here callees check access tokens with them.
func TestServerKeysAreDistinctAndPublic(t *testing.T) {
	for _, w := range worlds {
		a := get(t, w, metadata(t, w).text("jwks_uri"))
		keys, _ := a.object["keys"].([]any)
		if len(keys) == 0 {
			t.Fatalf("no keys: %d %s", a.status, a.body)
		}
		seen := map[string]bool{}
		for _, k := range keys {
			k, _ := k.(map[string]any)
			kid, _ := k["kid"].(string)
			if kid == "" || seen[kid] || k["use"] != "sig" {
				t.Errorf("key %v: kid is missing or used twice, or use is not sig", k)
			}
			seen[kid] = true
			for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} {
				if _, ok := k[private]; ok {
					t.Errorf("key %s has the member %s", kid, private)
				}
			}
			if n, _ := k["n"].(string); k["kty"] == "RSA" && len(n) < 2048/6 || !slices.Contains([]any{"EC", "OKP", "RSA"}, k["kty"]) {
				t.Errorf("key %s is short, or of kind %v", kid, k["kty"])
			}
		}
	}
}
