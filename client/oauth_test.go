package client_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/client"
	"github.com/watchword-dev/watchword/client/clienttest"
)

func newServer(t *testing.T) *clienttest.Server {
	t.Helper()
	s := clienttest.NewServer()
	t.Cleanup(s.Close)
	return s
}

func newClient(t *testing.T, server string, edit func(*client.Config)) *client.Client {
	t.Helper()
	cfg := client.Config{Server: server, Logger: slog.New(slog.DiscardHandler)}
	edit(&cfg)
	c, err := client.New(cfg)
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// platform vouches for a service to s.
type platform struct {
	s       *clienttest.Server
	service string
}

func (p platform) Token(_ context.Context, audience string) (string, error) {
	return p.s.PlatformToken(p.service, audience), nil
}

// Every method that needs no certificate, with and without DPoP, against a server that checks it;
// those with a certificate are in the conformance tests.
func TestEveryMethodGetsTokens(t *testing.T) {
	s := newServer(t)
	s.Allow("m1", "m2", "read")
	s.Allow("m1", "https://m2.example/api")
	id := client.Identity{
		ClientID: "m1", Secret: client.Static(s.Secret("m1")),
		Key: client.Key(s.Key("m1"), ""), Credential: client.Static(s.Credential("m1")), Platform: platform{s, "m1"},
	}
	for _, m := range client.Methods() {
		if slices.Contains(m.Needs, "Certificate") {
			continue
		}
		for _, d := range []*client.DPoP{nil, {}} {
			c := newClient(t, s.URL, func(cfg *client.Config) { cfg.Auth, cfg.DPoP = m.New(id), d })
			for _, source := range []*client.TokenSource{c.TokenSource("m2", "read"), c.TokenSource("https://m2.example/api")} {
				token, err := source.Token(t.Context())
				if err != nil {
					t.Errorf("%s: %v", m.Name, err)
				} else if (token.Type() == "DPoP") != (d != nil) {
					t.Errorf("%s: a token of type %s", m.Name, token.Type())
				}
			}
			var denied *client.DeniedError
			if _, err := c.TokenSource("m3").Token(t.Context()); !errors.As(err, &denied) || denied.Code != "invalid_target" || denied.Caller != "m1" {
				t.Errorf("%s: got %v, want a refusal", m.Name, err)
			}
		}
	}
	c := newClient(t, s.URL, func(cfg *client.Config) { cfg.Auth = client.ClientSecretBasic("m1", client.Static("wws_wrong")) })
	if _, err := c.TokenSource("m2").Token(t.Context()); err == nil || !strings.Contains(err.Error(), "(status 401, invalid_client); an operator sees why with: watchword why ") {
		t.Errorf("a wrong secret: got %v", err)
	}
	if _, err := c.TokenSource("https://m2.example/#x").Token(t.Context()); err == nil || !strings.Contains(err.Error(), "fragment") {
		t.Errorf("a resource with a fragment: got %v", err)
	}
}

// A platform token does at POST /accesstoken, and for the exchange of tokens, what a bootstrap credential does.
func TestPlatformTokenIsAcceptedAtBothEndpoints(t *testing.T) {
	s := newServer(t)
	s.Allow("m1", "m2")
	s.Allow("m2", "m3")
	s.AllowExchange("m2", "m3")
	for name, source := range map[string]client.PlatformTokenSource{
		"of the issuer": platform{s, "m2"}, "of a named audience": client.ForAudience(s.URL, platform{s, "m2"}),
	} {
		c := newClient(t, s.URL, func(cfg *client.Config) { cfg.Platform = source })
		token, err := c.TokenSource("m3").Token(t.Context())
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if claims := claimsOf(t, token); claims["iss"] != clienttest.Issuer || claims["sub"] != "m2" {
			t.Errorf("%s: claims %v, want those of POST /accesstoken", name, claims)
		}
		if _, err := c.Exchange(t.Context(), s.Token("m1", "m2"), "m3"); err != nil {
			t.Errorf("%s: exchange: %v", name, err)
		}
	}
	c := newClient(t, s.URL, func(cfg *client.Config) {
		cfg.Platform = client.ForAudience("https://other.example", platform{s, "m2"})
	})
	var denied *client.DeniedError
	if _, err := c.TokenSource("m3").Token(t.Context()); !errors.As(err, &denied) || denied.Code != "invalid_token" {
		t.Errorf("another audience: got %v, want a refusal", err)
	}
}

// The file is read for each request to the server. When it is gone, nothing takes its place.
func TestTokenFileOfTheEnvironmentIsReadAnewAndHasNoSubstitute(t *testing.T) {
	s := newServer(t)
	s.Allow("m1", "m2")
	s.Allow("m3", "m4")
	file := filepath.Join(t.TempDir(), "token")
	write := func(text string) {
		t.Helper()
		must(t, os.WriteFile(file, []byte(text), 0o600))
	}
	bootstrap := filepath.Join(t.TempDir(), "m1.jwt")
	must(t, os.WriteFile(bootstrap, []byte(s.Credential("m1")), 0o600))
	t.Setenv("WATCHWORD_CREDENTIAL_FILE", bootstrap)
	t.Setenv("WATCHWORD_URL", s.URL)
	t.Setenv("WATCHWORD_TOKEN_FILE", file)
	write(s.PlatformToken("m1", s.URL))
	c, err := client.FromEnvironment(t.Context(), func(cfg *client.Config) { cfg.Logger = slog.New(slog.DiscardHandler) })
	must(t, err)
	defer c.Close()
	if _, err := c.TokenSource("m2").Token(t.Context()); err != nil {
		t.Error(err)
	}
	write(s.PlatformToken("m3", s.URL) + "\n")
	if token, err := c.TokenSource("m4").Token(t.Context()); err != nil || claimsOf(t, token)["sub"] != "m3" {
		t.Errorf("the file was replaced: got %v", err)
	}
	must(t, os.Remove(file))
	before := s.Requests()
	_, err = c.TokenSource("m5").Token(t.Context())
	if _, ok := errors.AsType[*client.UnavailableError](err); !ok || !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), file) || s.Requests() != before {
		t.Errorf("the file was removed: got %v after %d requests, want an error that names it and no request", err, s.Requests()-before)
	}
	if c, err := client.FromEnvironment(t.Context()); c != nil || !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), file) {
		t.Errorf("a process that starts: got %v, %v", c, err)
	}
}

// POST /accesstoken binds tokens too.
func TestAccessTokenEndpointBindsTokensByDPoP(t *testing.T) {
	s := newServer(t)
	s.Allow("m1", "m2")
	c := newClient(t, s.URL, func(cfg *client.Config) { cfg.Credential, cfg.DPoP = client.Static(s.Credential("m1")), &client.DPoP{} })
	if token, err := c.TokenSource("m2").Token(t.Context()); err != nil || token.Type() != "DPoP" {
		t.Errorf("got a token of type %s, %v", token.Type(), err)
	}
}

// A server that answers with a bearer token to a proof takes the binding away: no token then (RFC
// 9449, section 5).
func TestNoFallingBackToBearer(t *testing.T) {
	s := newSuite(t, suiteVariant{"private_key_jwt", "dpop", false, "Bearer"})
	_, err := s.client(t).TokenSource("https://rs.example/", "accounts").Token(t.Context())
	if _, ok := errors.AsType[*client.UnavailableError](err); !ok || !strings.Contains(err.Error(), "not bound to the DPoP key") {
		t.Errorf("got %v", err)
	}
}

// SCL-010 with DPoP: a rejected token is fetched again once, and each request has a proof of its
// own, with the newest nonce, also when sent again.
func TestEachDPoPRequestHasAFreshProofAndTheNewestNonce(t *testing.T) {
	s := newSuite(t, suiteVariant{"private_key_jwt", "dpop", true, "DPoP"})
	var rejected atomic.Bool
	var bodies []string
	rs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		bodies = append(bodies, string(b))
		s.mu.Lock()
		defer s.mu.Unlock()
		_, claims, err := proofOf(r)
		if err != nil {
			t.Error(err)
			return
		}
		s.checkOnce(claims)
		if claims["htu"] != "http://"+r.Host+"/x" {
			t.Errorf("htu %v of %s", claims["htu"], r.URL)
		}
		switch {
		case claims["nonce"] != s.currentNonce():
			w.Header().Set("DPoP-Nonce", s.currentNonce())
			w.Header().Set("WWW-Authenticate", `Bearer realm="x", DPoP error="use_dpop_nonce"`)
			w.WriteHeader(http.StatusUnauthorized)
		case !rejected.Swap(true):
			w.Header().Set("WWW-Authenticate", `DPoP error="invalid_token"`)
			w.WriteHeader(http.StatusUnauthorized)
		default:
			s.nonces++
			w.Header().Set("DPoP-Nonce", s.currentNonce()) // also with good answers
		}
	}))
	defer rs.Close()
	h := &http.Client{Transport: s.client(t).Transport("https://rs.example/", nil, "accounts")}
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	post := func(body io.Reader) int {
		resp, err := h.Post(rs.URL+"/x?q=1", "text/plain", body)
		must(t, err)
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	for range 2 {
		if status := post(strings.NewReader("body")); status != http.StatusOK {
			t.Errorf("answered %d", status)
		}
	}
	// First without the nonce, then with a token that was rejected; then with a new one, whose
	// request used the nonce up, and with one more. The second is sent once.
	if got := strings.Join(bodies, ","); got != "body,body,body,body,body" {
		t.Errorf("the resource saw %s", got)
	}
	// What cannot be sent again is not, and its nonce is kept for the next.
	s.mu.Lock()
	s.nonces++
	s.mu.Unlock()
	if status := post(io.MultiReader(strings.NewReader("stream"))); status != http.StatusUnauthorized {
		t.Errorf("a stream: answered %d", status)
	}
	if status := post(io.MultiReader(strings.NewReader("stream"))); status != http.StatusOK {
		t.Errorf("the next stream: answered %d", status)
	}
}

func proofOf(r *http.Request) (header, claims map[string]any, err error) {
	if len(r.Header["Dpop"]) != 1 {
		return nil, nil, fmt.Errorf("%d proofs", len(r.Header["Dpop"]))
	}
	key, _, err := keyOf(r.Header["Dpop"][0])
	if err != nil {
		return nil, nil, err
	}
	return openJWS(r.Header["Dpop"][0], key)
}

// A resource that is never content with the nonce is asked twice, not for ever.
func TestNonceIsTriedOnce(t *testing.T) {
	s := newServer(t)
	s.Allow("m1", "m2")
	var asked int
	rs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		w.Header().Set("DPoP-Nonce", fmt.Sprint(asked))
		w.Header().Set("WWW-Authenticate", `DPoP error="use_dpop_nonce"`)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer rs.Close()
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	c := newClient(t, s.URL, func(cfg *client.Config) {
		cfg.Auth, cfg.DPoP = client.ClientSecretPost("m1", client.Static(s.Secret("m1"))), &client.DPoP{}
	})
	resp, err := c.HTTPClient("m2").Get(rs.URL)
	must(t, err)
	_ = resp.Body.Close()
	if asked != 2 || resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("asked %d times, answered %d", asked, resp.StatusCode)
	}
}

// A certificate that is renewed is taken up with the next token, and goes to the resource with that
// token; the token before goes with the certificate before.
func TestRenewedCertificateAndTokenGoTogether(t *testing.T) {
	s := newSuite(t, suiteVariant{"mtls", "mtls", false, "Bearer"})
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	write := func(cert tls.Certificate) {
		t.Helper()
		key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
		must(t, err)
		for path, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: cert.Certificate[0]}, keyFile: {Type: "PRIVATE KEY", Bytes: key}} {
			must(t, os.WriteFile(path, pem.EncodeToMemory(block), 0o600))
		}
	}
	write(s.cert)
	c := s.client(t, func(cfg *client.Config) { cfg.Certificate = client.CertificateFiles(certFile, keyFile) })
	source := c.TokenSource("https://rs.example/", "accounts")
	h := &http.Client{Transport: source.Transport(s.transport())}
	get := func() {
		t.Helper()
		resp, err := h.Get(s.resource())
		must(t, err)
		_ = resp.Body.Close()
	}
	get()
	next := newCertificate(t, "m1", time.Hour)
	write(next)
	get() // the token is of the old certificate, and so is the connection: the suite checks
	s.mu.Lock()
	s.cert = next
	s.mu.Unlock()
	old, err := source.Token(t.Context())
	must(t, err)
	renewed, ok := source.Renewed(t.Context(), old)
	if !ok || string(renewed.Certificate().Certificate[0]) != string(next.Certificate[0]) || string(old.Certificate().Certificate[0]) == string(next.Certificate[0]) {
		t.Errorf("renewed: %v, and not with the new certificate", ok)
	}
	get()
	if s.done["token"] != 2 || s.done["accounts"] != 3 {
		t.Errorf("%v were good, want 2 tokens and 3 calls", s.done)
	}
}
