package conformance

import (
	"encoding/json"
	"math"
	"mime"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// token asks for a token that must be given, and checks all that the modules check of such an
// answer (processTokenEndpointResponse).
func (c *client) token(t *testing.T, s tokenSteps) token {
	t.Helper()
	a := c.ask(t, s)
	if a.status != http.StatusOK || a.text("error") != "" {
		t.Fatalf("no token: %d %s", a.status, a.body)
	}
	checkJSON(t, a)
	tok := token{a.text("access_token"), a.text("token_type")}
	// EnsureMinimumAccessTokenLength and -Entropy: 128 bits, of which the measure may miss some.
	if len(tok.value)*6 < 128 || entropy(tok.value) <= 96 {
		t.Errorf("the access token has %d characters and %.0f bits", len(tok.value), entropy(tok.value))
	}
	if seconds, ok := a.object["expires_in"].(float64); !ok || seconds != math.Trunc(seconds) || seconds <= 0 || seconds > 31536000 {
		t.Errorf("expires_in is %v", a.object["expires_in"])
	}
	for _, never := range []string{"refresh_token", "id_token"} { // RFC 6749, section 4.4.3
		if v, ok := a.object[never]; ok {
			t.Errorf("there is a %s: %v", never, v)
		}
	}
	if got := a.text("scope"); got != "" && got != scope {
		t.Errorf("scope is %q", got)
	}
	c.checkBinding(t, tok)
	return tok
}

// checkBinding: RFC 9449, sections 5 and 6.1; RFC 8705, section 3.1.
func (c *client) checkBinding(t *testing.T, tok token) {
	t.Helper()
	kind, name, want := "DPoP", "jkt", c.proofKey.thumbprint()
	if c.bound == "mtls" {
		kind, name, want = "Bearer", "x5t#S256", hash(string(c.certificate.Certificate[0]))
	}
	cnf, _ := decode(t, tok.value, 1)["cnf"].(map[string]any)
	if tok.kind != kind || len(cnf) != 1 || cnf[name] != want {
		t.Errorf("a %s token with cnf %v, want %s and %s %s", tok.kind, cnf, kind, name, want)
	}
}

// refused asks for a token that must not be given, and for one after that which must be: so what the
// module did is what was refused.
func (c *client) refused(t *testing.T, s tokenSteps, status int, code string) {
	t.Helper()
	checkError(t, c.ask(t, s), status, code)
	c.token(t, tokenSteps{})
}

// checkError is what all modules check of an error (RFC 6749, section 5.2; conditions
// CheckTokenEndpointReturnedJsonContentType, ValidateErrorFromTokenEndpointResponseError and those
// after it). Of the codes and the status a module allows, status and code are ours.
func checkError(t *testing.T, a answer, status int, code string) {
	t.Helper()
	if a.status != status || a.text("error") != code {
		t.Errorf("got %d %s, want %d %s", a.status, a.body, status, code)
	}
	checkJSON(t, a)
	for member, v := range a.object {
		s, ok := v.(string)
		if !ok || strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r > 0x7e || r == '"' || r == '\\' }) {
			t.Errorf("%s is %v", member, v)
		}
		if member == "error_uri" && strings.Contains(s, " ") {
			t.Errorf("error_uri is %q", s)
		}
	}
}

// checkJSON: RFC 6749, sections 5.1 and 5.2.
func checkJSON(t *testing.T, a answer) {
	t.Helper()
	if media, _, err := mime.ParseMediaType(a.header.Get("Content-Type")); err != nil || media != "application/json" || a.object == nil {
		t.Errorf("no JSON but %q: %s", a.header.Get("Content-Type"), a.body)
	}
	if a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("Cache-Control is %q", a.header.Get("Cache-Control"))
	}
}

// entropy is Shannon's, in bits (AbstractEnsureMinimumEntropy).
func entropy(s string) (bits float64) {
	count := map[rune]float64{}
	for _, c := range s {
		count[c]++
	}
	n := float64(len(s))
	for _, c := range count {
		bits -= c * math.Log2(c/n)
	}
	return bits
}

// metadata of the server (condition GetOauthDynamicServerConfiguration).
func metadata(t *testing.T, w *world) answer {
	t.Helper()
	return get(t, w, issuer+"/.well-known/oauth-authorization-server")
}

func get(t *testing.T, w *world, from string) answer {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, from, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := send(w.anyone, r)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// list is a member that is a list of strings, as RFC 8414, section 2, has many.
func (a answer) list(t *testing.T, member string) (values []string) {
	t.Helper()
	b, err := json.Marshal(a.object[member])
	if err == nil {
		err = json.Unmarshal(b, &values)
	}
	if err != nil {
		t.Errorf("%s: %v", member, err)
	}
	slices.Sort(values)
	return values
}
