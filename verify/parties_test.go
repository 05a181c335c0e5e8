package verify_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/verify"
	"github.com/watchword-dev/watchword/verify/verifytest"
)

func newCertificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// TXC-021: the whole chain is there to be read, and scopes are the token's own, whoever acts.
func TestActorsOfAnExchangedToken(t *testing.T) {
	i := verifytest.NewIssuer(t)
	v := offline(t, i)
	token := i.Token("m1", "m2", verifytest.Actors("m4", "m3", "m5"), verifytest.Scopes("read"), verifytest.DependsOn("svc_1", "c1", "t1"), verifytest.Claim("client_id", "m4"))
	for range 2 { // the second time from the cache, which callers cannot change
		c, err := v.Verify(t.Context(), token)
		must(t, err)
		if c.Subject != "m1" || c.Actor() != "m4" || !slices.Equal(c.Actors, []string{"m4", "m3", "m5"}) || c.ClientID != "m4" || c.CallerID != "svc_1" || !c.HasScope("read") {
			t.Errorf("got %+v", c)
		}
		c.Actors[0] = "m9"
	}
	if c, err := v.Verify(t.Context(), i.Token("m1", "m2")); err != nil || c.Actor() != "" || c.CallerID != "" || c.Binding != (verify.Binding{}) {
		t.Errorf("without a chain: got %+v, %v", c, err)
	}
	// A scope inside the chain, or a sub there, gives nothing.
	nested := i.Token("m1", "m2", verifytest.Claim("act", map[string]any{"sub": "m4", "scope": "admin", "act": map[string]any{"sub": "admin"}}))
	if c, err := v.Verify(t.Context(), nested); err != nil || c.HasScope("admin") || c.Subject != "m1" || c.Actor() != "m4" {
		t.Errorf("got %+v, %v", c, err)
	}
	refused(t, v, "a chain of 17", i.Token("m1", "m2", verifytest.Actors("a", slices.Repeat([]string{"b"}, 16)...)), verify.ErrMalformed)
}

func TestServiceHasSeveralIdentifiers(t *testing.T) {
	i := verifytest.NewIssuer(t)
	const uri = "https://m2.example/api"
	several := func(c *verify.Config) { c.Audiences = []string{uri} }
	v := offline(t, i, several)
	for _, aud := range []string{"m2", uri} {
		if c, err := v.Verify(t.Context(), i.Token("m1", aud)); err != nil || c.Audience != aud {
			t.Errorf("%s: got %+v, %v", aud, c, err)
		}
	}
	refused(t, v, "another", i.Token("m1", uri+"/"), verify.ErrAudience)
	refused(t, v, "both its own", i.Token("m1", "", verifytest.Claim("aud", []string{"m2", uri})), verify.ErrAudience)
	shared := offline(t, i, several, func(c *verify.Config) { c.AllowSeveralAudiences = true })
	if c, err := shared.Verify(t.Context(), i.Token("m1", "", verifytest.Claim("aud", []string{"m3", uri, "m2"}))); err != nil || c.Audience != uri {
		t.Errorf("got %+v, %v", c, err)
	}
	for name, aud := range map[string]any{"for others only": []string{"m3", "m4"}, "for nobody": []string{}, "absent": nil, "empty": []string{"", ""}} {
		refused(t, shared, name, i.Token("m1", "", verifytest.Claim("aud", aud)), verify.ErrAudience)
	}
}

// Server stands for both issuers' tokens, the keys and the revocations.
func TestServerIsAllThatIsNeeded(t *testing.T) {
	i := verifytest.NewIssuer(t)
	v, err := verify.New(t.Context(), verify.Config{Server: i.URL, Issuer: "auth-server", Audience: "m2"})
	must(t, err)
	defer v.Close()
	accepted(t, v, "plain", i.Token("m1", "m2"))
	accepted(t, v, "OAuth", i.Token("m1", "m2", verifytest.Claim("iss", i.URL)))
	refused(t, v, "another", i.Token("m1", "m2", verifytest.Claim("iss", i.URL+"/")), verify.ErrIssuer)
	i.Revoke("a-jti")
	i.AwaitFollower()
	refused(t, v, "revoked", i.Token("m1", "m2", verifytest.Claim("jti", "a-jti")), verify.ErrRevoked)
	only, err := verify.New(t.Context(), verify.Config{Server: i.URL, Audience: "m2", Revocations: verify.Revocations{Off: true}})
	must(t, err)
	refused(t, only, "plain, when it is not named", i.Token("m1", "m2"), verify.ErrIssuer)
	accepted(t, only, "revocations are off", i.Token("m1", "m2", verifytest.Claim("iss", i.URL), verifytest.Claim("jti", "a-jti")))
}

// VER-013, for what came later.
func TestNonsenseInTheConfigIsAnError(t *testing.T) {
	i := verifytest.NewIssuer(t)
	for name, spoil := range map[string]func(*verify.Config){
		"an empty audience":       func(c *verify.Config) { c.Audiences = []string{"x", ""} },
		"a relative external URL": func(c *verify.Config) { c.ExternalURL = "m2.example" },
		"an external URL with ?":  func(c *verify.Config) { c.ExternalURL = "https://m2.example/?a" },
		"a short nonce key":       func(c *verify.Config) { c.NonceKey = []byte("short") },
		"a resource that is none": func(c *verify.Config) { c.Resource.URL = "m2" },
		"a resource with #":       func(c *verify.Config) { c.Resource.URL = "https://m2.example/#a" },
		"revocations over http":   func(c *verify.Config) { c.Revocations.URL = "http://auth.example/oauth2/denylist" },
		"a bound without a list":  func(c *verify.Config) { c.Revocations.FailClosedAfter = time.Hour },
		"a bound of a second": func(c *verify.Config) {
			c.Revocations = verify.Revocations{URL: i.DenyListURL, FailClosedAfter: time.Second}
		},
		"on and off":             func(c *verify.Config) { c.Revocations = verify.Revocations{URL: i.DenyListURL, Off: true} },
		"a server over http":     func(c *verify.Config) { c.Server, c.JWKSURL = "http://auth.example", "" },
		"a quote in a challenge": func(c *verify.Config) { c.Resource.URL = `https://m2.example/"` },
	} {
		c := i.Config("m2")
		spoil(&c)
		if v, err := verify.New(t.Context(), c); err == nil || v != nil {
			t.Errorf("%s: got %v, %v, want an error", name, v, err)
		}
	}
}

// RFC 9728, sections 2, 3 and 5.1.
func TestProtectedResourceMetadata(t *testing.T) {
	i := verifytest.NewIssuer(t)
	v := offline(t, i, func(c *verify.Config) {
		c.Server, c.Revocations.Off = "https://auth.example", true
		c.Resource = verify.Resource{URL: "https://m2.example/api", Name: "Greetings", Scopes: []string{"read"}}
	})
	mux := http.NewServeMux()
	mux.Handle(v.ResourceMetadata())
	mux.Handle("/", v.Middleware(whoCalls))

	const where = "https://m2.example/.well-known/oauth-protected-resource/api"
	w := serve(mux, get())
	if got := w.Header()["Www-Authenticate"]; w.Code != 401 || len(got) != 2 ||
		got[0] != `Bearer realm="watchword", resource_metadata="`+where+`"` || got[1] != `DPoP realm="watchword", algs="ES256 PS256 EdDSA", resource_metadata="`+where+`"` {
		t.Errorf("got %d %q", w.Code, got)
	}
	w = serve(mux, httptest.NewRequest("GET", where, nil))
	var doc struct {
		Resource string   `json:"resource"`
		Servers  []string `json:"authorization_servers"`
		Methods  []string `json:"bearer_methods_supported"`
		Scopes   []string `json:"scopes_supported"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil || w.Code != 200 || w.Header().Get("Content-Type") != "application/json" ||
		doc.Resource != "https://m2.example/api" || !slices.Equal(doc.Servers, []string{"https://auth.example"}) || !slices.Equal(doc.Methods, []string{"header"}) || !slices.Equal(doc.Scopes, []string{"read"}) {
		t.Errorf("got %d %s, %v", w.Code, w.Body, err)
	}
	pattern, none := offline(t, i).ResourceMetadata()
	if w := serve(none, get()); pattern == "" || w.Code != 404 {
		t.Errorf("without a resource: got %q and %d", pattern, w.Code)
	}
}
