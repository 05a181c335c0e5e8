package verify_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/verify"
	"github.com/watchword-dev/watchword/verify/verifytest"
)

const external = "https://m2.example"

func outside(c *verify.Config) { c.ExternalURL = external }

// send is a request with headers as given; proofs become DPoP headers.
func send(h http.Handler, method, authorization string, proofs ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "/hello?name=x", nil)
	r.Header["Dpop"] = proofs
	return serve(h, r, authorization)
}

const dpopChallenge = `DPoP realm="watchword", error="`

// expect401 holds that the answer is 401 with one challenge: of scheme DPoP, the error, and algs.
func expect401(t *testing.T, name string, w *httptest.ResponseRecorder, code string) {
	t.Helper()
	got := w.Header()["Www-Authenticate"]
	if w.Code != 401 || len(got) != 1 || !strings.HasPrefix(got[0], dpopChallenge+code+`"`) || !strings.Contains(got[0], `algs="ES256 PS256 EdDSA"`) {
		t.Errorf("%s: got %d %q %s, want DPoP %s", name, w.Code, got, w.Body, code)
	}
	checkErrorBody(t, name, w, code)
}

func TestBoundTokenWithItsProofPasses(t *testing.T) {
	i, key := verifytest.NewIssuer(t), verifytest.NewKey(t)
	h := offline(t, i, outside).Middleware(whoCalls)
	token := i.Token("m1", "m2", verifytest.BoundToKey(key))
	for _, scheme := range []string{"DPoP ", "dpop ", "DPOP  "} { // RFC 9110, section 11.1
		if w := send(h, "GET", scheme+token, key.Proof("GET", external+"/hello", token, "", time.Now())); w.Code != 200 || w.Body.String() != "m1" {
			t.Errorf("%s: got %d %s", scheme, w.Code, w.Body)
		}
	}
}

// DPO-002, DPO-003, DPO-004, DPO-005, DPO-006, DPO-008, DPO-009, DPO-011, DPO-013 at a resource. Package dpop holds
// each of the twelve checks case by case.
func TestProofThatDoesNotHoldIsRefused(t *testing.T) {
	i, key := verifytest.NewIssuer(t), verifytest.NewKey(t)
	h := offline(t, i, outside).Middleware(whoCalls)
	token := i.Token("m1", "m2", verifytest.BoundToKey(key))
	other := i.Token("m1", "m2", verifytest.BoundToKey(key))
	now, url := time.Now(), external+"/hello"
	good := func() string { return key.Proof("GET", url, token, "", now) }
	for name, proofs := range map[string][]string{
		"two":                         {good(), good()},                                               // DPO-002
		"joined":                      {good() + "," + good()},                                        // DPO-002
		"a token in place of a proof": {token},                                                        // DPO-003
		"cut short":                   {good()[:len(good())-2]},                                       // DPO-006
		"another method":              {key.Proof("POST", url, token, "", now)},                       // DPO-008
		"method in lower case":        {key.Proof("get", url, token, "", now)},                        // DPO-008
		"another path":                {key.Proof("GET", external+"/bye", token, "", now)},            // DPO-009
		"another host":                {key.Proof("GET", "https://m3.example/hello", token, "", now)}, // DPO-009
		"http":                        {key.Proof("GET", "http://m2.example/hello", token, "", now)},  // DPO-009
		"the host of the request":     {key.Proof("GET", "http://example.com/hello", token, "", now)}, // DPO-011
		"an hour ago":                 {key.Proof("GET", url, token, "", now.Add(-time.Hour))},        // DPO-013
		"in an hour":                  {key.Proof("GET", url, token, "", now.Add(time.Hour))},         // DPO-013
		"for another token":           {key.Proof("GET", url, other, "", now)},
		"for none":                    {key.Proof("GET", url, "", "", now)},
		"empty":                       {""},
	} {
		expect401(t, name, send(h, "GET", "DPoP "+token, proofs...), "invalid_dpop_proof")
	}
	expect401(t, "none", send(h, "GET", "DPoP "+token), "invalid_token")
	if w := send(h, "GET", "DPoP "+token, good()); w.Code != 200 {
		t.Errorf("the good one: got %d %s", w.Code, w.Body)
	}
}

// DPO-020. RFC 9449, section 7.1.
func TestProofOfAnotherKeyIsRefused(t *testing.T) {
	i, key, thief := verifytest.NewIssuer(t), verifytest.NewKey(t), verifytest.NewKey(t)
	h := offline(t, i, outside).Middleware(whoCalls)
	token := i.Token("m1", "m2", verifytest.BoundToKey(key))
	expect401(t, "another key", send(h, "GET", "DPoP "+token, thief.Proof("GET", external+"/hello", token, "", time.Now())), "invalid_token")
}

// DPO-021. RFC 9449, section 7.2: no downgrade, with a proof beside it or without. And none the
// other way.
func TestBoundTokenIsNoBearerToken(t *testing.T) {
	i, key := verifytest.NewIssuer(t), verifytest.NewKey(t)
	v := offline(t, i, outside)
	h := v.Middleware(whoCalls)
	token := i.Token("m1", "m2", verifytest.BoundToKey(key))
	proof := func(token string) string { return key.Proof("GET", external+"/hello", token, "", time.Now()) }
	for range 2 { // the second time from the cache
		expect401(t, "without a proof", send(h, "GET", "Bearer "+token), "invalid_token")
		expect401(t, "with a proof", send(h, "GET", "Bearer "+token, proof(token)), "invalid_token")
		refused(t, v, "Verify", token, verify.ErrBound)
	}
	bearer := i.Token("m1", "m2")
	expect401(t, "a bearer token as DPoP", send(h, "GET", "DPoP "+bearer, proof(bearer)), "invalid_token")
	if w := send(h, "GET", "Bearer "+bearer, "nonsense"); w.Code != 200 {
		t.Errorf("a bearer token as such: got %d", w.Code)
	}
	for name, cnf := range map[string]any{"a jwk": map[string]any{"jwk": map[string]string{"kty": "EC"}}, "nothing": map[string]any{}, "an empty jkt": map[string]string{"jkt": ""}} {
		token := i.Token("m1", "m2", verifytest.Claim("cnf", cnf))
		refused(t, v, name, token, verify.ErrBound)
		if w := send(h, "GET", "DPoP "+token, proof(token)); w.Code != 401 {
			t.Errorf("bound to %s: got %d", name, w.Code)
		}
	}
}

// DPO-015: one success, however many send the proof at once.
func TestProofIsGoodOnce(t *testing.T) {
	i, key := verifytest.NewIssuer(t), verifytest.NewKey(t)
	h := offline(t, i, outside).Middleware(whoCalls)
	token := i.Token("m1", "m2", verifytest.BoundToKey(key))
	proof := key.Proof("GET", external+"/hello", token, "", time.Now())
	var passed, replays atomic.Int32
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			switch w := send(h, "GET", "DPoP "+token, proof); {
			case w.Code == 200:
				passed.Add(1)
			case w.Code == 401 && strings.Contains(w.Header().Get("WWW-Authenticate"), `error="invalid_dpop_proof", error_description="DPoP proof is not valid: used before"`):
				replays.Add(1)
			default:
				t.Errorf("got %d %v", w.Code, w.Header())
			}
		})
	}
	all.Wait()
	if passed.Load() != 1 || replays.Load() != 49 {
		t.Errorf("%d passed and %d were replays, want 1 and 49", passed.Load(), replays.Load())
	}
}

// DPO-018: remembered until it is too old in any case.
func TestReplayIsKnownToTheEndOfTheWindow(t *testing.T) {
	i, key := verifytest.NewIssuer(t), verifytest.NewKey(t)
	start := time.Now().Truncate(time.Second)
	var now atomic.Pointer[time.Time]
	now.Store(&start)
	h := offline(t, i, outside, func(c *verify.Config) { c.Now = func() time.Time { return *now.Load() } }).Middleware(whoCalls)
	token := i.Token("m1", "m2", verifytest.BoundToKey(key))
	proof := key.Proof("GET", external+"/hello", token, "", start.Add(9*time.Second))
	if w := send(h, "GET", "DPoP "+token, proof); w.Code != 200 {
		t.Fatalf("got %d %s", w.Code, w.Body)
	}
	for after := time.Second; after < 80*time.Second; after += time.Second {
		later := start.Add(after)
		now.Store(&later)
		if w := send(h, "GET", "DPoP "+token, proof); w.Code != 401 {
			t.Fatalf("%v later: got %d", after, w.Code)
		}
	}
}

// RFC 9449, section 9; DPO-026: replicas that share the key share the nonces.
func TestNonceIsAskedForAndTaken(t *testing.T) {
	i, key := verifytest.NewIssuer(t), verifytest.NewKey(t)
	nonces := func(c *verify.Config) { c.NonceKey = bytes.Repeat([]byte{7}, 32) }
	a, b := offline(t, i, outside, nonces).Middleware(whoCalls), offline(t, i, outside, nonces).Middleware(whoCalls)
	token := i.Token("m1", "m2", verifytest.BoundToKey(key))
	url := external + "/hello"
	w := send(a, "GET", "DPoP "+token, key.Proof("GET", url, token, "", time.Now()))
	expect401(t, "no nonce", w, "use_dpop_nonce")
	given := w.Header()["Dpop-Nonce"]
	if len(given) != 1 || given[0] == "" {
		t.Fatalf("got nonces %q, want one", given)
	}
	expect401(t, "made-up nonce", send(a, "GET", "DPoP "+token, key.Proof("GET", url, token, "made-up", time.Now())), "use_dpop_nonce")
	for name, h := range map[string]http.Handler{"the replica it is from": a, "the other": b} {
		if w := send(h, "GET", "DPoP "+token, key.Proof("GET", url, token, given[0], time.Now())); w.Code != 200 {
			t.Errorf("%s: got %d %s", name, w.Code, w.Body)
		}
	}
	if w := send(offline(t, i, outside).Middleware(whoCalls), "GET", "DPoP "+token, key.Proof("GET", url, token, "made-up", time.Now())); w.Code != 200 {
		t.Errorf("where none is asked for: got %d", w.Code)
	}
}

// DPO-011: the URL is the configured one or the connection's, never what a header says.
func TestURLOfTheRequest(t *testing.T) {
	i, key := verifytest.NewIssuer(t), verifytest.NewKey(t)
	token := i.Token("m1", "m2", verifytest.BoundToKey(key))
	for _, c := range []struct {
		name, external, htu string
		want                int
	}{
		{"the request's own", "", "http://direct.example/a/hello", 200},
		{"what X-Forwarded-Host says", "", "https://attacker.example/a/hello", 401},
		{"configured", "https://m2.example", "https://m2.example/a/hello", 200},
		{"configured, with a slash", "https://M2.example:443/", "https://m2.example/a/hello", 200},
		{"a prefix the proxy takes off", "https://api.example/m2", "https://api.example/m2/a/hello", 200},
		{"the request's own when another is configured", "https://m2.example", "http://direct.example/a/hello", 401},
		{"X-Forwarded-Host when another is configured", "https://m2.example", "https://attacker.example/a/hello", 401},
	} {
		v := offline(t, i, func(cfg *verify.Config) { cfg.ExternalURL = c.external })
		h := http.StripPrefix("/a", v.Middleware(whoCalls)) // the path as sent counts, not what is left of it
		r := httptest.NewRequest("GET", "http://direct.example/a/hello?q", nil)
		r.RequestURI = "/a/hello?q"
		r.Header.Set("X-Forwarded-Host", "attacker.example")
		r.Header.Set("X-Forwarded-Proto", "https")
		r.Header.Set("Forwarded", "host=attacker.example;proto=https")
		r.Header.Set("DPoP", key.Proof("GET", c.htu, token, "", time.Now()))
		if w := serve(h, r, "DPoP "+token); w.Code != c.want {
			t.Errorf("%s: got %d %s, want %d", c.name, w.Code, w.Body, c.want)
		}
	}
}

func TestBoundTokensCanBeRequired(t *testing.T) {
	i, key := verifytest.NewIssuer(t), verifytest.NewKey(t)
	v := offline(t, i, outside, func(c *verify.Config) { c.RequireBound = true })
	refused(t, v, "a bearer token", i.Token("m1", "m2"), verify.ErrNotBound)
	token := i.Token("m1", "m2", verifytest.BoundToKey(key))
	if w := send(v.Middleware(whoCalls), "GET", "DPoP "+token, key.Proof("GET", external+"/hello", token, "", time.Now())); w.Code != 200 {
		t.Errorf("a bound one: got %d", w.Code)
	}
}

func TestScopeIsRefusedUnderTheSchemeOfTheToken(t *testing.T) {
	i, key := verifytest.NewIssuer(t), verifytest.NewKey(t)
	h := offline(t, i, outside).Middleware(verify.RequireScope("write")(whoCalls))
	token := i.Token("m1", "m2", verifytest.BoundToKey(key), verifytest.Scopes("read"))
	w := send(h, "GET", "DPoP "+token, key.Proof("GET", external+"/hello", token, "", time.Now()))
	if got := w.Header().Get("WWW-Authenticate"); w.Code != 403 || !strings.HasPrefix(got, dpopChallenge+`insufficient_scope"`) || !strings.Contains(got, `scope="write"`) {
		t.Errorf("got %d %q", w.Code, got)
	}
}

// RFC 8705, section 3: over real TLS, with the certificate of the handshake.
func TestCertificateBoundToken(t *testing.T) {
	i := verifytest.NewIssuer(t)
	server := httptest.NewUnstartedServer(offline(t, i).Middleware(whoCalls))
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	server.StartTLS()
	defer server.Close()
	mine, theirs := newCertificate(t), newCertificate(t)
	leaf, err := x509.ParseCertificate(mine.Certificate[0])
	must(t, err)
	token := i.Token("m1", "m2", verifytest.BoundToCertificate(leaf))
	for name, c := range map[string]struct {
		with []tls.Certificate
		want int
	}{"its certificate": {[]tls.Certificate{mine}, 200}, "another": {[]tls.Certificate{theirs}, 401}, "none": {nil, 401}} {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{Certificates: c.with, RootCAs: server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}}}
		r, err := http.NewRequestWithContext(t.Context(), "GET", server.URL, nil)
		must(t, err)
		r.Header.Set("Authorization", "Bearer "+token)
		// MTL-006: what a header says of a certificate counts for nothing.
		r.Header.Set("Client-Cert", "::")
		r.Header.Set("X-SSL-Client-Cert", "x")
		resp, err := client.Do(r)
		must(t, err)
		resp.Body.Close()
		client.CloseIdleConnections()
		if challenge := resp.Header.Get("WWW-Authenticate"); resp.StatusCode != c.want || c.want == 401 && !strings.HasPrefix(challenge, `Bearer realm="watchword", error="invalid_token"`) {
			t.Errorf("%s: got %d %s, want %d", name, resp.StatusCode, challenge, c.want)
		}
	}
}

// A token bound in both ways takes both proofs.
func TestBothBindingsCount(t *testing.T) {
	i, key := verifytest.NewIssuer(t), verifytest.NewKey(t)
	v := offline(t, i)
	leaf, err := x509.ParseCertificate(newCertificate(t).Certificate[0])
	must(t, err)
	plain, err := v.VerifyWith(t.Context(), i.Token("m1", "m2", verifytest.BoundToCertificate(leaf)), verify.Proof{Certificate: leaf})
	if err != nil || plain.Binding.CertificateSHA256 == "" {
		t.Fatalf("got %+v, %v", plain, err)
	}
	token := i.Token("m1", "m2", verifytest.Claim("cnf", map[string]string{"jkt": key.Thumbprint(), "x5t#S256": plain.Binding.CertificateSHA256}))
	with := func(cert *x509.Certificate) verify.Proof {
		return verify.Proof{DPoP: []string{key.Proof("GET", external, token, "", time.Now())}, Method: "GET", URL: external, Certificate: cert}
	}
	if _, err := v.VerifyWith(t.Context(), token, with(leaf)); err != nil {
		t.Errorf("both: %v", err)
	}
	if _, err := v.VerifyWith(t.Context(), token, with(nil)); !errors.Is(err, verify.ErrCertificate) {
		t.Errorf("DPoP alone: %v", err)
	}
	if _, err := v.VerifyWith(t.Context(), token, verify.Proof{Certificate: leaf}); !errors.Is(err, verify.ErrBound) {
		t.Errorf("the certificate alone: %v", err)
	}
}

type brokenReplays struct{}

func (brokenReplays) Add(context.Context, string, time.Time) (bool, error) {
	return false, errors.New("down")
}

// What cannot be remembered is not accepted, and is not the token's fault.
func TestReplaysThatCannotBeRememberedAre503(t *testing.T) {
	i, key := verifytest.NewIssuer(t), verifytest.NewKey(t)
	h := offline(t, i, outside, func(c *verify.Config) { c.Replays = brokenReplays{} }).Middleware(whoCalls)
	token := i.Token("m1", "m2", verifytest.BoundToKey(key))
	w := send(h, "GET", "DPoP "+token, key.Proof("GET", external+"/hello", token, "", time.Now()))
	if w.Code != 503 || w.Header().Get("Retry-After") == "" || w.Header().Get("WWW-Authenticate") != "" {
		t.Errorf("got %d %v", w.Code, w.Header())
	}
}

// F46. A verifier that compares proofs with the Host header says so, once; one with ExternalURL does not.
func TestVerifierThatBelievesTheHostHeaderWarns(t *testing.T) {
	i := verifytest.NewIssuer(t)
	for name, c := range map[string]struct {
		url          string
		bound        bool
		start, proof int // warnings, at the start and after a proof
	}{
		"without": {"", false, 0, 1}, "without, and bound": {"", true, 1, 1}, "with": {"https://m2.example", true, 0, 0},
	} {
		var log bytes.Buffer
		v := offline(t, i, func(cfg *verify.Config) {
			cfg.ExternalURL, cfg.RequireBound, cfg.Logger = c.url, c.bound, slog.New(slog.NewTextHandler(&log, nil))
		})
		count := func() int { return strings.Count(log.String(), "Config.ExternalURL is empty") }
		if got := count(); got != c.start {
			t.Errorf("%s: %d warnings at the start, want %d", name, got, c.start)
		}
		for range 2 {
			r := httptest.NewRequest("GET", "https://m2.example/hello", nil)
			r.Header.Set("Authorization", "DPoP "+i.Token("m1", "m2"))
			_, _ = v.VerifyRequest(r)
		}
		if got := count(); got != c.proof {
			t.Errorf("%s: %d warnings after proofs, want %d", name, got, c.proof)
		}
	}
}
