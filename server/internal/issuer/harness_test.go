package issuer_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"math/big"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/dpop"
	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/audit"
	"github.com/watchword-dev/watchword/server/internal/clientauth"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/issuer"
	"github.com/watchword-dev/watchword/server/internal/keys"
	"github.com/watchword-dev/watchword/server/internal/once"
	"github.com/watchword-dev/watchword/server/internal/revocation"
	"github.com/watchword-dev/watchword/server/internal/store"
	"github.com/watchword-dev/watchword/server/internal/usage"
)

const (
	issuerURL   = "https://as.test"
	plainIssuer = "auth-server"
	tokenURL    = issuerURL + "/oauth2/token"
)

var (
	operator = directory.Author{Actor: "operator"}
	home     = netip.MustParseAddr("192.0.2.1")
)

// world is an issuer over the real parts of a server: a directory and a key ring in SQLite, client authentication, the
// register of what was used once, and an audit log. Its clock is the test's.
type world struct {
	testing.TB
	issuer    *issuer.Issuer
	o         issuer.Options
	db        *store.DB
	directory *directory.Directory
	ring      *keys.Ring
	auth      *clientauth.Authenticator
	register  *once.Register
	log       *audit.Log

	mu     sync.Mutex
	now    time.Time
	counts []usage.Use

	proofs map[string]*credentials // of each service
}

// credentials are what a service of a world can prove itself with.
type credentials struct {
	bootstrap, secret string
	key               *jose.Signer
	certificate       *x509.Certificate
}

func newWorld(t testing.TB, edit ...func(*issuer.Options)) *world {
	t.Helper()
	w := &world{TB: t, now: time.Now().UTC().Truncate(time.Second), proofs: map[string]*credentials{}}
	data := t.TempDir()
	var err error
	w.db, err = store.Open(t.Context(), store.Options{DataDir: data})
	w.must(err)
	t.Cleanup(func() { _ = w.db.Close() })
	sealer, err := keys.NewSealer(filepath.Join(data, "sealing.key"), true)
	w.must(err)
	w.ring = keys.NewRing(w.db, sealer, keys.Options{})
	w.must(w.ring.Load(t.Context()))
	w.directory = directory.New(w.db, w.db, directory.Options{
		Keys: w.ring.Additions, OnKeys: w.ring.Reload, Now: w.clock, Reserved: []string{issuer.ProbeName},
	})
	w.must(w.directory.Load(t.Context()))
	pepper := []byte("a pepper of thirty-two bytes 123")
	w.auth = clientauth.New(clientauth.Options{
		PlainIssuer: plainIssuer, Issuer: issuerURL, TokenEndpoint: tokenURL, Pepper: pepper, Certificates: true,
		JWKSNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Credentials:  func() *jose.KeySet { return w.ring.Verifiers(keys.UseCredential) },
		Access:       func() *jose.KeySet { return w.ring.Verifiers(keys.UseAccess) },
	})
	w.register = once.New(clocked{w.db, w.clock}, once.Options{})
	w.background(w.register.Run)
	w.log, err = audit.Open(filepath.Join(t.TempDir(), "audit"), audit.Options{Logger: slog.New(slog.DiscardHandler)})
	w.must(err)
	w.background(w.log.Run)
	places := revocation.New(w.directory, w.ring, revocation.Options{Issuer: issuerURL, StatusKey: []byte("a key of 16 bytes")})
	w.o = issuer.Options{
		PlainIssuer: plainIssuer, Issuer: issuerURL, Pepper: pepper, Now: w.clock, Status: places.Place,
		Count: func(u usage.Use, _ []string, _ time.Time) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.counts = append(w.counts, u)
		},
	}
	for _, e := range edit {
		e(&w.o)
	}
	w.issuer = issuer.New(w.directory, w.ring, w.auth, w.register, w.log, w.o)
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// background runs until the test ends.
func (w *world) background(run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = run(ctx)
	}()
	w.Cleanup(func() {
		cancel()
		<-done
	})
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// service makes services that can prove themselves in every way that needs no network.
func (w *world) service(names ...string) {
	w.Helper()
	for _, name := range names {
		_, err := w.directory.CreateService(w.Context(), operator, directory.NewService{Name: name})
		w.must(err)
		c := &credentials{key: newKey(w)}
		w.proofs[name] = c
		_, c.bootstrap, err = w.issuer.Credential(w.Context(), operator, name, directory.NewCredential{})
		w.must(err)
		_, c.secret, err = w.issuer.Credential(w.Context(), operator, name, directory.NewCredential{Kind: directory.KindSecret})
		w.must(err)
		jwk, err := c.key.Public().JWK()
		w.must(err)
		_, _, err = w.issuer.Credential(w.Context(), operator, name, directory.NewCredential{Kind: directory.KindKey, Material: string(jwk)})
		w.must(err)
		c.certificate = selfSigned(w, name)
		_, _, err = w.issuer.Credential(w.Context(), operator, name, directory.NewCredential{
			Kind: directory.KindCertificate, Material: clientauth.CertificateThumbprint(c.certificate),
		})
		w.must(err)
	}
}

func (w *world) edit(name string, edit func(*directory.Service)) {
	w.Helper()
	_, err := w.directory.UpdateService(w.Context(), operator, name, directory.AnyVersion, edit)
	w.must(err)
}

func (w *world) allow(caller, target string, r directory.NewRule) {
	w.Helper()
	_, _, err := w.directory.Allow(w.Context(), operator, caller, target, r, directory.AnyVersion)
	w.must(err)
}

func newKey(t testing.TB) *jose.Signer {
	t.Helper()
	key, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	id, err := jose.Thumbprint(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	s, err := jose.NewSigner(id, jose.ES256, key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func selfSigned(t testing.TB, name string) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(10000 * time.Hour), DNSNames: []string{name}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// change is what a test wants otherwise of a proposal.
type change func(*issuer.Proposal)

// by makes a proposal of a service that proves itself by a method.
func (w *world) by(method, name string, changes ...change) *issuer.Proposal {
	w.Helper()
	c := w.proofs[name]
	p := &issuer.Proposal{Request: issuer.Request{Endpoint: issuer.TokenEndpoint, Address: home}, Grant: api.GrantClientCredentials}
	p.Presented.Address = home
	switch method {
	case api.Bootstrap:
		p.Presented.Bearer = c.bootstrap
	case api.ClientSecretBasic:
		p.Presented.Basic = &clientauth.Secret{ClientID: name, Secret: c.secret}
	case api.ClientSecretPost:
		p.Presented.ClientID, p.Presented.Post = name, c.secret
	case api.PrivateKeyJWT:
		p.Presented.Assertion = w.assertion(name, nil)
	case api.SelfSignedTLSClientAuth:
		p.Presented.ClientID, p.Presented.Certificates = name, []*x509.Certificate{c.certificate}
	default:
		w.Fatalf("no service here proves itself by %s", method)
	}
	for _, change := range changes {
		change(p)
	}
	return p
}

// propose makes a proposal of a service that sends its secret.
func (w *world) propose(name, target string, changes ...change) *issuer.Proposal {
	w.Helper()
	return w.by(api.ClientSecretBasic, name, append([]change{to(target)}, changes...)...)
}

func to(targets ...string) change { return func(p *issuer.Proposal) { p.Targets = targets } }

// scopes must be sorted.
func scopes(all ...string) change { return func(p *issuer.Proposal) { p.Scopes = all } }

func exchanging(subject string) change {
	return func(p *issuer.Proposal) { p.Grant, p.Exchange.Subject = api.GrantTokenExchange, subject }
}

func impersonating(p *issuer.Proposal) { p.Exchange.Impersonate = true }

// plain makes it a proposal of the endpoint that knows no grants.
func plain(p *issuer.Proposal) { p.Endpoint, p.Grant = issuer.AccessTokenEndpoint, "" }

// withProof adds the proof of a key.
func (w *world) withProof(key *jose.Signer) change {
	proof, err := dpop.NewProof(key, "POST", tokenURL, "", "", w.clock())
	w.must(err)
	return func(p *issuer.Proposal) {
		p.Proof = issuer.Proof{Headers: append(p.Proof.Headers, proof), Method: "POST", URL: tokenURL}
	}
}

// assertion of a service, changed by more; nil takes a claim out.
func (w *world) assertion(name string, more map[string]any) string {
	w.Helper()
	c := map[string]any{
		"iss": name, "sub": name, "aud": issuerURL, "iat": w.clock().Unix(), "exp": w.clock().Add(time.Minute).Unix(), "jti": rand.Text(),
	}
	maps.Copy(c, more)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	payload, err := json.Marshal(c)
	w.must(err)
	token, err := w.proofs[name].key.Sign("", payload)
	w.must(err)
	return token
}

// token asks for what has to be granted.
func (w *world) token(p *issuer.Proposal) string {
	w.Helper()
	t, _, err := w.issuer.AccessToken(w.Context(), p)
	if err != nil {
		w.Fatalf("%+v is refused: %v", p.Request, err)
	}
	return t.Value
}

// refused asks for what has to be refused for that reason, of which the caller learns no more than kind, and which is
// recorded.
func (w *world) refused(what string, p *issuer.Proposal, kind issuer.RefusalKind, reason string) *audit.Record {
	w.Helper()
	t, id, err := w.issuer.AccessToken(w.Context(), p)
	var refusal *issuer.Refusal
	switch {
	case !errors.As(err, &refusal):
		w.Errorf("%s: got %v, want it refused: %s", what, err, reason)
	case t.Value != "":
		w.Errorf("%s: refused, with a token", what)
	case kind == issuer.Denied && reason != "no_target" && refusal.Text != "":
		w.Errorf("%s: the caller is told %q", what, refusal.Text)
	case refusal.Kind != kind || refusal.Reason != reason:
		w.Errorf("%s: refused with %d, %s; want %d, %s", what, refusal.Kind, refusal.Reason, kind, reason)
	}
	r := w.record(id)
	if err != nil && (r.Outcome != audit.Refused || r.Reason != reason) {
		w.Errorf("%s: recorded as %s, %s", what, r.Outcome, r.Reason)
	}
	return r
}

// record is what the audit log has on disk about a decision.
func (w *world) record(id string) *audit.Record {
	w.Helper()
	r, err := w.log.Find(w.Context(), id, 1<<30)
	w.must(err)
	if r == nil {
		w.Fatalf("no record of %s", id)
	}
	return r
}

// claims of an access token, whose signature must be good.
func (w *world) claims(token string) map[string]any {
	w.Helper()
	t, err := jose.Parse(token)
	w.must(err)
	w.must(t.Verify(w.ring.Verifiers(keys.UseAccess), []jose.Algorithm{jose.ES256, jose.RS256, jose.PS256, jose.EdDSA}))
	if t.Type != issuer.AccessTokenType {
		w.Errorf("got the type %s", t.Type)
	}
	c := map[string]any{}
	w.must(json.Unmarshal(t.Payload, &c))
	return c
}

// introspected reports whether a service that asks is told of the token.
func (w *world) introspected(by, token string) bool {
	w.Helper()
	id, _, err := w.issuer.Authenticate(w.Context(), issuer.Request{Endpoint: issuer.IntrospectEndpoint, Address: home}, clientauth.Presented{
		Basic: &clientauth.Secret{ClientID: by, Secret: w.proofs[by].secret}, Address: home,
	})
	w.must(err)
	return w.issuer.Introspect(id, token) != nil
}

// actors of a token, the current one first.
func actors(c map[string]any) (all []string) {
	for act, ok := c["act"].(map[string]any); ok; act, ok = act["act"].(map[string]any) {
		all = append(all, act["sub"].(string))
	}
	return all
}

func deps(c map[string]any) (all []string) {
	for _, d := range c["deps"].([]any) {
		all = append(all, d.(string))
	}
	return all
}

func (w *world) uid(name string) string {
	w.Helper()
	svc, ok := w.directory.Snapshot().Service(name)
	if !ok {
		w.Fatalf("no service %s", name)
	}
	return directory.FormatUID(svc.UID)
}

func (w *world) counted() []usage.Use {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.counts)
}

func words(s string) []string { return strings.Fields(s) }

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// clocked is a store with the clock of the test.
type clocked struct {
	once.Store
	now func() time.Time
}

func (c clocked) Now(context.Context) (time.Time, error) { return c.now(), nil }
