package app

import (
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/web"
)

func TestTokenEndpoint(t *testing.T) {
	onBothStores(t, map[string]func(*testing.T, *world){
		"answer":       tokenAnswer,
		"method":       tokenMethods,
		"request":      tokenRequests,
		"scope":        tokenScopes,
		"target":       tokenTargets,
		"large body":   tokenLargeBody,
		"forged names": tokenForgedNames,
		"no CORS":      tokenNoCORS,
		"parallel":     tokenParallel,
		"denied":       everyDoorDenies,
	})
}

// TOK-001, TOK-002.
func tokenAnswer(t *testing.T, w *world) {
	a := w.tokenRequest(credentialsFor("m2"), basic("m1"))
	token := given(t, a)
	m := a.json(t)
	if a.header.Get("Content-Type") != "application/json" || a.header.Get("Cache-Control") != "no-store" || a.header.Get("Pragma") != "no-cache" {
		t.Errorf("got %v", a.header)
	}
	if life, _ := m["expires_in"].(float64); m["token_type"] != "Bearer" || life != 900 || m["scope"] != "a b read write" || len(m) != 4 {
		t.Errorf("got %v", m)
	}
	head, c := part(t, token, 0), part(t, token, 1)
	if head["typ"] != "at+jwt" || head["alg"] != "ES256" {
		t.Errorf("got header %v", head)
	}
	jwks := w.do(w.request("GET", w.url+"/.well-known/jwks.json", ""))
	if kid, _ := head["kid"].(string); kid == "" || !strings.Contains(jwks.body, kid) {
		t.Errorf("kid %q is not in %s", kid, jwks.body)
	}
	if c["iss"] != issuerURL || c["sub"] != "m1" || c["client_id"] != "m1" || c["aud"] != "m2" || c["scope"] != "a b read write" {
		t.Errorf("got %v", c)
	}
	if id, _ := c["jti"].(string); len(id) != 32 || c["exp"].(float64)-c["iat"].(float64) != 900 {
		t.Errorf("got %v", c)
	}
	r := w.record(a.header.Get(web.DecisionHeader))
	if r["outcome"] != "allowed" || r["endpoint"] != "oauth2/token" || r["grant"] != "client_credentials" || r["method"] != "client_secret_basic" || r["token"] != c["jti"] {
		t.Errorf("recorded %v", r)
	}
}

// TOK-003.
func tokenMethods(t *testing.T, w *world) {
	before := w.tokensIssued()
	for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"} {
		r := w.request(method, w.url+"/oauth2/token?"+credentialsFor("m2", "client_id", "m1", "client_secret", secretOf("m1")), "")
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if a := w.do(r); a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") != "POST" {
			t.Errorf("%s: got %d %v", method, a.status, a.header)
		}
	}
	if got := w.tokensIssued(); got != before {
		t.Errorf("%d tokens were issued", got-before)
	}
}

// tokensIssued counts the records of tokens this replica gave.
func (w *world) tokensIssued() int {
	w.t.Helper()
	return strings.Count(w.auditLog(), `"outcome":"allowed"`)
}

func (s *server) auditLog() string {
	s.t.Helper()
	var all strings.Builder
	files, _ := filepath.Glob(filepath.Join(s.cfg.Audit.Dir, "*.jsonl"))
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			s.t.Fatal(err)
		}
		all.Write(raw)
	}
	return all.String()
}

// TOK-004, TOK-005, TOK-006, TOK-009, TOK-010, TOK-011, TOK-012, TOK-014, TOK-018,
// TOK-032, TOK-033, TOK-034, TOK-035, TXC-016.
func tokenRequests(t *testing.T, w *world) {
	const password = "correct horse"
	good := credentialsFor("m2")
	for _, c := range []struct {
		what, body string
		options    []option
		status     int
		code       string
	}{
		{"no grant type", form("audience", "m2"), nil, 400, "invalid_request"},
		{"empty grant type", form("grant_type", "", "audience", "m2"), nil, 400, "invalid_request"},
		{"password", form("grant_type", "password", "username", "a", "password", password), nil, 400, "unsupported_grant_type"},
		{"upper case", form("grant_type", "CLIENT_CREDENTIALS", "audience", "m2"), nil, 400, "unsupported_grant_type"},
		{"with a space", form("grant_type", " client_credentials", "audience", "m2"), nil, 400, "unsupported_grant_type"},
		{"refresh token", form("grant_type", "refresh_token", "refresh_token", "x"), nil, 400, "unsupported_grant_type"},
		{"repeated", good + "&grant_type=client_credentials", nil, 400, "invalid_request"},
		{"repeated differently", good + "&grant_type=password", nil, 400, "invalid_request"},
		{"semicolon", "grant_type=client_credentials;audience=m2", nil, 400, "invalid_request"},
		{"bad escape", "grant_type=%zz", nil, 400, "invalid_request"},
		{"JSON", `{"grant_type":"client_credentials","audience":"m2"}`, []option{setType("application/json")}, 400, "invalid_request"},
		{"multipart", "--x\r\nContent-Disposition: form-data; name=\"grant_type\"\r\n\r\nclient_credentials\r\n--x--\r\n", []option{setType("multipart/form-data; boundary=x")}, 400, "invalid_request"},
		{"compressed", good, []option{header("Content-Encoding", "gzip")}, 415, "invalid_request"},
		{"half an assertion", credentialsFor("m2", "client_assertion", "x"), nil, 400, "invalid_request"},
		{"the other half", credentialsFor("m2", "client_assertion_type", assertionType), nil, 400, "invalid_request"},
	} {
		refused(t, c.what, w.tokenRequest(c.body, append(c.options, basic("m1"))...), c.status, c.code)
	}
	for _, id := range []string{"%00m1", "m1%00", "%ff%fe"} {
		a := w.tokenRequest(credentialsFor("m2") + "&client_secret=x&client_id=" + id)
		refused(t, id, a, 400, "invalid_request")
	}
	secret := "in-the-query-" + rand.Text()
	refused(t, "query", w.post("/oauth2/token?"+credentialsFor("m2", "client_id", "m1", "client_secret", secret), ""), 400, "invalid_request")
	if a := w.tokenRequest(good+"&foo=bar&scope=", basic("m1")); a.status != 200 {
		t.Errorf("unknown and empty parameters: got %d %s", a.status, a.body)
	}
	for _, leaked := range []string{secret, password} {
		if strings.Contains(w.auditLog(), leaked) {
			t.Errorf("%q is in the audit log", leaked)
		}
	}
}

func setType(v string) option { return func(r *http.Request) { r.Header.Set("Content-Type", v) } }

// TOK-020, TOK-021, TOK-022, TOK-023.
func tokenScopes(t *testing.T, w *world) {
	for _, scope := range []string{`"`, `\`, "a\tb", "\x7f", "é", "a  b", "other", "a other", strings.Repeat("x ", 30000)} {
		refused(t, fmt.Sprintf("scope %.8q", scope), w.tokenRequest(credentialsFor("m2", "scope", scope), basic("m1")), 400, "invalid_scope")
	}
	a := w.tokenRequest(credentialsFor("m2", "scope", "b a a a"), basic("m1"))
	if c := part(t, given(t, a), 1); c["scope"] != "a b" || a.json(t)["scope"] != "a b" {
		t.Errorf("got %v %s", c, a.body)
	}
	a = w.tokenRequest(credentialsFor("m2"), basic("m8"))
	if _, ok := a.json(t)["scope"]; ok || a.status != 200 {
		t.Errorf("no scope at all: got %d %s", a.status, a.body)
	}
}

// TOK-017, TOK-024, TOK-025, TOK-026, TOK-027.
func tokenTargets(t *testing.T, w *world) {
	ask := func(pairs ...string) answer {
		return w.tokenRequest(form(append([]string{"grant_type", "client_credentials"}, pairs...)...), basic("m1"))
	}
	refused(t, "none", ask(), 400, "invalid_target")
	for _, resource := range []string{"https://m2.test/api#frag", "https://m2.test/api#", "m2", "/m2", "//m2", "%"} {
		refused(t, resource, ask("resource", resource), 400, "invalid_target")
	}
	w.change("m4", func(svc *directory.Service) { svc.Disabled = true })
	first := ask("audience", "m3")
	for _, unknown := range []string{"zz", issuerURL, "auth-server", "*", tokenURL, "M2", "m2 ", "https://m2.test/api/", strings.Repeat("x", 5000)} {
		a := ask("audience", unknown)
		refused(t, unknown, a, 400, "invalid_target")
		if a.body != first.body {
			t.Errorf("%.20s: got %s, but for one that exists %s", unknown, a.body, first.body)
		}
	}
	for _, good := range [][]string{
		{"audience", "m2"},
		{"audience", "https://m2.test/api"},
		{"resource", "https://m2.test/api"},
		{"resource", "https://m2.test/api", "audience", "m2"},
		{"audience", "m2", "audience", "m2"},
	} {
		want := good[1]
		if got := part(t, given(t, ask(good...)), 1)["aud"]; got != want {
			t.Errorf("%v: got aud %v", good, got)
		}
	}
	for _, two := range []string{"m8", "zz"} { // allowed, and not there
		a := ask("audience", "m2", "audience", two)
		refused(t, "two targets", a, 400, "invalid_target")
		if a.body != first.body {
			t.Errorf("two targets: got %s, but for one %s", a.body, first.body)
		}
	}
}

// TOK-030.
func tokenLargeBody(t *testing.T, w *world) {
	const size = 100 << 20
	for _, length := range []int64{size, -1} {
		sent := &counted{}
		r := w.request("POST", w.url+"/oauth2/token", "")
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Body, r.ContentLength = io.NopCloser(io.LimitReader(sent, size)), length
		resp, err := w.client.Do(r)
		if err != nil {
			continue // the connection was closed under the body
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusRequestEntityTooLarge || !resp.Close {
			t.Errorf("length %d: got %d, close %t", length, resp.StatusCode, resp.Close)
		}
		if n := sent.n.Load(); n > size/2 {
			t.Errorf("length %d: %d bytes were taken", length, n)
		}
	}
}

type counted struct{ n atomic.Int64 } // the transport may still read when the answer is there

func (c *counted) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'x'
	}
	c.n.Add(int64(len(b)))
	return len(b), nil
}

// TOK-037.
func tokenForgedNames(t *testing.T, w *world) {
	forged := []option{
		func(r *http.Request) { r.Host = "evil.test" },
		header("X-Forwarded-Host", "evil.test"), header("X-Forwarded-Proto", "http"), header("Forwarded", "host=evil.test"),
	}
	if got := part(t, given(t, w.tokenRequest(credentialsFor("m2"), append(forged, basic("m1"))...)), 1)["iss"]; got != issuerURL {
		t.Errorf("got iss %v", got)
	}
	for _, path := range []string{"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"} {
		r := w.request("GET", w.url+path, "")
		for _, o := range forged {
			o(r)
		}
		if a := w.do(r); a.json(t)["issuer"] != issuerURL || strings.Contains(a.body, "evil") {
			t.Errorf("%s: got %s", path, a.body)
		}
	}
}

// TOK-041.
func tokenNoCORS(t *testing.T, w *world) {
	for _, method := range []string{"OPTIONS", "POST"} {
		r := w.request(method, w.url+"/oauth2/token", credentialsFor("m2"), "Origin", "https://evil.test", "Access-Control-Request-Method", "POST")
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth("m1", secretOf("m1"))
		if a := w.do(r); a.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: got %v", method, a.header)
		}
	}
}

// TOK-042.
func tokenParallel(t *testing.T, w *world) {
	const n = 500
	before := w.tokensIssued()
	answers := inParallel(n, func(int) answer { return w.tokenRequest(credentialsFor("m2"), basic("m1")) })
	ids := map[any]bool{}
	for _, a := range answers {
		ids[part(t, given(t, a), 1)["jti"]] = true
	}
	if len(ids) != n {
		t.Errorf("%d jtis of %d tokens", len(ids), n)
	}
	if got := w.tokensIssued() - before; got != n {
		t.Errorf("%d records of %d tokens", got, n)
	}
}

func inParallel(n int, ask func(i int) answer) []answer {
	answers := make([]answer, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { answers[i] = ask(i) })
	}
	all.Wait()
	return answers
}

// POL-012: what no rule allows is refused, however it is asked for.
func everyDoorDenies(t *testing.T, w *world) {
	subject := w.get("m1", "m2")
	w.keys["m1"] = newKey()
	w.addCredential("m1", directory.KindKey, jwkOf(w.keys["m1"], "m1-key"))
	bootstrap, _ := w.credential("m1")
	for what, a := range map[string]answer{
		"client credentials": w.tokenRequest(credentialsFor("m3"), basic("m1")),
		"jwt bearer":         w.tokenRequest(form("grant_type", bearerGrant, "assertion", w.assertion("m1", nil), "audience", "m3")),
		"assertion":          w.tokenRequest(withAssertion(w.assertion("m1", nil), "m3")),
		"bootstrap":          w.tokenRequest(withAssertion(bootstrap, "m3")),
		"exchange":           w.exchange("m2", subject, "m1"),
	} {
		refused(t, what, a, 400, "invalid_target")
	}
	if a := w.ask(bootstrap, `{"target":"m3"}`); a.status != 401 {
		t.Errorf("/accesstoken: got %d %s", a.status, a.body)
	}
}

// exchange asks with a token for one for target, as a service with a secret.
func (s *server) exchange(name, subject, target string, more ...string) answer {
	s.t.Helper()
	return s.tokenRequest(exchangeForm(subject, target, more...), basic(name))
}

func exchangeForm(subject, target string, more ...string) string {
	return form(append([]string{"grant_type", exchangeGrant, "subject_token", subject, "subject_token_type", accessToken, "audience", target}, more...)...)
}
