package app

import (
	"net/http"
	"strings"
	"testing"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/web"
)

func TestIntrospectionAndRevocation(t *testing.T) {
	onBothStores(t, map[string]func(*testing.T, *world){
		"active":       introspectActive,
		"who asks":     introspectAuthenticates,
		"signed":       introspectSigned,
		"every method": introspectByEveryMethod,
		"revoke":       revokeOwn,
		"who revokes":  revokeAuthenticates,
	})
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

// RFC 7662, section 2.2.
func introspectActive(t *testing.T, w *world) {
	token := w.get("m1", "m2", "scope", "a read")
	before := w.auditLog()
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
	if m["active"] != true || m["token_type"] != "Bearer" {
		t.Errorf("got %v", m)
	}
	if w.auditLog() != before {
		t.Error("an introspection that succeeds is recorded")
	}
	w.changed(t, "m1", func(svc *directory.Service) { svc.Disabled = true })
	if a := w.introspect("m2", token); a.body != `{"active":false}` {
		t.Errorf("of a disabled service: got %s", a.body)
	}
}

// INT-004, INT-005.
func introspectAuthenticates(t *testing.T, w *world) {
	token := w.get("m1", "m2")
	for what, a := range map[string]answer{
		"nobody":       w.post("/oauth2/introspect", form("token", token)),
		"wrong secret": w.post("/oauth2/introspect", form("token", token), rawBasic(encoded("m2:wrong"))),
		"wrong post":   w.post("/oauth2/introspect", form("token", token, "client_id", "m2", "client_secret", "wrong")),
		"disabled":     w.introspect("m4", token),
		"the token":    w.post("/oauth2/introspect", form("token", token), header("Authorization", "Bearer "+token)),
	} {
		refused(t, what, a, 401, "invalid_client")
		if a.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: no challenge", what)
		}
		if r := w.record(a.header.Get(web.DecisionHeader)); r["outcome"] != "refused" || r["endpoint"] != "oauth2/introspect" {
			t.Errorf("%s: recorded %v", what, r)
		}
	}
	refused(t, "no token", w.introspect("m2", ""), 400, "invalid_request")
	if a := w.do(w.request("GET", w.url+"/oauth2/introspect?token="+token, "")); a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") != "POST" {
		t.Errorf("GET: got %d %v", a.status, a.header)
	}
	if strings.Contains(w.auditLog(), token) {
		t.Error("the token is in the audit log")
	}
}

// RFC 9701.
func introspectSigned(t *testing.T, w *world) {
	const kind = "application/token-introspection+jwt"
	token := w.get("m1", "m2")
	for _, c := range []struct {
		by, token string
		active    bool
	}{{"m2", token, true}, {"m3", token, false}} {
		a := w.introspect(c.by, c.token, header("Accept", kind))
		if a.status != 200 || a.header.Get("Content-Type") != kind || a.header.Get("Cache-Control") != "no-store" {
			t.Fatalf("got %d %v %s", a.status, a.header, a.body)
		}
		head, m := part(t, a.body, 0), part(t, a.body, 1)
		if head["typ"] != "token-introspection+jwt" || m["iss"] != issuerURL || m["aud"] != c.by || m["iat"] == nil {
			t.Errorf("got %v %v", head, m)
		}
		for _, name := range []string{"sub", "exp", "client_id", "jti"} {
			if m[name] != nil { // section 8.1: it must not pass for an access token
				t.Errorf("the answer itself has %s", name)
			}
		}
		about, _ := m["token_introspection"].(map[string]any)
		if about["active"] != c.active || (about["sub"] == "m1") != c.active || (len(about) > 1) != c.active {
			t.Errorf("got %v", about)
		}
		set, err := jose.ParseKeySet([]byte(w.do(w.request("GET", w.url+"/.well-known/jwks.json", "")).body))
		if err != nil {
			t.Fatal(err)
		}
		jws, err := jose.Parse(a.body)
		if err != nil || jws.Verify(set, []jose.Algorithm{jose.ES256}) != nil {
			t.Errorf("the signature is not good: %v", err)
		}
		if a := w.introspect("m2", a.body); a.body != `{"active":false}` {
			t.Errorf("an answer passes for a token: %s", a.body)
		}
		refused(t, "an answer exchanged", w.exchange("m2", a.body, "m3"), 400, "invalid_request")
	}
}

// Every way to prove itself counts at all endpoints.
func introspectByEveryMethod(t *testing.T, w *world) {
	proofs := w.everyMethod(t)
	if len(proofs) < 5 {
		t.Fatalf("only %d methods", len(proofs))
	}
	for method, p := range proofs {
		w.rule("m1", p.service, directory.NewRule{})
		token := w.get("m1", p.service)
		body, options := p.prove()
		if a := p.from.post("/oauth2/introspect", form("token", token)+body, options...); a.status != 200 || a.json(t)["active"] != true {
			t.Errorf("%s: introspection: got %d %s", method, a.status, a.body)
		}
		body, options = p.prove()
		mine := given(t, p.from.tokenRequest(credentialsFor("m2")+body, options...))
		body, options = p.prove()
		if a := p.from.post("/oauth2/revoke", form("token", mine)+body, options...); a.status != 200 {
			t.Errorf("%s: revocation: got %d %s", method, a.status, a.body)
		}
		if a := w.introspect("m2", mine); a.body != `{"active":false}` {
			t.Errorf("%s: a revoked token: got %s", method, a.body)
		}
	}
}

// method is a service that proves itself in one way, afresh each time.
type method struct {
	service string
	from    *world
	prove   func() (body string, options []option)
}

func (w *world) everyMethod(t *testing.T) map[string]method {
	assertion := func(a string) string {
		return "&" + form("client_assertion_type", assertionType, "client_assertion", a)
	}
	bootstrap, _ := w.credential("m8")
	return map[string]method{
		"client_secret_basic": {"m8", w, func() (string, []option) { return "", []option{basic("m8")} }},
		"client_secret_post": {"m8", w, func() (string, []option) {
			return "&" + form("client_id", "m8", "client_secret", secretOf("m8")), nil
		}},
		"private_key_jwt": {"m5", w, func() (string, []option) { return assertion(w.assertion("m5", nil)), nil }},
		"self_signed_tls_client_auth": {"m6", w.from(t, proxyAddress), func() (string, []option) {
			return "&client_id=m6", []option{header("Client-Cert", ":"+encoded(string(w.cert))+":")}
		}},
		"bootstrap": {"m8", w, func() (string, []option) { return assertion(bootstrap), nil }},
	}
}

// REV-001, REV-002, F40: the answer is JSON in type and in body. That offline verifiers learn of it is for the tests of the deny-list.
func revokeOwn(t *testing.T, w *world) {
	token := w.get("m1", "m2")
	a := w.revoke("m1", token)
	if a.status != 200 || a.body != "{}" || a.header.Get("Content-Type") != "application/json" || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("got %d %v %q", a.status, a.header, a.body)
	}
	if r := w.record(a.header.Get(web.DecisionHeader)); r["action"] != "token.revoke" || r["token"] != part(t, token, 1)["jti"] || r["caller"] != "m1" || r["outcome"] != "allowed" {
		t.Errorf("recorded %v", r)
	}
	if a := w.introspect("m2", token); a.body != `{"active":false}` {
		t.Errorf("introspected: %s", a.body)
	}
	for what, token := range map[string]string{"again": token, "garbage": "x", "unknown": sign(newKey(), `{"alg":"ES256"}`, "{}"), "half": token[:40]} {
		a := w.revoke("m1", token)
		if a.status != 200 || a.body != "{}" {
			t.Errorf("%s: got %d %s", what, a.status, a.body)
		}
		if r := w.record(a.header.Get(web.DecisionHeader)); r["reason"] != "nothing_to_revoke" {
			t.Errorf("%s: recorded %v", what, r)
		}
	}
	refused(t, "no token", w.revoke("m1", ""), 400, "invalid_request")
}

// REV-004.
func revokeAuthenticates(t *testing.T, w *world) {
	token := w.get("m1", "m2")
	refused(t, "nobody", w.post("/oauth2/revoke", form("token", token)), 401, "invalid_client")
	refused(t, "wrong secret", w.post("/oauth2/revoke", form("token", token), rawBasic(encoded("m1:wrong"))), 401, "invalid_client")
	if m := w.introspect("m2", token).json(t); m["active"] != true {
		t.Errorf("got %v", m)
	}
}
