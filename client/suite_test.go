package client_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// suite is an authorization server and a resource that check their client as the OpenID
// Foundation's conformance suite does in its FAPI 2.0 client tests for the client credentials grant:
// strictly, and with the standard library only, so that no code of this project judges itself.
type suite struct {
	t *testing.T
	suiteVariant

	front, mtls *httptest.Server
	key         *ecdsa.PrivateKey // the client's, for assertions
	cert        tls.Certificate   // the client's

	mu       sync.Mutex
	seen     map[string]bool // jti
	nonces   int
	token    string // issued last
	jkt      string // what it is bound to
	attempts map[string]int
	done     map[string]int
}

type suiteVariant struct {
	auth      string // private_key_jwt or mtls
	constrain string // dpop or mtls
	nonce     bool
	tokenType string
}

func newSuite(t *testing.T, v suiteVariant) *suite {
	s := &suite{t: t, suiteVariant: v, seen: map[string]bool{}, attempts: map[string]int{}, done: map[string]int{}}
	var err error
	if s.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	s.cert = newCertificate(t, "m1", time.Hour)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/oauth-authorization-server/test/1", s.metadata)
	mux.HandleFunc("/test/1/token", s.tokenEndpoint)
	mux.HandleFunc("/test/1/accounts", s.accounts)
	mux.HandleFunc("/", func(_ http.ResponseWriter, r *http.Request) { t.Errorf("unexpected request to %s", r.URL) })
	s.front = httptest.NewUnstartedServer(mux)
	s.front.StartTLS()
	t.Cleanup(s.front.Close)
	s.mtls = httptest.NewUnstartedServer(mux)
	s.mtls.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS13}
	s.mtls.StartTLS()
	t.Cleanup(s.mtls.Close)
	return s
}

func newCertificate(t *testing.T, name string, life time.Duration) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(life),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// transport trusts both servers; httptest has one certificate for all.
func (s *suite) transport() *http.Transport {
	pool := x509.NewCertPool()
	pool.AddCert(s.front.Certificate())
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	s.t.Cleanup(tr.CloseIdleConnections)
	return tr
}

func (s *suite) issuer() string { return s.front.URL + "/test/1" }

func (s *suite) resource() string {
	if s.constrain == "mtls" {
		return s.mtls.URL + "/test/1/accounts"
	}
	return s.front.URL + "/test/1/accounts"
}

// errorf names the requirement that was broken.
func (s *suite) errorf(requirement, format string, a ...any) {
	s.t.Helper()
	s.t.Errorf("%s: "+format, append([]any{requirement}, a...)...)
}

// metadata always have mtls_endpoint_aliases: clients must understand them (RFC 8705, section 5).
func (s *suite) metadata(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, map[string]any{
		"issuer":                 s.issuer(),
		"token_endpoint":         s.issuer() + "/token",
		"grant_types_supported":  []string{"client_credentials"},
		"mtls_endpoint_aliases":  map[string]string{"token_endpoint": s.mtls.URL + "/test/1/token"},
		"some_unknown_extension": []any{1, nil, map[string]any{}},
	})
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func (s *suite) tokenEndpoint(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attempts["token"]++
	if r.Method != http.MethodPost || r.URL.RawQuery != "" || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
		s.errorf("RFC6749-3.2", "%s %s with %q", r.Method, r.URL, r.Header.Get("Content-Type"))
	}
	if err := r.ParseForm(); err != nil {
		s.errorf("RFC6749-B", "%v", err)
	}
	for name, values := range r.PostForm {
		if len(values) != 1 || values[0] == "" {
			s.errorf("RFC6749-3.2", "%s is there %d times, or empty", name, len(values))
		}
	}
	if id := r.PostForm.Get("client_id"); id != "m1" && (id != "" || s.auth == "mtls") {
		s.errorf("RFC6749-3.2.1", "client_id %q", id)
	}
	if r.PostForm.Get("grant_type") != "client_credentials" || r.PostForm.Get("scope") != "accounts" {
		s.errorf("RFC6749-4.4.2", "form %v", r.PostForm)
	}
	if s.auth == "mtls" || s.constrain == "mtls" {
		s.checkCertificate(r)
	}
	if s.auth == "private_key_jwt" {
		s.checkAssertion(r.PostForm.Get("client_assertion_type"), r.PostForm.Get("client_assertion"))
	} else if r.PostForm.Has("client_assertion") {
		s.errorf("RFC6749-2.3", "two ways to authenticate")
	}
	s.jkt = ""
	if s.constrain == "dpop" {
		jkt, ok := s.checkProof(r, "")
		if !ok {
			w.Header().Set("DPoP-Nonce", s.currentNonce())
			reply(w, http.StatusBadRequest, map[string]any{"error": "use_dpop_nonce", "error_description": "nonce required"})
			return
		}
		s.jkt = jkt
		s.nonces++ // the next request needs another
	} else if r.Header.Get("DPoP") != "" {
		s.errorf("DPOP-5", "a proof that nobody asked for")
	}
	s.token = rand.Text()
	s.done["token"]++
	reply(w, http.StatusOK, map[string]any{"access_token": s.token, "token_type": s.tokenType, "expires_in": 300, "scope": "accounts"})
}

func (s *suite) accounts(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attempts["accounts"]++
	if r.URL.Query().Has("access_token") {
		s.errorf("FAPI2-SP-FINAL-5.3.4-2", "the token is in the query")
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	want := map[string]string{"dpop": "DPoP", "mtls": "Bearer"}[s.constrain]
	if scheme != want || token != s.token || len(r.Header["Authorization"]) != 1 {
		s.errorf("DPOP-7", "authorization %q, want scheme %s and the token", r.Header["Authorization"], want)
	}
	if s.constrain == "mtls" {
		s.checkCertificate(r)
	} else {
		jkt, ok := s.checkProof(r, token)
		if jkt != s.jkt {
			s.errorf("DPOP-7.1", "the proof is of another key than the token's")
		}
		if !ok {
			w.Header().Set("DPoP-Nonce", s.currentNonce())
			w.Header().Set("WWW-Authenticate", `DPoP error="use_dpop_nonce", error_description="nonce required"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		s.nonces++
	}
	s.done["accounts"]++
	reply(w, http.StatusOK, []any{})
}

func (s *suite) checkCertificate(r *http.Request) {
	s.t.Helper()
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		s.errorf("FAPI2-SP-FINAL-5.3.2.1-4", "no client certificate at %s%s", r.Host, r.URL)
		return
	}
	if string(r.TLS.PeerCertificates[0].Raw) != string(s.cert.Certificate[0]) {
		s.errorf("FAPI2-SP-FINAL-5.3.2.1-4", "another client certificate")
	}
}

func (s *suite) checkAssertion(kind, assertion string) {
	s.t.Helper()
	if kind != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
		s.errorf("RFC7523-2.2", "client_assertion_type %q", kind)
	}
	header, claims, err := openJWS(assertion, s.key.Public())
	if err != nil {
		s.errorf("OIDCC-9", "client assertion: %v", err)
		return
	}
	if header["alg"] != "ES256" {
		s.errorf("FAPI2-SP-FINAL-5.4", "alg %v", header["alg"])
	}
	if claims["iss"] != "m1" || claims["sub"] != "m1" {
		s.errorf("RFC7523-3", "iss %v, sub %v", claims["iss"], claims["sub"])
	}
	if claims["aud"] != s.issuer() {
		s.errorf("FAPI2-SP-FINAL-5.3.3.1-5", "aud %v, want the issuer as a string", claims["aud"])
	}
	s.checkOnce(claims)
	now := float64(time.Now().Unix())
	exp, ok := claims["exp"].(float64)
	iat, okToo := claims["iat"].(float64)
	if !ok || !okToo || exp <= now || exp > now+300 || iat > now+10 || iat < now-10 {
		s.errorf("OIDCC-9", "exp %v, iat %v, now %v", claims["exp"], claims["iat"], now)
	}
}

func (s *suite) checkOnce(claims map[string]any) {
	s.t.Helper()
	jti, ok := claims["jti"].(string)
	if !ok || len(jti) < 16 || s.seen[jti] {
		s.errorf("DPOP-11.1", "jti %q missing, short or used before", jti)
	}
	s.seen[jti] = true
}

func (s *suite) currentNonce() string { return fmt.Sprintf("nonce-%d", s.nonces) }

// checkProof checks a proof (RFC 9449, section 4.3); ok is false when it lacks the nonce asked for.
func (s *suite) checkProof(r *http.Request, token string) (jkt string, ok bool) {
	s.t.Helper()
	if len(r.Header["Dpop"]) != 1 {
		s.errorf("DPOP-4.3-1", "%d proofs", len(r.Header["Dpop"]))
		return "", true
	}
	key, jkt, err := keyOf(r.Header["Dpop"][0])
	if err != nil {
		s.errorf("DPOP-4.3-7", "%v", err)
		return "", true
	}
	header, claims, err := openJWS(r.Header["Dpop"][0], key)
	if err != nil || header["typ"] != "dpop+jwt" || header["alg"] != "ES256" {
		s.errorf("DPOP-4.3", "%v, header %v", err, header)
		return "", true
	}
	if url := "https://" + r.Host + r.URL.Path; claims["htm"] != r.Method || claims["htu"] != url {
		s.errorf("DPOP-4.3-8", "htm %v, htu %v for %s %s", claims["htm"], claims["htu"], r.Method, url)
	}
	if iat, isNumber := claims["iat"].(float64); !isNumber || time.Since(time.Unix(int64(iat), 0)).Abs() > 10*time.Second {
		s.errorf("DPOP-11.1", "iat %v", claims["iat"])
	}
	ath, _ := claims["ath"].(string)
	if sum := sha256.Sum256([]byte(token)); token != "" && ath != base64.RawURLEncoding.EncodeToString(sum[:]) || token == "" && ath != "" {
		s.errorf("DPOP-4.3-11", "ath %q", ath)
	}
	s.checkOnce(claims)
	return jkt, !s.nonce || claims["nonce"] == s.currentNonce()
}

// openJWS reads a compact ES256 token of key.
func openJWS(compact string, key crypto.PublicKey) (header, claims map[string]any, err error) {
	parts := strings.Split(compact, ".")
	if len(parts) != 3 {
		return nil, nil, fmt.Errorf("%d parts", len(parts))
	}
	for i, v := range []*map[string]any{&header, &claims} {
		b, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err == nil {
			err = json.Unmarshal(b, v)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	sig, err := base64.RawURLEncoding.DecodeString(parts[2])
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	pub, ok := key.(*ecdsa.PublicKey)
	if err != nil || !ok || len(sig) != 64 || !ecdsa.Verify(pub, digest[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])) {
		return nil, nil, fmt.Errorf("signature does not match")
	}
	return header, claims, nil
}

// keyOf is the P-256 key in the header of a proof, and its RFC 7638 thumbprint.
func keyOf(compact string) (*ecdsa.PublicKey, string, error) {
	head, _, _ := strings.Cut(compact, ".")
	b, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil {
		return nil, "", err
	}
	var h struct {
		JWK struct {
			Kty, Crv, X, Y string
			D              any
		} `json:"jwk"`
	}
	if err := json.Unmarshal(b, &h); err != nil {
		return nil, "", err
	}
	x, errX := base64.RawURLEncoding.DecodeString(h.JWK.X)
	y, errY := base64.RawURLEncoding.DecodeString(h.JWK.Y)
	if errX != nil || errY != nil || h.JWK.Kty != "EC" || h.JWK.Crv != "P-256" || h.JWK.D != nil {
		return nil, "", fmt.Errorf("header %s", b)
	}
	pub, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, x...), y...))
	if err != nil {
		return nil, "", err
	}
	sum := sha256.Sum256(fmt.Appendf(nil, `{"crv":"P-256","kty":"EC","x":"%s","y":"%s"}`, h.JWK.X, h.JWK.Y))
	return pub, base64.RawURLEncoding.EncodeToString(sum[:]), nil
}

// must ends the test if something failed that has to succeed.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
