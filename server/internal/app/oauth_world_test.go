package app

import (
	"context"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/config"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/keys"
	"github.com/watchword-dev/watchword/server/internal/policy"
	"github.com/watchword-dev/watchword/server/internal/store/pgtest"
)

// world is a server with the services that the cases of OAuth assume: m1 to m3 with a secret, m4
// disabled, m5 and m9 with a key, m6 with a certificate, m7 bound to a DPoP key, m8 allowed to
// exchange; m1 -> m2 -> m3 and from all others to m2.
type world struct {
	*server
	keys   map[string]*ecdsa.PrivateKey
	cert   []byte // m6's, self-signed
	others []*server
}

const (
	issuerURL     = "https://as.test"
	tokenURL      = issuerURL + "/oauth2/token"
	exchangeGrant = "urn:ietf:params:oauth:grant-type:token-exchange"
	bearerGrant   = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	accessToken   = "urn:ietf:params:oauth:token-type:access_token"
)

// proxyAddress is that of the one proxy whose certificate header is believed.
const proxyAddress = "127.0.0.9"

func oauthConfig(t testing.TB) config.Config {
	cfg := testConfig(t)
	cfg.Issuer = issuerURL
	cfg.Proxy.Networks = []netip.Prefix{netip.MustParsePrefix(proxyAddress + "/32")}
	cfg.Proxy.CertificateHeader = "Client-Cert"
	return cfg
}

// onBothStores runs the tests on SQLite, and on PostgreSQL with two replicas, each test from an
// address of its own, since failures are counted by address.
func onBothStores(t *testing.T, tests map[string]func(*testing.T, *world)) {
	run := func(t *testing.T, w *world) {
		for name, test := range tests {
			t.Run(name, func(t *testing.T) { test(t, w.from(t, nextAddress())) })
		}
	}
	t.Run("SQLite", func(t *testing.T) { run(t, populated(start(t, oauthConfig(t)))) })
	t.Run("PostgreSQL", func(t *testing.T) {
		url := pgtest.Start(t)
		cfg := oauthConfig(t)
		cfg.Database = config.NewSecret(url)
		first := start(t, cfg)
		second := oauthConfig(t)
		second.Database, second.Keys.SealingKeyFile = cfg.Database, cfg.Keys.SealingKeyFile
		w := populated(first)
		w.others = []*server{start(t, second)}
		run(t, w)
	})
}

var addresses atomic.Uint32

func nextAddress() string {
	n := addresses.Add(1)
	return fmt.Sprintf("127.1.%d.%d", n/250, n%250+1)
}

// from is w as seen from an address of the loopback network.
func (w *world) from(t testing.TB, address string) *world {
	there := *w
	there.server = w.server.from(t, address)
	there.others = nil
	for _, o := range w.others {
		there.others = append(there.others, o.from(t, address))
	}
	return &there
}

func (s *server) from(t testing.TB, address string) *server {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	transport := &http.Transport{MaxIdleConnsPerHost: 64, DialContext: dialer.DialContext}
	t.Cleanup(transport.CloseIdleConnections)
	there := *s
	there.t, there.client = t, &http.Client{Transport: transport}
	return &there
}

// replica is the other server on the same database, or the same one where there is one only.
func (w *world) replica() *world {
	if len(w.others) == 0 {
		return w
	}
	there := *w
	there.server = w.others[0]
	return &there
}

func populated(s *server) *world {
	w := &world{server: s, keys: map[string]*ecdsa.PrivateKey{}}
	s.service("m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "m9")
	for _, name := range []string{"m1", "m2", "m3", "m4", "m7", "m8"} {
		w.addSecret(name, secretOf(name))
	}
	for _, name := range []string{"m5", "m9"} {
		w.keys[name] = newKey()
		w.addCredential(name, directory.KindKey, jwkOf(w.keys[name], name+"-key"))
	}
	w.keys["m6"] = newKey()
	w.cert = selfSigned(w.keys["m6"], "m6")
	w.addCredential("m6", directory.KindCertificate, thumbprint(w.cert))
	w.change("m2", func(svc *directory.Service) { svc.Audiences = []string{"https://m2.test/api"} })
	w.change("m4", func(svc *directory.Service) { svc.Disabled = true })
	w.change("m7", func(svc *directory.Service) { svc.Binding = api.BindingDPoP })
	w.rule("m1", "m2", directory.NewRule{Scopes: []string{"a", "b", "read", "write"}})
	w.rule("m2", "m3", directory.NewRule{Scopes: []string{"a", "read"}, Exchange: policy.Delegate})
	for _, caller := range []string{"m4", "m5", "m6", "m7", "m8", "m9"} {
		w.rule(caller, "m2", directory.NewRule{})
	}
	w.rule("m1", "m8", directory.NewRule{})
	w.rule("m8", "m3", directory.NewRule{Exchange: policy.Delegate})
	return w
}

var operator = directory.Author{Actor: "operator"}

func (w *world) change(name string, edit func(*directory.Service)) {
	w.t.Helper()
	if _, err := w.s.directory.UpdateService(w.t.Context(), operator, name, directory.AnyVersion, edit); err != nil {
		w.t.Fatal(err)
	}
}

// changed is change for the length of one test.
func (w *world) changed(t *testing.T, name string, edit func(*directory.Service)) {
	t.Helper()
	svc, ok := w.s.directory.Snapshot().Service(name)
	if !ok {
		t.Fatal("no service " + name)
	}
	before := *svc
	w.change(name, edit)
	t.Cleanup(func() {
		// The test's own context has ended by now.
		if _, err := w.s.directory.UpdateService(context.Background(), operator, name, directory.AnyVersion, func(svc *directory.Service) { *svc = before }); err != nil {
			t.Error(err)
		}
	})
}

func (w *world) rule(caller, target string, r directory.NewRule) {
	w.t.Helper()
	if _, _, err := w.s.directory.Allow(w.t.Context(), operator, caller, target, r, directory.AnyVersion); err != nil {
		w.t.Fatal(err)
	}
}

// fresh makes a service of the test's own with a secret, which may call m2.
func (w *world) fresh(prefix string) string {
	w.t.Helper()
	name := prefix + "-" + strings.ToLower(rand.Text()[:8])
	w.service(name)
	w.addSecret(name, secretOf(name))
	w.rule(name, "m2", directory.NewRule{})
	return name
}

func secretOf(name string) string { return "wws_secret-of_" + name + ".0123456789" }

func (w *world) addSecret(name, secret string) (id string) {
	w.t.Helper()
	mac := hmac.New(sha256.New, w.s.shared.Derive(keys.ClientSecretPepper))
	mac.Write([]byte(secret))
	return w.addCredential(name, directory.KindSecret, hex.EncodeToString(mac.Sum(nil)))
}

func (w *world) addCredential(name string, kind directory.Kind, material string) (id string) {
	w.t.Helper()
	svc, ok := w.s.directory.Snapshot().Service(name)
	if !ok {
		w.t.Fatal("no service " + name)
	}
	now := time.Now().UTC().Truncate(time.Second)
	c := directory.Credential{
		ID: directory.RandomID(), Service: svc.UID, Kind: kind, Material: material,
		CreatedAt: now, ExpiresAt: now.Add(directory.DefaultCredentialTTL), Version: 1,
	}
	change := directory.Change{At: now, Actor: "operator", Action: "credential.create", Subject: directory.SubjectCredential(c.ID)}
	if _, err := w.s.db.InsertCredential(w.t.Context(), c, change); err != nil {
		w.t.Fatal(err)
	}
	if err := w.s.directory.CatchUp(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	return c.ID
}

// option changes a request.
type option func(*http.Request)

func basic(name string) option {
	return func(r *http.Request) { r.SetBasicAuth(name, secretOf(name)) }
}

func header(name, value string) option { return func(r *http.Request) { r.Header.Add(name, value) } }

// form encodes names and values in turn.
func form(pairs ...string) string {
	var b strings.Builder
	for i := 0; i+1 < len(pairs); i += 2 {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(url.QueryEscape(pairs[i]) + "=" + url.QueryEscape(pairs[i+1]))
	}
	return b.String()
}

func credentialsFor(target string, more ...string) string {
	return form(append([]string{"grant_type", "client_credentials", "audience", target}, more...)...)
}

func (s *server) post(path, body string, options ...option) answer {
	s.t.Helper()
	r := s.request("POST", s.url+path, body)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, o := range options {
		o(r)
	}
	return s.do(r)
}

func (s *server) tokenRequest(body string, options ...option) answer {
	s.t.Helper()
	return s.post("/oauth2/token", body, options...)
}

// get is a token that must be given to a service with a secret.
func (s *server) get(name, target string, more ...string) string {
	s.t.Helper()
	return given(s.t, s.tokenRequest(credentialsFor(target, more...), basic(name)))
}

// exchange asks with a token for one for target, as a service with a secret.
func (s *server) exchange(name, subject, target string, more ...string) answer {
	s.t.Helper()
	return s.tokenRequest(form(append([]string{
		"grant_type", exchangeGrant, "subject_token", subject, "subject_token_type", accessToken, "audience", target,
	}, more...)...), basic(name))
}

func given(t testing.TB, a answer) string {
	t.Helper()
	if a.status != http.StatusOK {
		t.Fatalf("got %d %s, want a token", a.status, a.body)
	}
	token, _ := a.json(t)["access_token"].(string)
	return token
}

// refused checks an error answer in full: TOK-028, TOK-029.
func refused(t testing.TB, what string, a answer, status int, code string) {
	t.Helper()
	if a.status != status {
		t.Errorf("%s: got %d %s, want %d %s", what, a.status, a.body, status, code)
		return
	}
	m := a.json(t)
	if m["error"] != code {
		t.Errorf("%s: got %s, want %s", what, a.body, code)
	}
	if a.header.Get("Content-Type") != "application/json" || a.header.Get("Cache-Control") != "no-store" || m["access_token"] != nil {
		t.Errorf("%s: got %v %s", what, a.header, a.body)
	}
	for _, name := range []string{"error", "error_description"} {
		text, _ := m[name].(string)
		if strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c > '~' || c == '"' || c == '\\' }) {
			t.Errorf("%s: %s has characters RFC 6749 does not: %q", what, name, text)
		}
		for _, inside := range []string{"sql", "SQL", ".go", "panic", "*", "/internal/"} {
			if strings.Contains(text, inside) {
				t.Errorf("%s: %s tells of the inside: %q", what, name, text)
			}
		}
	}
}
