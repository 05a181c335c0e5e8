// Package clienttest provides a small authorization server for tests of programs that use packages client and
// verify. It serves POST /accesstoken and POST /oauth2/token (client credentials and token exchange, with all
// authentication methods except certificates), binds tokens with DPoP, publishes its keys as Watchword does, and
// signs real tokens. It keeps everything in memory, writes no audit log, and must not be used outside of tests.
package clienttest

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/internal/strictjson"
)

// Issuer is the issuer of tokens from POST /accesstoken. It is the same as Watchword's default.
const Issuer = "auth-server"

// Server is a running server. It allows nothing until Allow is called.
type Server struct {
	// URL is the address of the server, for client.Config.Server.
	URL string

	http        *httptest.Server
	access      *jose.Signer
	credentials *jose.Signer // never published, so that no service can accept one
	platform    *jose.Signer // of the platform that the server trusts

	mu         sync.Mutex
	rules      map[edge]rule
	secrets    map[string]string    // secret -> service
	clientKeys map[string]clientKey // by kid
	seen       map[string]bool      // jti of assertions and proofs
	lifetime   time.Duration
	away       bool
	requests   int
}

type rule struct {
	scopes                []string
	exchange, impersonate bool
}

type edge struct{ caller, target string }

// NewServer starts a server on a loopback address. Close it when the test ends. Like httptest.NewServer, it panics
// if it cannot start.
func NewServer() *Server {
	s := &Server{
		access:      newSigner(),
		credentials: newSigner(),
		platform:    newSigner(),
		rules:       make(map[edge]rule),
		secrets:     make(map[string]string),
		clientKeys:  make(map[string]clientKey),
		seen:        make(map[string]bool),
		lifetime:    15 * time.Minute,
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /accesstoken", s.accessToken)
	mux.HandleFunc("POST /oauth2/token", s.oauthToken)
	mux.HandleFunc("GET /.well-known/oauth-authorization-server", s.metadata)
	mux.HandleFunc("GET /.well-known/jwks.json", s.keys)
	mux.HandleFunc("GET /auth/jwt/jwks.json", s.keys)
	s.http = httptest.NewServer(s.unlessAway(mux))
	s.URL = s.http.URL
	return s
}

// Close stops the server.
func (s *Server) Close() { s.http.Close() }

// JWKSURL returns the URL of the key set, for verify.Config.
func (s *Server) JWKSURL() string { return s.URL + "/.well-known/jwks.json" }

// Allow allows caller to get tokens for target with any of the scopes.
func (s *Server) Allow(caller, target string, scopes ...string) {
	s.allow(caller, target, rule{scopes: scopes})
}

func (s *Server) allow(caller, target string, r rule) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules[edge{caller, target}] = r
}

// Disallow removes the rule that Allow, AllowExchange or AllowImpersonation has set.
func (s *Server) Disallow(caller, target string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.rules, edge{caller, target})
}

// SetLifetime sets the lifetime of tokens that are issued from now on, in whole seconds.
func (s *Server) SetLifetime(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lifetime = d
}

// SetAway makes the server close every connection without an answer, or answer again.
func (s *Server) SetAway(away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = away
}

// Requests returns the number of token requests that have been answered.
func (s *Server) Requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// Credential returns a bootstrap credential for service, for client.Static.
func (s *Server) Credential(service string) string {
	return signClaims(s.credentials, "bootstrap+jwt", claims{Issuer: Issuer, Subject: service, Audience: Issuer}, time.Hour)
}

// platformIDs is the beginning of the SPIFFE IDs in platform tokens.
const platformIDs = "spiffe://example.org/"

// PlatformToken returns a token with which a platform vouches for service, for client.TokenFile or another
// client.PlatformTokenSource. The server accepts it if audience is URL, any number of times within an hour.
func (s *Server) PlatformToken(service, audience string) string {
	return signClaims(s.platform, "JWT", claims{Issuer: platformIDs, Subject: platformIDs + service, Audience: audience}, time.Hour)
}

// Token returns an access token like those of POST /accesstoken, without checking whether a rule allows it.
func (s *Server) Token(caller, target string, scopes ...string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return signClaims(s.access, "at+jwt", claims{Issuer: Issuer, Subject: caller, Audience: target, Scope: strings.Join(scopes, " ")}, s.lifetime)
}

func (s *Server) unlessAway(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		away := s.away
		s.mu.Unlock()
		if away {
			panic(http.ErrAbortHandler)
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Server) keys(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(jose.NewKeySet(s.access.Public()).JSON())
}

func (s *Server) accessToken(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Watchword-Decision", randomID())
	w.Header().Set("Cache-Control", "no-store")
	caller, err := s.authenticate(r)
	if err != nil {
		w.Header().Set("WWW-Authenticate", `Bearer realm="watchword", error="invalid_token"`)
		refuse(w, http.StatusUnauthorized, "invalid_token", "the credential is not valid here")
		return
	}
	var req struct {
		Target string `json:"target"`
		Scope  string `json:"scope"`
	}
	if err := strictjson.Read(r.Body, 64<<10, &req); err != nil || req.Target == "" {
		refuse(w, http.StatusBadRequest, "invalid_request", `the body must be one JSON object such as {"target":"m2"}`)
		return
	}
	jkt, err := s.proof(r)
	if err != nil {
		refuse(w, http.StatusBadRequest, "invalid_dpop_proof", err.Error())
		return
	}
	kind := ""
	if jkt != "" {
		kind = "DPoP"
	}
	scopes := strings.Fields(req.Scope)
	lifetime, ok := s.decide(caller, req.Target, scopes)
	if !ok {
		w.Header().Set("WWW-Authenticate", `Bearer realm="watchword"`)
		refuse(w, http.StatusUnauthorized, "access_denied", "no rule allows this call")
		return
	}
	writeJSON(w, http.StatusOK, struct {
		AccessToken string `json:"accessToken"`
		ExpiresIn   int64  `json:"expiresIn"`
		TokenType   string `json:"tokenType,omitempty"`
	}{
		signClaims(s.access, "at+jwt", claims{
			Issuer: Issuer, Subject: caller, Audience: req.Target, Scope: req.Scope, Confirmation: confirmation(jkt),
		}, lifetime), int64(lifetime / time.Second), kind,
	})
}

func (s *Server) decide(caller, target string, scopes []string) (time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	granted, ok := s.rules[edge{caller, target}]
	for _, scope := range scopes {
		ok = ok && slices.Contains(granted.scopes, scope)
	}
	return s.lifetime, ok
}

func (s *Server) authenticate(r *http.Request) (caller string, err error) {
	text, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return "", fmt.Errorf("no credential")
	}
	return s.credentialOf(text)
}

// credentialOf returns the service whose bootstrap credential or platform token text is.
func (s *Server) credentialOf(text string) (caller string, err error) {
	token, err := jose.Parse(text)
	if err != nil {
		return "", err
	}
	if token.KeyID == s.platform.ID() {
		return s.vouchedFor(token)
	}
	if err := token.Verify(jose.NewKeySet(s.credentials.Public()), []jose.Algorithm{jose.ES256}); err != nil {
		return "", err
	}
	claims, err := jose.ParseClaims(token.Payload)
	if err != nil {
		return "", err
	}
	return claims.Subject, nil
}

// vouchedFor returns the service for which the platform vouches.
func (s *Server) vouchedFor(token *jose.Token) (service string, err error) {
	if err := token.VerifyWith(s.platform.Public()); err != nil {
		return "", err
	}
	var c claims
	if err := strictjson.Unmarshal(token.Payload, &c); err != nil {
		return "", err
	}
	service, ok := strings.CutPrefix(c.Subject, platformIDs)
	if !ok || c.Audience != s.URL || time.Now().Unix() >= c.Expiry {
		return "", errors.New("claims of the platform token")
	}
	return service, nil
}

func refuse(w http.ResponseWriter, status int, code, description string) {
	writeJSON(w, status, struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}{code, description})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client may have gone
}

type claims struct {
	Issuer       string `json:"iss"`
	Subject      string `json:"sub"`
	Audience     string `json:"aud"`
	Expiry       int64  `json:"exp"`
	IssuedAt     int64  `json:"iat"`
	ID           string `json:"jti"`
	Scope        string `json:"scope,omitempty"`
	ClientID     string `json:"client_id,omitempty"`
	Confirmation *cnf   `json:"cnf,omitempty"`
	Actor        *actor `json:"act,omitempty"`
}

type cnf struct {
	Thumbprint string `json:"jkt"`
}

type actor struct {
	Subject string `json:"sub"`
	Actor   *actor `json:"act,omitempty"`
}

func confirmation(jkt string) *cnf {
	if jkt == "" {
		return nil
	}
	return &cnf{jkt}
}

func signClaims(signer *jose.Signer, typ string, c claims, lifetime time.Duration) string {
	c.IssuedAt, c.ID = time.Now().Unix(), randomID()
	c.Expiry = c.IssuedAt + int64(lifetime/time.Second)
	payload, err := json.Marshal(c)
	if err != nil {
		panic(err) // strings and integers always encode
	}
	token, err := signer.Sign(typ, payload)
	if err != nil {
		panic(fmt.Sprintf("clienttest: sign: %v", err))
	}
	return token
}

func newSigner() *jose.Signer {
	s, err := jose.GenerateSigner(jose.ES256)
	if err != nil {
		panic(fmt.Sprintf("clienttest: make a signer: %v", err))
	}
	return s
}

func randomID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand
	return hex.EncodeToString(b[:])
}
