package app

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestMetadata(t *testing.T) {
	onBothStores(t, map[string]func(*testing.T, *world){
		"document":   metadataDocument,
		"advertised": metadataIsTrue,
	})
}

// MET-001, DPO-028.
func metadataDocument(t *testing.T, w *world) {
	a := w.do(w.request("GET", w.url+"/.well-known/oauth-authorization-server", ""))
	if a.status != 200 || a.header.Get("Content-Type") != "application/json" || a.header.Get("ETag") == "" || !strings.Contains(a.header.Get("Cache-Control"), "max-age") {
		t.Fatalf("got %d %v", a.status, a.header)
	}
	m := a.json(t)
	for name, path := range map[string]string{
		"issuer": "", "token_endpoint": "/oauth2/token", "introspection_endpoint": "/oauth2/introspect",
		"revocation_endpoint": "/oauth2/revoke", "jwks_uri": "/.well-known/jwks.json",
	} {
		if m[name] != issuerURL+path {
			t.Errorf("%s is %v", name, m[name])
		}
	}
	for _, alg := range texts(m["dpop_signing_alg_values_supported"]) {
		if !slices.Contains([]string{"PS256", "ES256", "EdDSA", "Ed25519"}, alg) {
			t.Errorf("DPoP with %s", alg)
		}
	}
	if b := w.do(w.request("GET", w.url+"/.well-known/openid-configuration", "")); b.body != a.body {
		t.Errorf("openid-configuration differs: %s", b.body)
	}
	if b := w.do(w.request("GET", w.url+"/.well-known/openid-configuration", "", "If-None-Match", a.header.Get("ETag"))); b.status != http.StatusNotModified {
		t.Errorf("with the entity tag: got %d", b.status)
	}
	if b := w.do(w.request("POST", w.url+"/.well-known/openid-configuration", "")); b.status != http.StatusMethodNotAllowed {
		t.Errorf("POST: got %d", b.status)
	}
	if b := w.do(w.request("GET", w.url+"/.well-known/oauth-authorization-server/tenantA", "")); b.status != http.StatusNotFound {
		t.Errorf("an unknown tenant: got %d", b.status)
	}
}

func texts(v any) (all []string) {
	list, _ := v.([]any)
	for _, one := range list {
		all = append(all, fmt.Sprint(one))
	}
	return all
}

// MET-003: what is advertised works, what is not is refused.
func metadataIsTrue(t *testing.T, w *world) {
	m := w.do(w.request("GET", w.url+"/.well-known/oauth-authorization-server", "")).json(t)
	methods := w.everyMethod(t)
	delete(methods, "bootstrap") // this server's own
	for _, list := range []string{"token_endpoint_auth_methods_supported", "introspection_endpoint_auth_methods_supported", "revocation_endpoint_auth_methods_supported"} {
		advertised := texts(m[list])
		if len(advertised) != len(methods) {
			t.Errorf("%s: %v", list, advertised)
		}
		for _, name := range advertised {
			p, ok := methods[name]
			if !ok {
				t.Errorf("%s is advertised, and this test does not know it", name)
				continue
			}
			body, options := p.prove()
			if a := p.from.tokenRequest(credentialsFor("m2")+body, options...); a.status != 200 {
				t.Errorf("%s is advertised: got %d %s", name, a.status, a.body)
			}
		}
	}
	grants := texts(m["grant_types_supported"])
	for _, grant := range []string{"client_credentials", exchangeGrant, bearerGrant, "password", "authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:saml2-bearer", "urn:ietf:params:oauth:grant-type:device_code"} {
		a := w.tokenRequest(form("grant_type", grant, "audience", "m2"), basic("m1"))
		known := a.json(t)["error"] != "unsupported_grant_type"
		if known != slices.Contains(grants, grant) {
			t.Errorf("%s: advertised %t, answered %s", grant, !known, a.body)
		}
	}
	algorithms := texts(m["token_endpoint_auth_signing_alg_values_supported"])
	if !slices.Contains(algorithms, "ES256") || slices.Contains(algorithms, "RS256") || slices.Contains(algorithms, "none") {
		t.Errorf("assertions with %v", algorithms)
	}
}

// MET-002: an issuer with a path, behind proxies that leave the path and such that take it away.
func TestIssuerWithPath(t *testing.T) {
	cfg := oauthConfig(t)
	cfg.Issuer = issuerURL + "/tenantA"
	s := start(t, cfg)
	s.service("m1", "m2")
	s.allow("m1", "m2")
	credential, _ := s.credential("m1")
	for _, path := range []string{
		"/.well-known/oauth-authorization-server/tenantA", "/.well-known/openid-configuration/tenantA",
		"/tenantA/.well-known/openid-configuration", "/.well-known/openid-configuration",
	} {
		a := s.do(s.request("GET", s.url+path, ""))
		if a.status != 200 || a.json(t)["issuer"] != cfg.Issuer || a.json(t)["token_endpoint"] != cfg.Issuer+"/oauth2/token" {
			t.Errorf("%s: got %d %s", path, a.status, a.body)
		}
	}
	for _, path := range []string{
		"/.well-known/oauth-authorization-server/tenantB", "/.well-known/openid-configuration/tenantB", "/tenantB/.well-known/openid-configuration",
		"/.well-known/oauth-authorization-server/tenantA/", "/.well-known/oauth-authorization-server/tenanta", "/tenantB/oauth2/token", "/tenantA",
	} {
		if a := s.do(s.request("GET", s.url+path, "")); a.status != http.StatusNotFound {
			t.Errorf("%s: got %d %s", path, a.status, a.body)
		}
	}
	for _, base := range []string{"", "/tenantA"} {
		a := s.post(base+"/oauth2/token", credentialsFor("m2", "client_assertion_type", assertionType, "client_assertion", credential))
		if c := part(t, given(t, a), 1); c["iss"] != cfg.Issuer {
			t.Errorf("%q: got %v", base, c)
		}
		if a := s.do(s.request("GET", s.url+base+"/.well-known/jwks.json", "")); a.status != 200 {
			t.Errorf("%q: keys: got %d", base, a.status)
		}
		if a := s.do(s.request("POST", s.url+base+"/accesstoken", `{"target":"m2"}`, "Authorization", "Bearer "+credential)); a.status != 200 {
			t.Errorf("%q: /accesstoken: got %d", base, a.status)
		}
	}
}

// MET-004: the switch for clients that insist.
func TestAuthorizationEndpointIsASwitch(t *testing.T) {
	cfg := oauthConfig(t)
	cfg.OAuth.AuthorizationEndpoint = true
	cfg.Proxy.Networks = nil
	s := start(t, cfg)
	m := s.do(s.request("GET", s.url+"/.well-known/openid-configuration", "")).json(t)
	if m["authorization_endpoint"] != issuerURL+"/oauth2/authorize" {
		t.Errorf("got %v", m["authorization_endpoint"])
	}
	if m["mtls_endpoint_aliases"] != nil || m["tls_client_certificate_bound_access_tokens"] != nil {
		t.Errorf("certificates, which nobody can present: %v", m)
	}
	if a := s.do(s.request("GET", s.url+"/oauth2/authorize", "")); a.status != http.StatusNotFound {
		t.Errorf("got %d %s", a.status, a.body)
	}
}
