package app

import (
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/dpop"
	"github.com/watchword-dev/watchword/server/internal/config"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/store/pgtest"
)

func TestDPoP(t *testing.T) {
	onBothStores(t, map[string]func(*testing.T, *world){
		"bound":       dpopBound,
		"bad":         dpopProofsThatAreBad,
		"once":        dpopOnce,
		"parallel":    dpopInParallel,
		"required":    dpopRequired,
		"nonce":       unknownNonce,
		"certificate": certificates,
	})
}

func withProof(p string) option { return header(dpop.Header, p) }

// RFC 9449, section 5.
func dpopBound(t *testing.T, w *world) {
	key := newKey()
	a := w.tokenRequest(credentialsFor("m2"), basic("m1"), withProof(proof(key, nil, nil)))
	c := part(t, given(t, a), 1)
	if cnf, _ := c["cnf"].(map[string]any); a.json(t)["token_type"] != "DPoP" || cnf["jkt"] != keyThumbprint(key) || len(cnf) != 1 {
		t.Errorf("got %s %v", a.body, c)
	}
	if a.header.Get(dpop.NonceHeader) != "" {
		t.Errorf("a nonce where none is needed: %v", a.header)
	}
	if m := w.introspect("m2", given(t, a)).json(t); m["token_type"] != "DPoP" || m["cnf"].(map[string]any)["jkt"] != keyThumbprint(key) {
		t.Errorf("introspected %v", m)
	}
}

// DPO-002, DPO-003, DPO-004, DPO-005, DPO-006, DPO-008, DPO-009, DPO-011, DPO-013, DPO-030.
func dpopProofsThatAreBad(t *testing.T, w *world) {
	key, now := newKey(), time.Now().Unix()
	private := jwkPublic(key).with(claims{"d": "AAAA"})
	good := proof(key, nil, nil)
	for what, p := range map[string]string{
		"no typ":          proof(key, claims{"typ": nil}, nil),
		"typ jwt":         proof(key, claims{"typ": "jwt"}, nil),
		"typ at+jwt":      proof(key, claims{"typ": "at+jwt"}, nil),
		"alg none":        proof(key, claims{"alg": "none"}, nil),
		"alg HS256":       proof(key, claims{"alg": "HS256"}, nil),
		"alg RS256":       proof(key, claims{"alg": "RS256"}, nil),
		"no alg":          proof(key, claims{"alg": nil}, nil),
		"no jwk":          proof(key, claims{"jwk": nil}, nil),
		"private jwk":     proof(key, claims{"jwk": private}, nil),
		"oct":             proof(key, claims{"jwk": claims{"kty": "oct", "k": "AAAA"}}, nil),
		"off the curve":   proof(key, claims{"jwk": jwkPublic(key).with(claims{"y": jwkPublic(newKey())["y"]})}, nil),
		"another key":     proof(key, claims{"jwk": jwkPublic(newKey())}, nil),
		"tampered":        tampered(good),
		"htm GET":         proof(key, nil, claims{"htm": "GET"}),
		"htm post":        proof(key, nil, claims{"htm": "post"}),
		"another host":    proof(key, nil, claims{"htu": "https://evil.test/oauth2/token"}),
		"another path":    proof(key, nil, claims{"htu": issuerURL + "/oauth2/introspect"}),
		"http":            proof(key, nil, claims{"htu": "http://as.test/oauth2/token"}),
		"as it came":      proof(key, nil, claims{"htu": w.url + "/oauth2/token"}),
		"an hour old":     proof(key, nil, claims{"iat": now - 3600}),
		"an hour ahead":   proof(key, nil, claims{"iat": now + 3600}),
		"no iat":          proof(key, nil, claims{"iat": nil}),
		"no jti":          proof(key, nil, claims{"jti": nil}),
		"long jti":        proof(key, nil, claims{"jti": strings.Repeat("x", 129)}),
		"not a JWT":       "x",
		"joined":          proof(key, nil, nil) + ", " + proof(key, nil, nil),
		"an access token": w.get("m1", "m2"),
	} {
		a := w.tokenRequest(credentialsFor("m2"), basic("m1"), withProof(p), header("X-Forwarded-Host", "evil.test"))
		refused(t, what, a, 400, "invalid_dpop_proof")
	}
	a := w.tokenRequest(credentialsFor("m2"), basic("m1"), withProof(proof(key, nil, nil)), withProof(proof(key, nil, nil)))
	refused(t, "two headers", a, 400, "invalid_dpop_proof")
	if a := w.tokenRequest(credentialsFor("m2"), basic("m1"), withProof(good)); a.status != 200 {
		t.Errorf("the good one: got %d %s", a.status, a.body)
	}
	for _, htu := range []string{tokenURL + "?x=1#y", "HTTPS://AS.test:443/oauth2/%74oken"} {
		if a := w.tokenRequest(credentialsFor("m2"), basic("m1"), withProof(proof(key, nil, claims{"htu": htu, "iat": now + 9}))); a.status != 200 {
			t.Errorf("%s: got %d %s", htu, a.status, a.body)
		}
	}
}

func tampered(jws string) string {
	i := strings.LastIndexByte(jws, '.')
	parts := strings.Split(jws[:i], ".")
	return parts[0] + "." + b64(claims{"jti": rand.Text(), "htm": "POST", "htu": tokenURL, "iat": time.Now().Unix()}.String()) + jws[i:]
}

// DPO-015, DPO-016. DPO-018, how long it is remembered, is for dpop and once to show, with their clocks.
func dpopOnce(t *testing.T, w *world) {
	key, jti := newKey(), rand.Text()
	p := proof(key, nil, claims{"jti": jti})
	ask := func(w *world, p string) answer {
		return w.tokenRequest(credentialsFor("m2"), basic("m1"), withProof(p))
	}
	if a := ask(w, p); a.status != 200 {
		t.Fatalf("got %d %s", a.status, a.body)
	}
	refused(t, "again", ask(w, p), 400, "invalid_dpop_proof")
	refused(t, "at the other replica", ask(w.replica(), p), 400, "invalid_dpop_proof")
	refused(t, "the jti again", ask(w, proof(key, nil, claims{"jti": jti, "htu": tokenURL + "?again"})), 400, "invalid_dpop_proof")
	refused(t, "of another service", w.tokenRequest(credentialsFor("m2"), basic("m8"), withProof(p)), 400, "invalid_dpop_proof")
	if a := ask(w, proof(newKey(), nil, claims{"jti": jti})); a.status != 200 {
		t.Errorf("the jti with another key: got %d %s", a.status, a.body)
	}
	// A proof is not used up by a request that fails before it is looked at.
	unspent := proof(key, nil, nil)
	refused(t, "wrong secret", w.tokenRequest(credentialsFor("m2"), rawBasic(encoded("m1:wrong")), withProof(unspent)), 401, "invalid_client")
	if a := ask(w, unspent); a.status != 200 {
		t.Errorf("then with the right one: got %d %s", a.status, a.body)
	}
}

// DPO-015: 50 at once, half of them at each replica.
func dpopInParallel(t *testing.T, w *world) {
	p, good := withProof(proof(newKey(), nil, nil)), 0
	for _, a := range inParallel(50, func(i int) answer {
		return []*world{w, w.replica()}[i%2].tokenRequest(credentialsFor("m2"), basic("m1"), p)
	}) {
		if a.status == 200 {
			good++
		} else {
			refused(t, "in parallel", a, 400, "invalid_dpop_proof")
		}
	}
	if good != 1 {
		t.Errorf("%d of 50 were granted", good)
	}
}

// A service whose tokens must be bound gets no others, by no grant.
func dpopRequired(t *testing.T, w *world) {
	refused(t, "unbound", w.tokenRequest(credentialsFor("m2"), basic("m7")), 400, "invalid_dpop_proof")
	key := newKey()
	bound := given(t, w.tokenRequest(credentialsFor("m2"), basic("m7"), withProof(proof(key, nil, nil))))
	if part(t, bound, 1)["cnf"] == nil {
		t.Error("not bound")
	}
	bootstrap, _ := w.credential("m7")
	if a := w.ask(bootstrap, `{"target":"m2"}`); a.status != 400 || a.json(t)["error"] != "invalid_dpop_proof" {
		t.Errorf("at the plain door: got %d %s", a.status, a.body)
	}
	w.changed(t, "m7", func(svc *directory.Service) { svc.Binding = api.BindingMTLS })
	refused(t, "no certificate", w.tokenRequest(credentialsFor("m2"), basic("m7"), withProof(proof(key, nil, nil))), 400, "invalid_request")
}

// MTL-001, MTL-003, MTL-004, MTL-006, MTL-017, behind a proxy. Those on the connection itself are
// in internal/conformance.
func certificates(t *testing.T, w *world) {
	proxy := w.from(t, proxyAddress)
	ask := func(w *world, der []byte, name string) answer {
		return w.tokenRequest(credentialsFor("m2", "client_id", name), header("Client-Cert", ":"+encoded(string(der))+":"))
	}
	a := ask(proxy, w.cert, "m6")
	c := part(t, given(t, a), 1)
	if cnf, _ := c["cnf"].(map[string]any); cnf["x5t#S256"] != thumbprint(w.cert) || a.json(t)["token_type"] != "Bearer" {
		t.Errorf("got %v %s", c, a.body)
	}
	refused(t, "from anybody", ask(w, w.cert, "m6"), 401, "invalid_client")
	refused(t, "as another", ask(proxy, w.cert, "m5"), 401, "invalid_client")
	refused(t, "another's of that name", ask(proxy, selfSigned(newKey(), "m6"), "m6"), 401, "invalid_client")
	refused(t, "no certificate", proxy.tokenRequest(credentialsFor("m2", "client_id", "m6")), 401, "invalid_client")
	refused(t, "nonsense", proxy.tokenRequest(credentialsFor("m2", "client_id", "m6"), header("Client-Cert", "x")), 400, "invalid_request")
	for _, name := range []string{"X-Forwarded-Client-Cert", "X-Forwarded-Tls-Client-Cert", "X-SSL-Client-Cert", "ssl-client-cert"} {
		refused(t, name, proxy.tokenRequest(credentialsFor("m2", "client_id", "m6"), header(name, ":"+encoded(string(w.cert))+":")), 401, "invalid_client")
	}
	second := selfSigned(w.keys["m6"], "m6")
	w.addCredential("m6", directory.KindCertificate, thumbprint(second))
	if cnf, _ := part(t, given(t, ask(proxy, second, "m6")), 1)["cnf"].(map[string]any); cnf["x5t#S256"] != thumbprint(second) {
		t.Errorf("renewed with another certificate: bound to %v", cnf)
	}
}

// RFC 9449, section 8: who is told to use a nonce is told which, also where none is demanded. One
// that another server gave, or that is too old, is forgotten in no other way.
func unknownNonce(t *testing.T, w *world) {
	key := newKey()
	ask := func(nonce string) answer {
		return w.tokenRequest(credentialsFor("m2"), basic("m1"), withProof(proof(key, nil, claims{"nonce": nonce})))
	}
	a := ask("another server's")
	refused(t, "unknown nonce", a, 400, "use_dpop_nonce")
	nonces := a.header.Values(dpop.NonceHeader)
	if len(nonces) != 1 || nonces[0] == "" {
		t.Fatalf("got %v", a.header)
	}
	if a := ask(nonces[0]); a.status != 200 || a.header.Get(dpop.NonceHeader) != "" {
		t.Errorf("with the nonce: got %d %v %s", a.status, a.header, a.body)
	}
}

// DPO-026, and RFC 9449, section 8: a nonce of one replica is good at the other.
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
	refused(t, "a made-up nonce", ask(a.server, claims{"nonce": "x"}), 400, "use_dpop_nonce")
	got := ask(b, claims{"nonce": nonces[0]})
	if got.status != 200 || len(got.header.Values(dpop.NonceHeader)) != 1 {
		t.Errorf("at the other replica: got %d %v %s", got.status, got.header, got.body)
	}
	// The plain door too.
	m1, _ := a.credential("m1")
	plain := func(more claims) answer {
		return a.ask(m1, `{"target":"m2"}`, dpop.Header, proof(key, nil, claims{"htu": issuerURL + "/accesstoken"}.with(more)))
	}
	if got := plain(nil); got.status != 400 || got.json(t)["error"] != "use_dpop_nonce" || got.header.Get(dpop.NonceHeader) == "" {
		t.Errorf("the plain door: got %d %v %s", got.status, got.header, got.body)
	}
	if got := plain(claims{"nonce": nonces[0]}); got.status != 200 || got.json(t)["tokenType"] != "DPoP" {
		t.Errorf("the plain door: got %d %s", got.status, got.body)
	}
}
