package app

import (
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/dpop"
	"github.com/watchword-dev/watchword/server/internal/config"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/store/pgtest"
	"github.com/watchword-dev/watchword/server/internal/web"
)

// What makes a request bad, and what is decided about a good one, is for packages endpoint, clientauth and issuer to
// show.
func TestOAuth(t *testing.T) {
	onBothStores(t, map[string]func(*testing.T, *world){
		"token":        tokenAnswer,
		"refusals":     refusalsTellNothing,
		"once":         proofsCountOnce,
		"introspect":   introspectActive,
		"revoke":       revokeOwn,
		"every method": everyMethodEverywhere,
		"grants":       grantsAreThoseOfTheMetadata,
		"revocations":  revocationsArrive,
	})
}

// TOK-001, TOK-002, TOK-037, TOK-041: the answer is the same from whatever page and under whatever name it is asked for.
func tokenAnswer(t *testing.T, w *world) {
	a := w.tokenRequest(credentialsFor("m2"), basic("m1"), header("Origin", "https://evil.test"), header("X-Forwarded-Host", "evil.test"),
		func(r *http.Request) { r.Host = "evil.test" })
	token, m := given(t, a), a.json(t)
	for name, want := range map[string]string{"Content-Type": "application/json", "Cache-Control": "no-store", "Pragma": "no-cache", "Access-Control-Allow-Origin": ""} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if m["token_type"] != "Bearer" || m["expires_in"] != 900.0 || m["scope"] != "a b read write" || len(m) != 4 {
		t.Errorf("got %v", m)
	}
	head, c := part(t, token, 0), part(t, token, 1)
	if jwks := w.do(w.request("GET", w.url+"/.well-known/jwks.json", "")); !strings.Contains(jwks.body, head["kid"].(string)) {
		t.Errorf("kid %v is not in %s", head["kid"], jwks.body)
	}
	if head["typ"] != "at+jwt" || head["alg"] != "ES256" || c["iss"] != issuerURL || c["sub"] != "m1" || c["client_id"] != "m1" || c["aud"] != "m2" || len(c["jti"].(string)) != 32 {
		t.Errorf("got %v %v", head, c)
	}
	r := w.record(a.header.Get(web.DecisionHeader))
	if r["outcome"] != "allowed" || r["endpoint"] != "oauth2/token" || r["grant"] != "client_credentials" || r["method"] != "client_secret_basic" || r["token"] != c["jti"] {
		t.Errorf("recorded %v", r)
	}
}

// CAU-003, REV-004, TOK-026, TOK-029: refusals have their form, and do not tell which clients and targets there are.
func refusalsTellNothing(t *testing.T, w *world) {
	wrong := func(name string) option { return func(r *http.Request) { r.SetBasicAuth(name, "wrong") } }
	alike := func(what string, status int, code string, known, unknown answer) {
		refused(t, what, known, status, code)
		for _, h := range []string{"Date", web.RequestIDHeader, web.DecisionHeader} {
			known.header.Del(h)
			unknown.header.Del(h)
		}
		if unknown.status != known.status || unknown.body != known.body || fmt.Sprint(unknown.header) != fmt.Sprint(known.header) {
			t.Errorf("%s: got %v for one that there is, and %v for one that there is not", what, known, unknown)
		}
	}
	for _, path := range []string{"/oauth2/token", "/oauth2/introspect", "/oauth2/revoke"} {
		body := credentialsFor("m2", "token", "x")
		alike(path, 401, "invalid_client", w.post(path, body, wrong("m1")), w.post(path, body, wrong("zz")))
		alike(path+", in the form", 401, "invalid_client", w.post(path, body+"&client_secret=x&client_id=m1"), w.post(path, body+"&client_secret=x&client_id=zz"))
		refused(t, path+", nobody", w.post(path, body), 401, "invalid_client")
		refused(t, path+", no form", w.post(path, "%zz", basic("m1")), 400, "invalid_request")
	}
	alike("target", 400, "invalid_target", w.tokenRequest(credentialsFor("m3"), basic("m1")), w.tokenRequest(credentialsFor("zz"), basic("m1")))
}

// PKJ-015, PKJ-016, PKJ-017, DPO-015, DPO-016: of 50 at once, half of them at each replica, one is granted.
func proofsCountOnce(t *testing.T, w *world) {
	assertion, used := withAssertion(w.assertion("m5", nil), "m2"), withProof(proof(newKey(), nil, nil))
	for code, ask := range map[string]func(*world) answer{
		"invalid_client":     func(w *world) answer { return w.tokenRequest(assertion) },
		"invalid_dpop_proof": func(w *world) answer { return w.tokenRequest(credentialsFor("m2"), basic("m1"), used) },
	} {
		var answers [50]answer
		var all sync.WaitGroup
		for i := range answers {
			all.Go(func() { answers[i] = ask([]*world{w, w.replica()}[i%2]) })
		}
		all.Wait()
		good := 0
		for _, a := range answers {
			if a.status == 200 {
				good++
			} else {
				refused(t, "used before", a, map[string]int{"invalid_client": 401, "invalid_dpop_proof": 400}[code], code)
			}
		}
		if good != 1 {
			t.Errorf("%d of 50 were granted, want 1 with the others %s", good, code)
		}
	}
}

// introspect asks about a token, as a service with a secret.
func (s *server) introspect(name, token string, options ...option) answer {
	s.t.Helper()
	return s.post("/oauth2/introspect", form("token", token), append(options, basic(name))...)
}

func (s *server) revoke(name, token string) answer {
	s.t.Helper()
	return s.post("/oauth2/revoke", form("token", token, "token_type_hint", "access_token"), basic(name))
}

// RFC 7662, section 2.2, and RFC 9701.
func introspectActive(t *testing.T, w *world) {
	const signed = "application/token-introspection+jwt"
	key := newKey()
	token := given(t, w.tokenRequest(credentialsFor("m2", "scope", "a read"), basic("m1"), withProof(proof(key, nil, nil))))
	before := auditText(t, w.cfg.Audit.Dir)
	a := w.introspect("m2", token)
	if a.status != 200 || a.header.Get("Content-Type") != "application/json" || a.header.Get("Cache-Control") != "no-store" || a.header.Get("Vary") != "Accept" {
		t.Errorf("got %d %v", a.status, a.header)
	}
	m, c := a.json(t), part(t, token, 1)
	for _, name := range []string{"iss", "sub", "aud", "exp", "iat", "jti", "client_id", "scope"} {
		if m[name] == nil || m[name] != c[name] {
			t.Errorf("%s: got %v, the token says %v", name, m[name], c[name])
		}
	}
	if m["active"] != true || m["token_type"] != "DPoP" || m["cnf"].(map[string]any)["jkt"] != keyThumbprint(key) {
		t.Errorf("got %v", m)
	}
	a = w.introspect("m2", token, header("Accept", signed))
	if a.status != 200 || a.header.Get("Content-Type") != signed || a.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("got %d %v %s", a.status, a.header, a.body)
	}
	if about := part(t, a.body, 1)["token_introspection"].(map[string]any); about["active"] != true || about["sub"] != "m1" {
		t.Errorf("got %v", about)
	}
	if auditText(t, w.cfg.Audit.Dir) != before {
		t.Error("an introspection that succeeds is recorded")
	}
	w.changed(t, "m1", func(svc *directory.Service) { svc.Disabled = true })
	if a := w.introspect("m2", token); a.body != `{"active":false}` {
		t.Errorf("of a disabled service: got %s", a.body)
	}
}

// REV-001, REV-002, F40: the answer is JSON in type and in body.
func revokeOwn(t *testing.T, w *world) {
	token := w.get("m1", "m2")
	for what, c := range map[string]struct{ token, reason string }{"good": {token, "revoked"}, "garbage": {"x", "nothing_to_revoke"}} {
		a := w.revoke("m1", c.token)
		if a.status != 200 || a.body != "{}" || a.header.Get("Content-Type") != "application/json" || a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: got %d %v %q", what, a.status, a.header, a.body)
		}
		if r := w.record(a.header.Get(web.DecisionHeader)); r["action"] != "token.revoke" || r["reason"] != c.reason || r["caller"] != "m1" || r["outcome"] != "allowed" {
			t.Errorf("%s: recorded %v", what, r)
		}
	}
	if a := w.introspect("m2", token); a.body != `{"active":false}` {
		t.Errorf("introspected: %s", a.body)
	}
	refused(t, "no token", w.revoke("m1", ""), 400, "invalid_request")
}

// metadata of the authorization server; the lists in it as texts.
func (w *world) metadata() (lists map[string][]string) {
	lists = map[string][]string{}
	for name, v := range w.do(w.request("GET", w.url+"/.well-known/oauth-authorization-server", "")).json(w.t) {
		list, _ := v.([]any)
		for _, one := range list {
			lists[name] = append(lists[name], fmt.Sprint(one))
		}
	}
	return lists
}

// MET-003: what is advertised works at all endpoints, what is not is refused.
func everyMethodEverywhere(t *testing.T, w *world) {
	bootstrap, _ := w.credential("m8")
	assertion := func(a string) string {
		return "&" + form("client_assertion_type", assertionType, "client_assertion", a)
	}
	proxy := w.from(t, proxyAddress)
	methods := map[string]func(path, body string) (service string, a answer){
		"client_secret_basic": func(path, body string) (string, answer) { return "m8", w.post(path, body, basic("m8")) },
		"client_secret_post": func(path, body string) (string, answer) {
			return "m8", w.post(path, body+"&"+form("client_id", "m8", "client_secret", secretOf("m8")))
		},
		"private_key_jwt": func(path, body string) (string, answer) {
			return "m5", w.post(path, body+assertion(w.assertion("m5", nil)))
		},
		"self_signed_tls_client_auth": func(path, body string) (string, answer) {
			return "m6", proxy.post(path, body+"&client_id=m6", header("Client-Cert", ":"+encoded(string(w.cert))+":"))
		},
		"bootstrap": func(path, body string) (string, answer) { return "m8", w.post(path, body+assertion(bootstrap)) },
	}
	maps.Copy(methods, platformMethods(t, w, proxy))
	for method, ask := range methods {
		service, a := ask("/oauth2/token", credentialsFor("m2"))
		mine := given(t, a)
		w.rule("m1", service, directory.NewRule{})
		if _, a := ask("/oauth2/introspect", form("token", w.get("m1", service))); a.status != 200 || a.json(t)["active"] != true {
			t.Errorf("%s: introspection: got %d %s", method, a.status, a.body)
		}
		if _, a := ask("/oauth2/revoke", form("token", mine)); a.status != 200 || w.active(mine) {
			t.Errorf("%s: revocation: got %d %s, or it is active", method, a.status, a.body)
		}
	}
	delete(methods, "bootstrap") // this server's own
	for _, endpoint := range []string{"token", "introspection", "revocation"} {
		advertised := w.metadata()[endpoint+"_endpoint_auth_methods_supported"]
		for _, name := range advertised {
			if methods[name] == nil {
				t.Errorf("%s is advertised, and this test does not know it", name)
			}
		}
		if len(advertised) != len(methods) {
			t.Errorf("%s: advertised are %v", endpoint, advertised)
		}
	}
}

// platformMethods are those by which platforms vouch for m8.
func platformMethods(t *testing.T, w *world, proxy *world) map[string]func(path, body string) (service string, a answer) {
	t.Helper()
	const id, issuer = "spiffe://td.test/m8", "https://platform.test"
	key, ca := newKey(), certificate(t, "ca", nil)
	jwks := `{"keys":[` + jwkOf(key, "k") + `]}`
	for name, settings := range map[string]api.TrustSettings{
		"platform": {Preset: "oidc", Issuer: issuer, JWKS: jwks},
		"domain": {
			Preset: "spiffe", Issuer: "spiffe://td.test", JWKS: strings.Replace(jwks, `"use":"sig"`, `"use":"jwt-svid"`, 1),
			Authorities: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Certificate[0]})),
		},
	} {
		_, err := w.s.directory.AddTrust(t.Context(), operator, name, settings)
		must(t, err)
		subject := map[string]string{"platform": "job", "domain": id}[name]
		_, err = w.s.directory.AddCredential(t.Context(), operator, "m8", directory.NewCredential{Kind: directory.KindWorkload, Trust: name, Claims: map[string]string{"sub": subject}})
		must(t, err)
	}
	token := func(c claims) string {
		now := time.Now().Unix()
		return sign(key, `{"alg":"ES256","kid":"k"}`, claims{"aud": issuerURL, "iat": now, "exp": now + 300}.with(c).String())
	}
	svid := certificate(t, id, &ca)
	return map[string]func(path, body string) (string, answer){
		api.WorkloadJWT: func(path, body string) (string, answer) {
			return "m8", w.post(path, body+"&"+form("client_assertion_type", assertionType, "client_assertion", token(claims{"iss": issuer, "sub": "job"})))
		},
		api.SPIFFEJWT: func(path, body string) (string, answer) {
			const kind = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"
			return "m8", w.post(path, body+"&"+form("client_assertion_type", kind, "client_assertion", token(claims{"sub": id})))
		},
		api.SPIFFEX509: func(path, body string) (string, answer) {
			return "m8", proxy.post(path, body+"&"+form("client_id", id), header("Client-Cert", ":"+encoded(string(svid.Certificate[0]))+":"))
		},
	}
}

func grantsAreThoseOfTheMetadata(t *testing.T, w *world) {
	m := w.metadata()
	for _, grant := range []string{
		"client_credentials", exchangeGrant, bearerGrant, "password", "authorization_code", "refresh_token",
		"urn:ietf:params:oauth:grant-type:saml2-bearer", "urn:ietf:params:oauth:grant-type:device_code",
	} {
		a := w.tokenRequest(form("grant_type", grant, "audience", "m2"), basic("m1"))
		if known := a.json(t)["error"] != "unsupported_grant_type"; known != slices.Contains(m["grant_types_supported"], grant) {
			t.Errorf("%s: known %t, advertised are %v", grant, known, m["grant_types_supported"])
		}
	}
	for _, use := range []string{"token_endpoint_auth", "dpop"} {
		algorithms := m[use+"_signing_alg_values_supported"]
		if !slices.Contains(algorithms, "ES256") || slices.Contains(algorithms, "RS256") || slices.Contains(algorithms, "none") {
			t.Errorf("%s with %v", use, algorithms)
		}
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
		"/oauth2/authorize", // MET-004: there is none, whatever the switch says
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

// The settings that change what is issued, and what is said of it, are those of the issuer and the endpoints.
func TestSettingsOfTokensAreInForce(t *testing.T) {
	cfg := oauthConfig(t)
	cfg.OAuth.AuthorizationEndpoint, cfg.Proxy, cfg.Token.ReuseWindow = true, config.Proxy{}, time.Minute
	s := start(t, cfg)
	m1, _, _ := s.demo()
	m := s.do(s.request("GET", s.url+"/.well-known/openid-configuration", "")).json(t)
	if m["authorization_endpoint"] != issuerURL+"/oauth2/authorize" { // MET-004
		t.Errorf("got %v", m["authorization_endpoint"])
	}
	if m["mtls_endpoint_aliases"] != nil || m["tls_client_certificate_bound_access_tokens"] != nil {
		t.Errorf("certificates, which nobody can present: %v", m)
	}
	if first := s.accessToken(m1, "m2"); s.accessToken(m1, "m2") != first {
		t.Error("two equal requests within the window got two tokens")
	}
}

// DPO-026, and RFC 9449, section 8: a nonce of one replica is good at the other, and at both endpoints.
func TestDPoPNonce(t *testing.T) {
	url := pgtest.Start(t)
	cfg := oauthConfig(t)
	cfg.Database, cfg.OAuth.DPoPRequireNonce = config.NewSecret(url), true
	a := populated(start(t, cfg))
	other := oauthConfig(t)
	other.Database, other.OAuth.DPoPRequireNonce, other.Keys.SealingKeyFile = cfg.Database, true, cfg.Keys.SealingKeyFile
	b := start(t, other)

	key := newKey()
	ask := func(s *server, more claims) answer {
		return s.tokenRequest(credentialsFor("m2"), basic("m1"), withProof(proof(key, nil, more)))
	}
	first := ask(a.server, nil)
	refused(t, "no nonce", first, 400, "use_dpop_nonce")
	nonces := first.header.Values(dpop.NonceHeader)
	if len(nonces) != 1 || nonces[0] == "" {
		t.Fatalf("got %v", first.header)
	}
	got := ask(b, claims{"nonce": nonces[0]})
	if got.status != 200 || len(got.header.Values(dpop.NonceHeader)) != 1 {
		t.Errorf("at the other replica: got %d %v %s", got.status, got.header, got.body)
	}
	m1, _ := a.credential("m1")
	plain := func(more claims) answer {
		return a.ask(m1, `{"target":"m2"}`, dpop.Header, proof(key, nil, claims{"htu": issuerURL + "/accesstoken"}.with(more)))
	}
	if got := plain(nil); got.status != 400 || got.json(t)["error"] != "use_dpop_nonce" || got.header.Get(dpop.NonceHeader) == "" {
		t.Errorf("/accesstoken: got %d %v %s", got.status, got.header, got.body)
	}
	if got := plain(claims{"nonce": nonces[0]}); got.status != 200 || got.json(t)["tokenType"] != "DPoP" {
		t.Errorf("/accesstoken: got %d %s", got.status, got.body)
	}
}
