package client

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
)

var testTime = time.Unix(1_800_000_000, 0)

// prove makes the proof of a for one request.
func prove(t *testing.T, a *Auth) *tokenRequest {
	t.Helper()
	r := &tokenRequest{form: url.Values{}, header: http.Header{}, issuer: "https://as.example/x", now: testTime}
	must(t, a.prove(t.Context(), r))
	return r
}

func generate(t *testing.T) map[jose.Algorithm]crypto.Signer {
	t.Helper()
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	return map[jose.Algorithm]crypto.Signer{jose.ES256: ec, jose.PS256: r, jose.EdDSA: ed}
}

func pemOf(t *testing.T, kind string, der []byte, err error) string {
	t.Helper()
	must(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func jwkOf(t *testing.T, key crypto.Signer, extra string) string {
	t.Helper()
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		pub, err := k.PublicKey.Bytes()
		d, err2 := k.Bytes()
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		return fmt.Sprintf(`{"kty":"EC","crv":"P-256","x":"%s","y":"%s","d":"%s"%s}`, b64(pub[1:33]), b64(pub[33:]), b64(d), extra)
	case ed25519.PrivateKey:
		return fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","x":"%s","d":"%s"%s}`, b64(k.Public().(ed25519.PublicKey)), b64(k.Seed()), extra)
	case *rsa.PrivateKey:
		return fmt.Sprintf(`{"kty":"RSA","n":"%s","e":"AQAB","d":"%s","p":"%s","q":"%s"%s}`,
			b64(k.N.Bytes()), b64(k.D.Bytes()), b64(k.Primes[0].Bytes()), b64(k.Primes[1].Bytes()), extra)
	}
	t.Fatalf("no JWK of %T", key)
	return ""
}

// The assertion is what RFC 7523 and FAPI 2.0 Security Profile, section 5.3.3.1 ask for, whatever
// the key and however it came.
func TestAssertionOfEveryKeyAndForm(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	a := PrivateKeyJWT("m1", KeyFile(path)) // made before the file is there, and read again each time
	seen := make(map[string]bool)
	for alg, key := range generate(t) {
		pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
		forms := map[string]string{
			"PKCS #8": pemOf(t, "PRIVATE KEY", pkcs8, err),
			"JWK":     jwkOf(t, key, fmt.Sprintf(`,"kid":"mine","alg":%q,"use":"sig"`, alg)),
			"bare":    " " + jwkOf(t, key, "") + "\n",
		}
		switch k := key.(type) {
		case *ecdsa.PrivateKey:
			der, err := x509.MarshalECPrivateKey(k)
			forms["SEC 1"] = pemOf(t, "EC PARAMETERS", []byte{6, 0}, nil) + pemOf(t, "EC PRIVATE KEY", der, err)
		case *rsa.PrivateKey:
			forms["PKCS #1"] = pemOf(t, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(k), nil)
		}
		for form, text := range forms {
			must(t, os.WriteFile(path, []byte(text), 0o600))
			r := prove(t, a)
			kid := "mine"
			if form != "JWK" {
				if kid, err = jose.Thumbprint(key.Public()); err != nil {
					t.Fatal(err)
				}
			}
			checkAssertion(t, string(alg)+" as "+form, r, jose.PublicKey{ID: kid, Algorithm: alg, Key: key.Public()}, seen)
		}
		checkAssertion(t, string(alg), prove(t, PrivateKeyJWT("m1", Key(key, "named"))), jose.PublicKey{ID: "named", Algorithm: alg, Key: key.Public()}, seen)
	}
}

func checkAssertion(t *testing.T, what string, r *tokenRequest, key jose.PublicKey, seen map[string]bool) {
	t.Helper()
	if got := r.form.Get("client_assertion_type"); got != assertionType || len(r.form) != 2 || len(r.header) != 0 {
		t.Errorf("%s: form %v", what, r.form)
	}
	token, err := jose.Parse(r.form.Get("client_assertion"))
	must(t, err)
	if err := token.Verify(jose.NewKeySet(key), []jose.Algorithm{key.Algorithm}); err != nil || token.Type != "client-authentication+jwt" {
		t.Errorf("%s: typ %q, kid %q, %v", what, token.Type, token.KeyID, err)
	}
	var claims map[string]any
	must(t, json.Unmarshal(token.Payload, &claims))
	jti, _ := claims["jti"].(string)
	if len(jti) < 26 || seen[jti] {
		t.Errorf("%s: jti %q", what, jti)
	}
	seen[jti] = true
	delete(claims, "jti")
	want := map[string]any{"iss": "m1", "sub": "m1", "aud": "https://as.example/x", "iat": 1.8e9, "exp": 1.8e9 + 60}
	if fmt.Sprint(claims) != fmt.Sprint(want) {
		t.Errorf("%s: claims %v, want %v", what, claims, want)
	}
}

func TestKeyFilesThatWillNotDo(t *testing.T) {
	keys := generate(t)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	must(t, err)
	der, err := x509.MarshalECPrivateKey(p384)
	public := jwkOf(t, keys[jose.EdDSA], "")
	public, _, _ = strings.Cut(public, `,"d"`)
	public += "}"
	for name, text := range map[string]string{
		"empty": "", "text": "hunter2", "no JSON": "{hunter2", "twice": `{"kty":"EC","kty":"hunter2"}`,
		"public":          public,
		"symmetric":       `{"kty":"oct","k":"aHVudGVyMg","d":""}`,
		"RS256":           jwkOf(t, keys[jose.PS256], `,"alg":"RS256"`),
		"wrong algorithm": jwkOf(t, keys[jose.ES256], `,"alg":"EdDSA"`),
		"encryption":      jwkOf(t, keys[jose.ES256], `,"use":"enc"`),
		"verify only":     jwkOf(t, keys[jose.ES256], `,"key_ops":["verify"]`),
		"P-384":           pemOf(t, "EC PRIVATE KEY", der, err),
		"damaged":         pemOf(t, "PRIVATE KEY", []byte("hunter2"), nil),
		"encrypted":       pemOf(t, "ENCRYPTED PRIVATE KEY", []byte("hunter2"), nil),
		"certificate":     pemOf(t, "CERTIFICATE", []byte("hunter2"), nil),
		"long":            strings.Repeat("hunter2", maxCredential),
	} {
		path := filepath.Join(t.TempDir(), "key")
		must(t, os.WriteFile(path, []byte(text), 0o600))
		_, err := KeyFile(path).load(t.Context())
		if err == nil || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v, want an error with the path and without the content", name, err)
		}
	}
	if _, err := KeyFile("/no/such/key").load(t.Context()); err == nil {
		t.Error("no file: no error")
	}
}

func FuzzParseKey(f *testing.F) {
	f.Add([]byte(`{"kty":"EC","crv":"P-256","x":"","y":"","d":""}`))
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := parseKey(b); err == nil && (s.ID() == "" || s.Algorithm() == jose.RS256) {
			t.Errorf("a signer of kid %q, %s", s.ID(), s.Algorithm())
		}
	})
}

func TestSecretsAreSentWhereTheirMethodSays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	basic, post := ClientSecretBasic("m 1:ü", File(path)), ClientSecretPost("m1", File(path))
	for _, secret := range []string{"wws_one", "two+/=~"} { // rotated between requests
		must(t, os.WriteFile(path, []byte(secret+"\n"), 0o600))
		r := prove(t, basic)
		req := &http.Request{Header: r.header}
		id, pass, _ := req.BasicAuth()
		// RFC 6749, section 2.3.1: form-encoded, then put together.
		if id != "m+1%3A%C3%BC" || pass != url.QueryEscape(secret) || len(r.form) != 0 {
			t.Errorf("basic: %q, %q, form %v", id, pass, r.form)
		}
		if r := prove(t, post); r.form.Encode() != (url.Values{"client_id": {"m1"}, "client_secret": {secret}}).Encode() || len(r.header) != 0 {
			t.Errorf("post: form %v, header %v", r.form, r.header)
		}
	}
}

func TestEveryMethodHasANameAndWantsWhatItNeeds(t *testing.T) {
	for _, m := range Methods() {
		if got := m.New(Identity{}).Method(); got != m.Name {
			t.Errorf("%s calls itself %s", m.Name, got)
		}
		_, err := New(Config{Server: "https://as.example", Auth: m.New(Identity{})})
		if err == nil || !strings.Contains(err.Error(), m.Name+" needs") {
			t.Errorf("%s with nothing: got %v, want an error that says what it needs", m.Name, err)
		}
		if slices.Contains(m.Needs, "ClientID") {
			if err := m.New(Identity{ClientID: ""}).err; err == nil || !strings.Contains(err.Error(), "client id") {
				t.Errorf("%s without client id: %v", m.Name, err)
			}
		}
		all := Identity{ClientID: "m1", Secret: Static("x"), Key: KeyFile("x"), Credential: Static("x"), Platform: TokenFile("x")}
		if _, err := New(Config{Server: "https://as.example", Auth: m.New(all), Certificate: CertificateFiles("a", "b")}); err != nil {
			t.Errorf("%s with all it may need: %v", m.Name, err)
		}
	}
	for _, cfg := range []Config{
		{Auth: ClientSecretPost("m1", Static("x")), Credential: Static("x")},
		{Auth: ClientSecretPost("m1", Static("x")), Platform: TokenFile("x")},
		{Credential: Static("x"), Platform: TokenFile("x")},
	} {
		cfg.Server = "https://as.example"
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), "set one of them") {
			t.Errorf("two proofs: got %v", err)
		}
	}
}

// A proof that cannot be made is told apart from a server that is away, and asks nothing.
func TestUnreadableSecretAsksNothingAndSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeServer{ttl: time.Minute}
		none := CertificateSource(func(context.Context) (*tls.Certificate, error) { return &tls.Certificate{}, nil })
		for name, edit := range map[string]func(*Config){
			"cannot authenticate with client_secret_post:": func(c *Config) { c.Auth = ClientSecretPost("m1", File("/no/such/file")) },
			"cannot authenticate with private_key_jwt:":    func(c *Config) { c.Auth = PrivateKeyJWT("m1", KeyFile("/no/such/file")) },
			"cannot authenticate with workload_jwt:":       func(c *Config) { c.Auth = WorkloadJWT("", TokenFile("/no/such/file")) },
			"cannot authenticate: platform token:":         func(c *Config) { c.Auth, c.Platform = nil, TokenFile("/no/such/file") },
			"load the certificate":                         func(c *Config) { c.Certificate = CertificateFiles("/no/such/file", "/no/such/file") },
			"the source returned none":                     func(c *Config) { c.Certificate = none },
		} {
			c := newClient(t, s, endpoints["oauth"], edit)
			if _, err := c.TokenSource("m2").Token(t.Context()); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("got %v, want %q in it", err, name)
			}
		}
		if n := len(s.requests()); n != 0 {
			t.Errorf("%d requests", n)
		}
	})
}

// RFC 6749, section 4.4.2; RFC 8707, section 2; RFC 8693, section 2.1; impersonate is the server's own.
func TestFormAsksForWhatWasAsked(t *testing.T) {
	exchange := ask{question: question{target: "m3", scope: "a b", incoming: "x"}, subject: newSecret("t")}
	impersonate := exchange
	impersonate.impersonate = true
	const exchanged = "&grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange"
	const subject = "&scope=a+b&subject_token=t&subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token"
	for want, q := range map[string]ask{
		"audience=m2&grant_type=client_credentials":                              {question: question{target: "m2"}},
		"audience=m2&grant_type=client_credentials&scope=a+b":                    {question: question{target: "m2", scope: "a b"}},
		"grant_type=client_credentials&resource=https%3A%2F%2Fm2.example%2F%3Fx": {question: question{target: "https://m2.example/?x"}},
		"grant_type=client_credentials&resource=urn%3Aexample%3Am2":              {question: question{target: "urn:example:m2"}},
		"audience=m3" + exchanged + subject:                                      exchange,
		"audience=m3" + exchanged + "&impersonate=true" + subject:                impersonate,
	} {
		if got := formOf(q).Encode(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestMethodsAndKeysDoNotPrint(t *testing.T) {
	key := generate(t)[jose.EdDSA].(ed25519.PrivateKey)
	cfg := Config{
		Auth: PrivateKeyJWT("m1", Key(key, "")), Credential: Static("hunter2"),
		Certificate: Certificate(tls.Certificate{PrivateKey: key, Certificate: [][]byte{{1}}}),
	}
	q := ask{question: question{target: "m2"}, subject: newSecret("hunter2")}
	p, err := newProver(&DPoP{Key: key})
	must(t, err)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		out := fmt.Sprintf(verb+verb+verb+verb, cfg, q, ClientSecretPost("m1", Static("hunter2")), []any{p, Token{prover: p}})
		if strings.Contains(out, "hunter2") || strings.Contains(out, fmt.Sprintf("%x", key.Seed())) || strings.Contains(out, strings.Trim(fmt.Sprint(key.Seed()), "[]")) {
			t.Errorf("%s prints a secret", verb)
		}
	}
}

func weakKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	must(t, err)
	return key
}

// must ends the test if something failed that has to succeed.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
