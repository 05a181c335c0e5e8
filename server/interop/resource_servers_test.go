package interop

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/client"
	"github.com/watchword-dev/watchword/internal/needs"
)

// service is a resource server under test: m2, which answers "Hello to m1!" to m1.
type service struct {
	o   *oauth
	url string
}

// say calls the service with an Authorization header, unless that is empty.
func (s *service) say(t *testing.T, path, authorization string) (status int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, nil)
	must(t, err)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	return answerOf(t, s.o.http, r)
}

// try holds the service to what RFC 6750 and RFC 9068 ask of it: m1 is let in, and nothing else.
func (s *service) try(t *testing.T, path string) {
	t.Helper()
	s.greets(t, path, s.o.token(t, m2URL))
	good := s.o.token(t, m2URL)
	parts := strings.Split(good, ".")
	// The server signs more than access tokens with the keys it publishes (RFC 9068, section 5).
	said := s.o.signed(t, http.MethodPost, "/oauth2/introspect", "application/token-introspection+jwt", url.Values{"token": {good}})
	denied := s.o.signed(t, http.MethodGet, "/oauth2/denylist", "application/jwt", nil)
	for name, authorization := range map[string]string{
		"nothing":                       "",
		"another scheme":                "Basic bTE6c2VjcmV0",
		"no token":                      "Bearer ",
		"garbage":                       "Bearer garbage",
		"a token for m3":                "Bearer " + s.o.token(t, m3URL),
		"another subject":               "Bearer " + forged(good, ""),
		"alg none":                      "Bearer " + forged(good, `{"alg":"none","typ":"at+jwt"}`),
		"no signature":                  "Bearer " + parts[0] + "." + parts[1] + ".",
		"a token of /accesstoken":       "Bearer " + s.o.plainToken(t),
		"a bootstrap credential":        "Bearer " + s.o.bootstrap(t),
		"a bound token without a proof": "Bearer " + s.o.boundToken(t),
		"an answer of introspection":    "Bearer " + said,
		"the deny-list":                 "Bearer " + denied,
	} {
		if status, body := s.say(t, path, authorization); status != http.StatusUnauthorized && status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	s.greets(t, path, good) // it is still there
	s.mustExpire(t, path)
}

// mustExpire waits for the end of a token of a second.
func (s *service) mustExpire(t *testing.T, path string) {
	t.Helper()
	short := func(seconds int) {
		s.o.admin(t, http.MethodPatch, "/services/m2", map[string]any{"tokenTtlSeconds": seconds}, nil)
	}
	short(1)
	defer short(0)
	token := "Bearer " + s.o.token(t, m2URL)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); ; <-tick.C { // some allow for clocks that differ
		status, body := s.say(t, path, token)
		if status == http.StatusUnauthorized {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("an expired token: %d %s", status, body)
			return
		}
	}
}

func (s *service) greets(t *testing.T, path, token string) {
	t.Helper()
	if status, body := s.say(t, path, "Bearer "+token); status != http.StatusOK || body != "Hello to m1!" {
		t.Errorf("m1's token: %d %s", status, body)
	}
}

// mustNotWrite calls what wants a scope that the token does not have.
func (s *service) mustNotWrite(t *testing.T) {
	t.Helper()
	if status, body := s.say(t, "/write", "Bearer "+s.o.token(t, m2URL)); status != http.StatusForbidden {
		t.Errorf("a token without the scope write: %d %s", status, body)
	}
}

// bootstrap makes a bootstrap credential of m1.
func (o *oauth) bootstrap(t *testing.T) string {
	t.Helper()
	var made struct{ Token string }
	o.credential(t, "m1", map[string]any{"name": "interop"}, &made)
	return made.Token
}

// plainToken is one of POST /accesstoken, which has another issuer.
func (o *oauth) plainToken(t *testing.T) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, o.issuer+"/accesstoken", strings.NewReader(`{"target":"`+m2URL+`"}`))
	must(t, err)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+o.bootstrap(t))
	status, body := answerOf(t, o.http, r)
	var answer struct{ AccessToken string }
	if err := json.Unmarshal([]byte(body), &answer); err != nil || answer.AccessToken == "" {
		t.Fatalf("POST /accesstoken: %d %s", status, body)
	}
	return answer.AccessToken
}

// signed gets something else that the server signs, as m2.
func (o *oauth) signed(t *testing.T, method, path, accept string, form url.Values) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, o.issuer+path, strings.NewReader(form.Encode()))
	must(t, err)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth("m2", o.secrets["m2"])
	}
	r.Header.Set("Accept", accept)
	status, body := answerOf(t, o.http, r)
	if status != http.StatusOK || strings.Count(body, ".") != 2 {
		t.Fatalf("%s: %d %s", path, status, body)
	}
	return body
}

// boundToken is good only with a proof of a key that is gone when it returns.
func (o *oauth) boundToken(t *testing.T) string {
	t.Helper()
	c, err := client.New(client.Config{
		Server: o.issuer, Auth: client.ClientSecretBasic("m1", client.Static(o.secrets["m1"])),
		DPoP: &client.DPoP{}, HTTPClient: o.http,
	})
	must(t, err)
	defer c.Close()
	token, err := c.TokenSource(m2URL, "read").Token(t.Context())
	must(t, err)
	return token.Reveal()
}

func TestGoVerifiers(t *testing.T) {
	o := startOAuth(t)
	for _, name := range []string{"oidc", "keyfunc", "zitadel"} {
		t.Run(name, func(t *testing.T) {
			s := &service{o, listening(t, goClient(t, o.client(), name))}
			s.try(t, "/hello")
			if name == "zitadel" {
				s.mustNoticeRevocation(t, "/hello")
			}
		})
	}
}

// mustNoticeRevocation holds of services that ask the server about tokens.
func (s *service) mustNoticeRevocation(t *testing.T, path string) {
	t.Helper()
	token := s.o.token(t, m2URL)
	s.greets(t, path, token)
	s.o.post(t, "m1", "/oauth2/revoke", url.Values{"token": {token}})
	if status, body := s.say(t, path, "Bearer "+token); status != http.StatusUnauthorized {
		t.Errorf("a revoked token: %d %s", status, body)
	}
}

// greeter is a service that leaves all checks to the proxy in front of it, which names the caller
// in a header. What the proxy passes on as such from outside would be believed.
func greeter(t *testing.T, header string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "Hello to "+strings.Join(r.Header.Values(header), " and ")+"!")
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// mustNotBelieve sends the header with which the proxy names the caller.
func (s *service) mustNotBelieve(t *testing.T, path, header string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, nil)
	must(t, err)
	r.Header.Set("Authorization", "Bearer "+s.o.token(t, m2URL))
	r.Header.Set(header, "m9")
	if status, body := answerOf(t, s.o.http, r); status != http.StatusOK || body != "Hello to m1!" {
		t.Errorf("%s: m9 from outside: %d %s", header, status, body)
	}
}

// debian finds a program of Debian's, also where /usr/sbin is not on the path.
func debian(t *testing.T, name, pkg string) string {
	t.Helper()
	for _, at := range []string{name, "/usr/sbin/" + name} {
		if path, err := exec.LookPath(at); err == nil {
			return path
		}
	}
	needs.Missing(t, name+" is not installed: apt-get install "+pkg)
	return ""
}

func TestHAProxy(t *testing.T) {
	program := debian(t, "haproxy", "haproxy")
	o := startOAuth(t)
	keys := t.TempDir()
	write := func() string {
		out, err := command(t, o.client(), "/usr/bin/python3", filepath.Join("clients", "haproxy-keys.py"), o.issuer, keys)
		if err != nil {
			t.Fatalf("haproxy-keys.py: %v\n%s", err, out)
		}
		return out
	}
	if first, second := write(), write(); first != "changed\n" || second != "" {
		t.Errorf("the keys are written: %q, then %q", first, second)
	}

	address := freeAddress(t)
	s := &service{o, "http://" + address}
	backend := strings.TrimPrefix(greeter(t, "X-Caller"), "http://")
	daemon(t, o.client("LISTEN="+address, "KEYS="+keys, "BACKEND="+backend), address,
		program, "-db", "-f", filepath.Join("clients", "haproxy.cfg"))
	s.try(t, "/hello")
	s.mustNotWrite(t)
	s.mustNotBelieve(t, "/hello", "X-Caller")
	o.admin(t, http.MethodPost, "/keys/rotate", struct{}{}, nil)
	s.greets(t, "/hello", o.token(t, m2URL)) // signed by what was the next key
}

func TestApache(t *testing.T) {
	const pkg = "apache2-bin libapache2-mod-oauth2"
	program := debian(t, "apache2", pkg)
	const modules = "/usr/lib/apache2/modules"
	if _, err := os.Stat(filepath.Join(modules, "mod_oauth2.so")); err != nil {
		needs.Missing(t, "mod_oauth2 is not installed: apt-get install "+pkg)
	}
	o := startOAuth(t)
	address := freeAddress(t)
	s := &service{o, "http://" + address}
	config, err := filepath.Abs(filepath.Join("clients", "apache.conf"))
	must(t, err)
	run := t.TempDir()
	t.Cleanup(func() {
		if log, err := os.ReadFile(filepath.Join(run, "error.log")); err == nil && t.Failed() {
			t.Logf("httpd says:\n%s", log)
		}
	})
	daemon(t, o.client("LISTEN="+address, "MODULES="+modules, "RUN="+run, "BACKEND="+greeter(t, "OAUTH2_CLAIM_sub"), "SSL_VERIFY=false"),
		address, program, "-d", run, "-f", config, "-D", "FOREGROUND")
	for _, path := range []string{"/hello", "/introspected/hello"} {
		t.Run(path, func(t *testing.T) {
			s.try(t, path)
			s.mustNotBelieve(t, path, "OAUTH2_CLAIM_sub")
		})
	}
	s.mustNotWrite(t)
	s.mustNoticeRevocation(t, "/introspected/hello")
}
