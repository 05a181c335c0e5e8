package interop

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/watchword-dev/watchword/internal/jose"
)

// Audiences of the services m2 and m3, as clients name them (RFC 8707).
const (
	m2URL = "https://m2.test/"
	m3URL = "https://m3.test/"
)

// oauth is a server with TLS and three services: m1 may call m2 and m3, and m2 may call m3 on
// behalf of others. m1 has a credential of each kind, m2 a secret.
type oauth struct {
	*server
	issuer    string
	authority *authority
	http      *http.Client
	secrets   map[string]string   // by service
	refused   map[string]answered // see refuses
}

func startOAuth(t *testing.T, settings ...string) *oauth {
	t.Helper()
	a := newAuthority(t)
	a.server(t)
	address := freeAddress(t) // the issuer has the port in it
	o := &oauth{issuer: "https://" + address, authority: a, secrets: map[string]string{}}
	o.server = startServer(t, append([]string{
		"WATCHWORD_ISSUER=" + o.issuer, "WATCHWORD_LISTEN=" + address,
		"WATCHWORD_TLS_CERT_FILE=" + a.file("server"), "WATCHWORD_TLS_KEY_FILE=" + a.file("server-key"),
		"WATCHWORD_TLS_CLIENT_CA_FILE=" + a.file("authority"),
	}, settings...)...)
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	o.http = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	t.Cleanup(o.http.CloseIdleConnections)
	o.populate(t)
	return o
}

// populate does what an operator does.
func (o *oauth) populate(t *testing.T) {
	t.Helper()
	o.authority.client(t, "m1.test")
	script, err := filepath.Abs(filepath.Join("clients", "setup.sh"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "sh", script)
	cmd.Dir = o.authority.dir
	cmd.Env = append(slices.Clone(o.env), "PATH="+filepath.Dir(program(t))+string(filepath.ListSeparator)+os.Getenv("PATH"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("setup.sh: %v\n%s", err, out)
	}
	for _, name := range []string{"m1", "m2"} {
		b, err := os.ReadFile(filepath.Join(o.authority.dir, name+".secret"))
		if err != nil {
			t.Fatal(err)
		}
		o.secrets[name] = strings.TrimSpace(string(b))
	}
}

func (o *oauth) credential(t *testing.T, service string, body, answer any) {
	t.Helper()
	o.admin(t, http.MethodPost, "/services/"+service+"/credentials", body, answer)
}

// admin makes a call of the operator's API and reads its answer, if one is wanted.
func (o *oauth) admin(t *testing.T, method, path string, body, answer any) {
	t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, o.operators+"/admin/v1"+path, bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+o.operatorToken(t))
	status, got := answerOf(t, http.DefaultClient, r)
	if status/100 != 2 {
		t.Fatalf("%s %s: %d %s", method, path, status, got)
	}
	if answer == nil {
		return
	}
	if err := json.Unmarshal([]byte(got), answer); err != nil {
		t.Fatalf("%s %s: %s: %v", method, path, got, err)
	}
}

// client is the environment of a client m1 that calls m2, and of m2.
func (o *oauth) client(more ...string) []string {
	a := o.authority
	return append([]string{
		"ISSUER=" + o.issuer, "RESOURCE=" + m2URL, "NEXT_RESOURCE=" + m3URL,
		"CLIENT_ID=m1", "CLIENT_SECRET=" + o.secrets["m1"], "KEY_FILE=" + filepath.Join(a.dir, "m1.jwk"),
		"CERT_FILE=" + a.file("self"), "CERT_KEY_FILE=" + a.file("self-key"),
		"CALLEE_ID=m2", "CALLEE_SECRET=" + o.secrets["m2"],
		"TLS_CERT_FILE=" + a.file("server"), "TLS_KEY_FILE=" + a.file("server-key"),
		"NODE_EXTRA_CA_CERTS=" + a.file("authority"), "SSL_CERT_FILE=" + a.file("authority"),
		"REQUESTS_CA_BUNDLE=" + a.file("authority"),
	}, more...)
}

// token gets one for m1, with its secret.
func (o *oauth) token(t *testing.T, resource string) string {
	t.Helper()
	var answer tokenAnswer
	form := url.Values{"grant_type": {"client_credentials"}, "resource": {resource}, "scope": {"read"}}
	if err := json.Unmarshal([]byte(o.post(t, "m1", "/oauth2/token", form)), &answer); err != nil {
		t.Fatal(err)
	}
	return answer.AccessToken
}

// post sends a form to an endpoint, as a service with a secret.
func (o *oauth) post(t *testing.T, service, path string, form url.Values) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, o.issuer+path, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(service, o.secrets[service])
	status, body := answerOf(t, o.http, r)
	if status != http.StatusOK {
		t.Fatalf("%s: %d %s", path, status, body)
	}
	return body
}

// tokenAnswer is what clients make of a token response (RFC 6749, section 5.1).
type tokenAnswer struct {
	AccessToken     string `json:"access_token"`
	TokenType       string `json:"token_type"`
	IssuedTokenType string `json:"issued_token_type"`
}

// tokenClaims are what a token says (RFC 9068).
type tokenClaims struct {
	Issuer   string `json:"iss"`
	Subject  string `json:"sub"`
	Audience any    `json:"aud"`
	ClientID string `json:"client_id"`
	Scope    string `json:"scope"`
	Actor    *struct {
		Subject string `json:"sub"`
	} `json:"act"`
	Confirmation map[string]string `json:"cnf"`
}

// check verifies an answer that m1 got for a token for the audience, and returns its claims.
func (o *oauth) check(t *testing.T, name string, answer tokenAnswer, audience string) (c tokenClaims) {
	t.Helper()
	token, err := jose.Parse(answer.AccessToken)
	if err != nil {
		t.Errorf("%s: %q: %v", name, answer.AccessToken, err)
		return c
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, o.issuer+"/.well-known/jwks.json", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, body := answerOf(t, o.http, r)
	set, err := jose.ParseKeySet([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	if err := token.Verify(set, []jose.Algorithm{jose.ES256}); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	if err := json.Unmarshal(token.Payload, &c); err != nil {
		t.Fatal(err)
	}
	if token.Type != "at+jwt" || c.Issuer != o.issuer || c.Subject != "m1" || c.Audience != audience {
		t.Errorf("%s: typ %s, claims %s", name, token.Type, token.Payload)
	}
	return c
}

// checkAll checks what clients get with no more than a secret or a key: bearer tokens for m2.
func (o *oauth) checkAll(t *testing.T, tokens map[string]tokenAnswer, names ...string) {
	t.Helper()
	for _, name := range names {
		answer := tokens[name]
		c := o.check(t, name, answer, m2URL)
		// RFC 6749, section 7.1: the type is case insensitive; some clients make it lower case.
		if !strings.EqualFold(answer.TokenType, "Bearer") || c.ClientID != "m1" || c.Confirmation != nil || c.Actor != nil {
			t.Errorf("%s: type %s, %+v", name, answer.TokenType, c)
		}
	}
}

// freeAddress is one on loopback that nobody listened on a moment ago. It is below the ports that
// systems hand out by themselves, so that nobody is given it before the one it is for.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		address := "127.0.0.1:" + strconv.Itoa(20000+rand.IntN(10000))
		if l, err := net.Listen("tcp", address); err == nil {
			l.Close()
			return address
		}
	}
	t.Fatal("no free port")
	return ""
}

func answerOf(t *testing.T, c *http.Client, r *http.Request) (status int, body string) {
	t.Helper()
	answer, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(b)
}

// forged is a token with another subject, under the signature of the first.
func forged(token, header string) string {
	parts := strings.Split(token, ".")
	payload, _ := base64.RawURLEncoding.DecodeString(parts[1]) // it came from the server
	other := bytes.Replace(payload, []byte(`"sub":"m1"`), []byte(`"sub":"m9"`), 1)
	if header != "" {
		parts[0] = base64.RawURLEncoding.EncodeToString([]byte(header))
		parts[2] = ""
	}
	return parts[0] + "." + base64.RawURLEncoding.EncodeToString(other) + "." + parts[2]
}
