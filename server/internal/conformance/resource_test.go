package conformance

import (
	"net/http"
	"strings"
	"testing"
)

// token is one that was given.
type token struct{ value, kind string }

// resourceSteps are what a module does otherwise when it calls the resource.
type resourceSteps struct {
	proof   change                                                   // before it is signed
	key     *key                                                     // signs it instead of the client's
	sign    func(t *testing.T, header, claims map[string]any) string // instead of signing it
	signed  func(t *testing.T, proof string) string                  // what becomes of it then
	request func(t *testing.T, r *http.Request, proof string)        // last
	withURL string                                                   // instead of the resource's
	by      *client                                                  // whose key or certificate it is
}

// call calls the resource, a second time if a nonce is wanted.
func (c *client) call(t *testing.T, tok token, s resourceSteps) answer {
	t.Helper()
	for try := 0; ; try++ {
		a := c.callOnce(t, tok, s)
		if !strings.Contains(a.header.Get("WWW-Authenticate"), `error="use_dpop_nonce"`) || try == 1 {
			return a
		}
		if a.status != http.StatusUnauthorized {
			t.Errorf("use_dpop_nonce came with status %d", a.status)
		}
		c.sawResourceNonce = true
	}
}

func (c *client) callOnce(t *testing.T, tok token, s resourceSteps) answer {
	t.Helper()
	to := resourceURL
	if s.withURL != "" {
		to = s.withURL
	}
	r, err := http.NewRequest(http.MethodGet, to, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", tok.kind+" "+tok.value)
	by := c
	if s.by != nil {
		by = s.by
	}
	proof := ""
	if c.bound == "dpop" {
		proof = by.resourceProof(t, tok, s, c.resourceNonce)
		r.Header.Set("DPoP", proof)
	}
	if s.request != nil {
		s.request(t, r, proof)
	}
	// The certificate of a client whose tokens are bound to its key is for the token endpoint.
	with := by.bare
	if c.bound == "mtls" {
		with = by.shows
	}
	a, err := send(with, r)
	if err != nil {
		t.Fatal(err)
	}
	keepNonce(t, a, &c.resourceNonce)
	return a
}

func (c *client) resourceProof(t *testing.T, tok token, s resourceSteps, nonce string) string {
	t.Helper()
	header, claims := c.proof(http.MethodGet, resourceURL, nonce)
	k := c.proofKey
	if s.key != nil {
		k = s.key
		header["jwk"] = k.jwk()
	}
	claims["ath"] = hash(tok.value)
	if s.proof != nil {
		s.proof(header, claims)
	}
	proof := ""
	if s.sign != nil {
		proof = s.sign(t, header, claims)
	} else {
		proof = k.sign(t, header, claims)
	}
	if s.signed != nil {
		proof = s.signed(t, proof)
	}
	return proof
}

// reach calls the resource and expects to get what it has (conditions EnsureHttpStatusCodeIs200or201,
// CheckForDateHeaderInResourceResponse).
func (c *client) reach(t *testing.T, tok token, s resourceSteps) {
	t.Helper()
	a := c.call(t, tok, s)
	if a.status != http.StatusOK || a.text("caller") != c.id {
		t.Errorf("the resource answers %d %s%s", a.status, a.header.Get("WWW-Authenticate"), a.body)
	}
	if _, err := http.ParseTime(a.header.Get("Date")); err != nil {
		t.Errorf("Date: %v", err)
	}
}

// refusedAt calls the resource and expects 401 and this error. The suite takes 400 or 401, and looks
// at no error; RFC 9449, section 7.1, and RFC 6750, section 3.1, say which.
func (c *client) refusedAt(t *testing.T, tok token, s resourceSteps, code string) {
	t.Helper()
	a := c.call(t, tok, s)
	challenges := strings.Join(a.header.Values("WWW-Authenticate"), ", ")
	scheme := "DPoP "
	if c.bound == "mtls" {
		scheme = "Bearer "
	}
	if a.status != http.StatusUnauthorized || !strings.Contains(challenges, `error="`+code+`"`) || !strings.HasPrefix(challenges, scheme) {
		t.Errorf("got %d with %q, want 401 and %s", a.status, challenges, code)
	}
}
