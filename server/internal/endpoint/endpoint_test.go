package endpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/issuer"
	"github.com/watchword-dev/watchword/server/internal/web"
)

// TOK-028: whatever is said of a request keeps to the characters of RFC 6749, section 5.2.
func TestDescriptionsKeepToTheirCharacters(t *testing.T) {
	if got := safe("a \"b\" \\ é\n\x7f!"); got != "a 'b' ? ???!" {
		t.Errorf("got %q", got)
	}
	// F16: our own words are told as they are.
	_, err := directory.ParseScopes(`a"`)
	if err == nil || safe(err.Error()) != err.Error() {
		t.Errorf("got %q of %v", safe(err.Error()), err)
	}
	for kind := issuer.Malformed; kind <= issuer.Throttled; kind++ {
		q := &request{w: httptest.NewRecorder(), r: httptest.NewRequest("POST", "/", nil)}
		err := new(endpoints).answer(q, &issuer.Refusal{Kind: kind, Text: "\"\\\x00"}, nil)
		e, ok := errors.AsType[*web.Error](err)
		if !ok || e.Code == "" || e.Status < 400 || e.Description != "'??" {
			t.Errorf("kind %d: got %+v", kind, err)
		}
	}
}

// What a caller is told of each kind of refusal that has no text of its own. Clients depend on the codes, and
// people know the texts.
func TestAnswersToRefusals(t *testing.T) {
	for _, c := range []struct {
		kind         issuer.RefusalKind
		oauth, plain string
	}{
		{issuer.Malformed, "400 invalid_request ", "400 invalid_request "},
		{
			issuer.Unauthenticated, "401 invalid_client authenticate the client with one of the token_endpoint_auth_methods_supported in the metadata",
			"401 unauthorized send the bootstrap credential of the service as Authorization: Bearer",
		},
		{
			issuer.InvalidToken, "401 invalid_client the client is unknown, or its authentication failed",
			"401 invalid_token the credential is not valid here: it is malformed, expired, revoked or for somebody else; ask an operator for a new one",
		},
		{
			issuer.Denied, "400 invalid_target no rule allows this client a token for that target; ask an operator, with the id in the Watchword-Decision header",
			"401 access_denied no rule allows this call; ask an operator, with the id in the Watchword-Decision header",
		},
		{issuer.InvalidScope, "400 invalid_scope the target does not grant this scope to this client", "400 invalid_scope the target does not grant this scope to this client"},
		{issuer.UnauthorizedClient, "400 unauthorized_client the client may not use this grant type", ""},
		{issuer.InvalidGrant, "400 invalid_grant the assertion or the token is not valid here", ""},
		{issuer.InvalidProof, "400 invalid_dpop_proof ", "400 invalid_dpop_proof "},
		{issuer.NonceNeeded, "400 use_dpop_nonce ", "400 use_dpop_nonce "},
		{issuer.Throttled, "429 temporarily_unavailable too many requests with a wrong secret; try again later", "429 temporarily_unavailable too many requests with a wrong secret; try again later"},
	} {
		for at, want := range map[issuer.Endpoint]string{issuer.TokenEndpoint: c.oauth, issuer.AccessTokenEndpoint: c.plain} {
			q := &request{w: httptest.NewRecorder(), r: httptest.NewRequest("POST", "/", nil), from: issuer.Request{Endpoint: at}}
			e, _ := errors.AsType[*web.Error](new(endpoints).answer(q, &issuer.Refusal{Kind: c.kind}, nil))
			if got := fmt.Sprintf("%d %s %s", e.Status, e.Code, e.Description); got != want && want != "" {
				t.Errorf("kind %d at %s: got %q, want %q", c.kind, at, got, want)
			}
		}
	}
}

// CAU-001, CAU-002, INT-004, REV-004, NAT-006, NAT-007: when there is a challenge, and for which scheme.
func TestChallengeIsForWhoCanAnswerIt(t *testing.T) {
	const (
		basic = `Basic realm="watchword", charset="UTF-8"`
		plain = `Bearer realm="watchword"`
		wrong = plain + `, error="invalid_token", error_description="the credential is not valid here"`
	)
	for _, c := range []struct {
		name     string
		endpoint issuer.Endpoint
		kind     issuer.RefusalKind
		header   bool
		want     string
	}{
		{"wrong by header", issuer.TokenEndpoint, issuer.InvalidToken, true, basic},
		{"wrong in the body", issuer.TokenEndpoint, issuer.InvalidToken, false, ""},
		{"nothing", issuer.TokenEndpoint, issuer.Unauthenticated, false, basic},
		{"wrong in the body, at introspection", issuer.IntrospectEndpoint, issuer.InvalidToken, false, basic},
		{"nothing, at revocation", issuer.RevokeEndpoint, issuer.Unauthenticated, false, basic},
		{"other refusals", issuer.TokenEndpoint, issuer.Denied, true, ""},
		{"nothing, plain", issuer.AccessTokenEndpoint, issuer.Unauthenticated, false, plain},
		{"wrong, plain", issuer.AccessTokenEndpoint, issuer.InvalidToken, true, wrong},
		{"no rule, plain", issuer.AccessTokenEndpoint, issuer.Denied, true, plain},
		{"malformed, plain", issuer.AccessTokenEndpoint, issuer.Malformed, true, ""},
	} {
		q := &request{w: httptest.NewRecorder(), r: httptest.NewRequest("POST", "/", nil), from: issuer.Request{Endpoint: c.endpoint}}
		if c.header {
			q.r.Header.Set("Authorization", "Basic eDp5")
		}
		e, _ := errors.AsType[*web.Error](new(endpoints).answer(q, &issuer.Refusal{Kind: c.kind}, nil))
		if got := e.Header.Get("WWW-Authenticate"); got != c.want {
			t.Errorf("%s: challenge %q, want %q", c.name, got, c.want)
		}
	}
}

// What goes with a refusal that passes: how long to wait, and the nonce to use (RFC 9449, section 8).
func TestRefusalSaysHowToTryAgain(t *testing.T) {
	e := &endpoints{o: Options{Nonce: func() string { return "next" }}}
	header := func(r *issuer.Refusal) http.Header {
		q := &request{w: httptest.NewRecorder(), r: httptest.NewRequest("POST", "/", nil)}
		err, _ := errors.AsType[*web.Error](e.answer(q, r, nil))
		return err.Header
	}
	for wait, want := range map[time.Duration]string{0: "1", time.Second: "1", 1500 * time.Millisecond: "2"} {
		if got := header(&issuer.Refusal{Kind: issuer.Throttled, RetryAfter: wait}).Get("Retry-After"); got != want {
			t.Errorf("%v: Retry-After is %q, want %q", wait, got, want)
		}
	}
	if got := header(&issuer.Refusal{Kind: issuer.NonceNeeded})["Dpop-Nonce"]; !slices.Equal(got, []string{"next"}) {
		t.Errorf("got the nonces %q", got)
	}
}

func TestTokenAnswer(t *testing.T) {
	for _, c := range []struct {
		token  issuer.Token
		issued string
		want   string
	}{
		{issuer.Token{Value: "a.b.c", Type: issuer.Bearer, ExpiresIn: time.Minute}, "", `{"access_token":"a.b.c","token_type":"Bearer","expires_in":60}`},
		{issuer.Token{Value: "a", Type: issuer.DPoP, ExpiresIn: time.Second, Scopes: []string{"x"}}, accessTokenType, `{"access_token":"a","token_type":"DPoP","expires_in":1,"scope":"x","issued_token_type":"` + accessTokenType + `"}`},
		{issuer.Token{Value: "a", Type: issuer.Bearer, Scopes: []string{"x", "y", "z"}}, "", `{"access_token":"a","token_type":"Bearer","expires_in":0,"scope":"x y z"}`},
	} {
		if got := string(encode(c.token, c.issued)); got != c.want+"\n" {
			t.Errorf("got %s want %s", got, c.want)
		}
	}
}

// F42: of the two answers that a client accepts it gets the one it prefers.
func TestSignedAnswerIsForThoseWhoPreferIt(t *testing.T) {
	for accept, want := range map[string]bool{
		"":                 false,
		"*/*":              false,
		"application/json": false,
		signedAnswer:       true,
		"Application/Token-Introspection+JWT;q=0.5":             true,
		"application/json, " + signedAnswer + ";q=1.0":          true,
		signedAnswer + ";q=0":                                   false,
		signedAnswer + ";q=0.1, application/json":               false,
		signedAnswer + ", application/json;q=0.9":               true,
		"application/json;q=0.5," + signedAnswer + ";q=0.4":     false,
		"*/*;q=0.1, " + signedAnswer + ";q=0.2":                 true,
		"*/*, " + signedAnswer + ";q=0.2":                       false,
		"*/*, application/json;q=0, " + signedAnswer + ";q=0.2": true,
		signedAnswer + ";q=x":                                   false,
		"application/token-introspection+jwt-x, text/html":      false,
	} {
		if got := wantsSigned([]string{accept}); got != want {
			t.Errorf("%q: got %t", accept, got)
		}
	}
}

func TestWhereEndpointsAnswer(t *testing.T) {
	for base, want := range map[string][]string{
		"":         {"/accesstoken", "/.well-known/openid-configuration"},
		"/tenantA": {"/accesstoken", "/tenantA/accesstoken", "/.well-known/openid-configuration", "/tenantA/.well-known/openid-configuration", "/.well-known/openid-configuration/tenantA"},
	} {
		var got []string
		for _, e := range Table(nil, nil, Options{Issuer: "https://as.test" + base}) {
			if e.Path == want[0] || strings.HasSuffix(e.Path, "openid-configuration") {
				got = append(got, e.Paths(BasePath("https://as.test"+base))...)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("issuer with path %q: got %v, want %v", base, got, want)
		}
	}
}

// TOK-003, INT-005, MET-001: every other method is refused, whatever is in the query.
func TestMethodsAreThoseOfTheTable(t *testing.T) {
	for _, e := range Table(nil, nil, Options{}) {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "post", ""} {
			if slices.Contains(e.Methods, method) {
				continue
			}
			r := &http.Request{Method: method, URL: &url.URL{RawQuery: "grant_type=client_credentials&audience=m2&token=x"}}
			err, ok := errors.AsType[*web.Error](e.Serve(httptest.NewRecorder(), r))
			if !ok || err.Status != http.StatusMethodNotAllowed || err.Header.Get("Allow") != strings.Join(e.Methods, ", ") {
				t.Errorf("%s %s: got %v", method, e.Path, err)
			}
		}
	}
}

// metadataOf is the handler of the metadata of an issuer.
func metadataOf(o Options) web.HandlerFunc {
	all := Table(nil, nil, o)
	return all[len(all)-1].Serve
}

// MET-001, MET-004, DPO-028.
func TestMetadataSaysWhatThereIs(t *testing.T) {
	read := func(f Facts) map[string]any {
		w := httptest.NewRecorder()
		if err := metadataOf(Options{Issuer: "https://as.test", Facts: f})(w, httptest.NewRequest("GET", "/", nil)); err != nil || w.Code != http.StatusOK {
			t.Fatal(err, w.Code)
		}
		var m map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	m := read(Facts{Methods: []string{"bootstrap"}, ProofAlgorithms: []string{"ES256"}})
	for name, path := range map[string]string{
		"issuer": "", "token_endpoint": "/oauth2/token", "introspection_endpoint": "/oauth2/introspect",
		"revocation_endpoint": "/oauth2/revoke", "jwks_uri": "/.well-known/jwks.json",
	} {
		if m[name] != "https://as.test"+path {
			t.Errorf("%s is %v", name, m[name])
		}
	}
	if got := m["dpop_signing_alg_values_supported"]; !slices.Equal(got.([]any), []any{"ES256"}) {
		t.Errorf("proofs are signed with %v", got)
	}
	for _, name := range []string{"authorization_endpoint", "tls_client_certificate_bound_access_tokens", "mtls_endpoint_aliases"} {
		if v, ok := m[name]; ok {
			t.Errorf("%s is %v", name, v)
		}
	}
	for _, name := range []string{"response_types_supported", "token_endpoint_auth_methods_supported"} {
		if v, ok := m[name].([]any); !ok || len(v) != 0 {
			t.Errorf("%s is %v, want []", name, m[name])
		}
	}
	m = read(Facts{Methods: []string{"bootstrap", "x"}, Certificates: true, AuthorizationEndpoint: true})
	if m["tls_client_certificate_bound_access_tokens"] != true || m["authorization_endpoint"] != "https://as.test/oauth2/authorize" {
		t.Errorf("got %v", m)
	}
	if got := m["token_endpoint_auth_methods_supported"].([]any); len(got) != 1 || got[0] != "x" {
		t.Errorf("got %v", got)
	}
	if got := m["mtls_endpoint_aliases"].(map[string]any)["token_endpoint"]; got != "https://as.test/oauth2/token" {
		t.Errorf("got %v", got)
	}
}

// JWK-002, MET-001, TOK-037. What caches keep is the same whatever one client sends, and nobody is sent it twice.
func TestDocumentsAreForCaches(t *testing.T) {
	for _, e := range Table(nil, someKeys{}, Options{Issuer: "https://as.test"}) {
		if e.Methods[0] != http.MethodGet {
			continue
		}
		ask := func(method string, header http.Header) *httptest.ResponseRecorder {
			r := httptest.NewRequest(method, "http://evil.test"+e.Path, nil)
			r.Header = header
			w := httptest.NewRecorder()
			if err := e.Serve(w, r); err != nil {
				t.Fatal(e.Path, err)
			}
			return w
		}
		etag, want := ask("GET", nil).Header().Get("ETag"), ask("GET", nil).Body.String()
		// Nothing an attacker sends may show in what a shared cache keeps.
		w := ask("GET", http.Header{
			"X-Forwarded-Host": {"evil.test"}, "X-Forwarded-Proto": {"http"}, "Forwarded": {"host=evil.test"}, "Origin": {"https://evil.test"},
			"Cookie": {"a=b"}, "Accept": {"text/html"}, "Accept-Encoding": {"gzip"}, "Range": {"bytes=0-3"},
			"If-Modified-Since": {"Mon, 30 Nov 2099 00:00:00 GMT"},
		})
		if w.Code != http.StatusOK || w.Body.String() != want || etag == "" || strings.Contains(want, "evil") {
			t.Errorf("%s: got %d and %s", e.Path, w.Code, w.Body)
		}
		for name, value := range map[string]string{
			"Cache-Control": "public, max-age=300", "Etag": etag, "Content-Type": "application/json",
			"Access-Control-Allow-Origin": "*", "Vary": "", "Set-Cookie": "",
		} {
			if got := strings.Join(w.Header().Values(name), "|"); got != value {
				t.Errorf("%s: %s is %q, want %q", e.Path, name, got, value)
			}
		}
		if w := ask("HEAD", nil); w.Code != http.StatusOK || w.Header().Get("ETag") != etag {
			t.Errorf("HEAD %s: got %d %v", e.Path, w.Code, w.Header())
		}
		for _, c := range []struct {
			ifNoneMatch []string
			status      int
		}{
			{[]string{etag}, 304},
			{[]string{"W/" + etag}, 304},
			{[]string{`"x", ` + etag}, 304},
			{[]string{`"x"`, etag}, 304},
			{[]string{"*"}, 304},
			{[]string{`"x"`}, 200},
			{[]string{strings.Trim(etag, `"`)}, 200},
			{nil, 200},
		} {
			w := ask("GET", http.Header{"If-None-Match": c.ifNoneMatch})
			if w.Code != c.status || (w.Body.Len() == 0) != (c.status == 304) || w.Header().Get("ETag") != etag || w.Header().Get("Cache-Control") == "" {
				t.Errorf("%s, If-None-Match %q: got %d with %d bytes, want %d", e.Path, c.ifNoneMatch, w.Code, w.Body.Len(), c.status)
			}
		}
	}
}

// someKeys is a key ring with a key set.
type someKeys struct{}

func (someKeys) JWKS() ([]byte, string, time.Duration) {
	return []byte(`{"keys":[]}`), `"v1"`, 5 * time.Minute
}

func TestKeysThatAreNotLoadedArePublishedAsNone(t *testing.T) {
	w := httptest.NewRecorder()
	err, ok := errors.AsType[*web.Error]((&endpoints{keys: noKeys{}}).jwks(w, httptest.NewRequest("GET", "/", nil)))
	if !ok || err.Status != http.StatusServiceUnavailable || w.Body.Len() > 0 || w.Header().Get("Cache-Control") != "" {
		t.Errorf("got %v, %v %s", err, w.Header(), w.Body)
	}
}

// noKeys is a key ring that was not loaded.
type noKeys struct{}

func (noKeys) JWKS() ([]byte, string, time.Duration) { return nil, "", time.Minute }

func TestGrantsAreThoseThatThereAre(t *testing.T) {
	var types []string
	for _, g := range Grants() {
		types = append(types, g.Type)
	}
	known := api.NamesOf(api.GrantTypes())
	slices.Sort(types)
	slices.Sort(known)
	if !slices.Equal(types, known) {
		t.Errorf("read are %q, and there are %q", types, known)
	}
}
