// Package verifytest provides an authorization server for tests of services that use package verify. It publishes
// keys over HTTP and signs any token, valid or not. It has no rules.
package verifytest

import (
	"crypto/rand"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/verify"
)

// Issuer signs tokens and serves its public keys until the test ends. It is safe for concurrent use.
type Issuer struct {
	// Name is the iss of its tokens.
	Name string
	// URL is the URL of its server, for verify.Config.Server.
	URL string
	// JWKSURL is the URL of its key set.
	JWKSURL string
	// DenyListURL is the URL of its signed deny-list, for verify.Revocations.URL.
	DenyListURL string

	t testing.TB

	mu           sync.Mutex
	published    []*jose.Signer
	active       *jose.Signer // signs
	cacheControl string
	down         bool
	fetches      int
	deny         denyList
}

// NewIssuer starts an issuer named "auth-server", with one ES256 key.
func NewIssuer(t testing.TB) *Issuer {
	t.Helper()
	i := &Issuer{Name: "auth-server", t: t}
	i.Rotate("ES256")
	server := httptest.NewServer(i)
	t.Cleanup(func() {
		i.endPolls() // otherwise the server would wait for them
		server.Close()
	})
	i.URL, i.JWKSURL, i.DenyListURL = server.URL, server.URL+"/.well-known/jwks.json", server.URL+denyListPath
	return i
}

// Config returns the configuration of a verifier for the service named audience.
func (i *Issuer) Config(audience string) verify.Config {
	return verify.Config{Issuer: i.Name, Audience: audience, JWKSURL: i.JWKSURL}
}

// Publish creates a key for an algorithm (ES256, RS256, PS256 or EdDSA) and publishes it in addition to the others.
// It does not sign yet.
func (i *Issuer) Publish(algorithm string) {
	i.t.Helper()
	signer, err := newSigner(algorithm)
	if err != nil {
		i.t.Fatalf("verifytest: make a key: %v", err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.published = append(i.published, signer)
}

// Activate makes the key that was published last sign from now on.
func (i *Issuer) Activate() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.active = i.published[len(i.published)-1]
}

// Rotate does both at once, which a real issuer never does: a verifier that has just fetched the keys does not
// learn of the new one for 30 seconds.
func (i *Issuer) Rotate(algorithm string) {
	i.t.Helper()
	i.Publish(algorithm)
	i.Activate()
}

// Withdraw stops publishing all keys but the one that signs.
func (i *Issuer) Withdraw() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.published = []*jose.Signer{i.active}
}

// SetDown makes the endpoints of the key set and the deny-list answer 503 while down is true.
func (i *Issuer) SetDown(down bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.down = down
	i.deny.changed.wake()
}

// SetCacheControl sets the Cache-Control header of the key set.
func (i *Issuer) SetCacheControl(value string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.cacheControl = value
}

// Fetches returns how many times the key set was requested.
func (i *Issuer) Fetches() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetches
}

// KeySet returns the published key set, for verify.Config.Keys.
func (i *Issuer) KeySet() []byte {
	i.mu.Lock()
	defer i.mu.Unlock()
	var keys []jose.PublicKey
	for _, s := range i.published {
		keys = append(keys, s.Public())
	}
	return jose.NewKeySet(keys...).JSON()
}

// ServeHTTP serves the deny-list at its path, and the key set at any other path. It is for tests that need them at
// an address of their own.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, denyListPath) {
		i.serveDenyList(w, r)
		return
	}
	i.mu.Lock()
	i.fetches++
	down, cacheControl := i.down, i.cacheControl
	i.mu.Unlock()
	if down {
		http.Error(w, "down", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/jwk-set+json")
	if cacheControl != "" {
		w.Header().Set("Cache-Control", cacheControl)
	}
	_, _ = w.Write(i.KeySet())
}

// Token returns an access token with which the service caller may call the service audience, and which is valid for 15
// minutes. Options can make it invalid.
func (i *Issuer) Token(caller, audience string, options ...Option) string {
	i.t.Helper()
	i.mu.Lock()
	d := draft{signer: i.active, typ: "at+jwt", issued: time.Now(), ttl: 15 * time.Minute, claims: map[string]any{}}
	i.mu.Unlock()
	for _, option := range options {
		option(&d)
	}
	claims := map[string]any{
		"iss": i.Name, "sub": caller, "aud": audience, "jti": rand.Text(),
		"iat": d.issued.Unix(), "exp": d.issued.Add(d.ttl).Unix(),
	}
	maps.Copy(claims, d.claims)
	maps.DeleteFunc(claims, func(_ string, value any) bool { return value == nil })
	payload, err := json.Marshal(claims)
	if err != nil {
		i.t.Fatalf("verifytest: encode claims: %v", err)
	}
	token, err := d.signer.Sign(d.typ, payload)
	if err != nil {
		i.t.Fatalf("verifytest: %v", err)
	}
	return token
}

func newSigner(algorithm string) (*jose.Signer, error) {
	alg, err := jose.ParseAlgorithm(algorithm)
	if err != nil {
		return nil, err
	}
	return jose.GenerateSigner(alg)
}
