package app

import (
	"crypto/rand"
	"testing"

	"github.com/watchword-dev/watchword/internal/dpop"
	"github.com/watchword-dev/watchword/server/internal/config"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/store/pgtest"
)

func TestDPoP(t *testing.T) {
	onBothStores(t, map[string]func(*testing.T, *world){
		"bound":       dpopBound,
		"url":         dpopURLIsTheConfiguredOne,
		"once":        dpopOnce,
		"parallel":    dpopInParallel,
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

// DPO-011: the URL is the one that is configured, whatever a request says of itself. What else makes a proof bad is for
// package dpop to show.
func dpopURLIsTheConfiguredOne(t *testing.T, w *world) {
	for htu, good := range map[string]bool{tokenURL: true, w.url + "/oauth2/token": false, "https://evil.test/oauth2/token": false} {
		a := w.tokenRequest(credentialsFor("m2"), basic("m1"), withProof(proof(newKey(), nil, claims{"htu": htu})), header("X-Forwarded-Host", "evil.test"))
		if good && a.status != 200 || !good && a.json(t)["error"] != "invalid_dpop_proof" {
			t.Errorf("%s: got %d %s", htu, a.status, a.body)
		}
	}
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
	// At /accesstoken too.
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
