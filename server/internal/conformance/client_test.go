package conformance

import (
	"crypto/rand"
	"crypto/tls"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// variant is one way through a module: how clients prove themselves, how their tokens are bound,
// and whether servers ask for nonces. The plan's client_auth_type=mtls is two methods.
type variant struct {
	auth   string // private_key_jwt, tls_client_auth or self_signed_tls_client_auth
	bound  string // dpop or mtls
	nonces bool
	alg    string // of assertions and proofs
}

func (v variant) String() string {
	s := v.auth + "/" + v.bound
	if v.nonces {
		s += "/nonces"
	}
	return s + "/" + v.alg
}

func (v variant) world() *world {
	if v.nonces {
		return worlds[1]
	}
	return worlds[0]
}

const privateKeyJWT = "private_key_jwt"

// authMethods that FAPI 2.0 permits (Security Profile, section 5.3.2.1, item 6).
var authMethods = []string{privateKeyJWT, "tls_client_auth", "self_signed_tls_client_auth"}

// variants are all a module may be run in. Each of its filters says which it applies to.
func variants(applies ...func(variant) bool) (all []variant) {
	for _, auth := range authMethods {
		for _, v := range []variant{
			{auth, "dpop", false, "ES256"},
			{auth, "dpop", true, "ES256"},
			{auth, "mtls", false, "ES256"},
		} {
			ok := true
			for _, f := range applies {
				ok = ok && f(v)
			}
			if ok {
				all = append(all, v)
			}
		}
	}
	return all
}

func withDPoP(v variant) bool      { return v.bound == "dpop" }
func withAssertion(v variant) bool { return v.auth == privateKeyJWT }

// inAll runs a module in each of its variants, with two clients whose keys differ.
func inAll(t *testing.T, all []variant, module func(t *testing.T, c, second *client)) {
	for _, v := range all {
		t.Run(v.String(), func(t *testing.T) { module(t, newClient(t, v), newClient(t, v)) })
	}
}

// client is a registered one.
type client struct {
	variant
	w           *world
	id          string
	key         *key             // signs assertions
	proofKey    *key             // signs proofs
	certificate *tls.Certificate // nil where none is needed
	shows, bare *http.Client     // which present the certificate, or do not

	endpoint                        string // from the metadata
	tokenNonce, resourceNonce       string // what the servers asked for last
	sawTokenNonce, sawResourceNonce bool
}

func newClient(t *testing.T, v variant, terms ...func(service map[string]any)) *client {
	t.Helper()
	c := &client{variant: v, w: v.world(), id: "client" + rand.Text()[:12], proofKey: newKey(t, v.alg)}
	c.bare = c.w.anyone
	c.shows = c.bare
	credential := map[string]any{"kind": "key"}
	if v.auth == privateKeyJWT {
		c.key = newKey(t, v.alg)
		credential["jwk"] = c.key.jwk()
	}
	if v.auth != privateKeyJWT || v.bound == "mtls" {
		certificate, err := c.w.ca.issue(leaf{cn: c.id, selfSigned: v.auth == "self_signed_tls_client_auth"})
		if err != nil {
			t.Fatal(err)
		}
		c.certificate, c.shows = &certificate, c.w.client(&certificate)
		t.Cleanup(c.shows.CloseIdleConnections)
	}
	switch v.auth {
	case "tls_client_auth":
		credential = map[string]any{"kind": "tls_subject", "tlsSubject": map[string]any{"dn": c.certificate.Leaf.Subject.String()}}
	case "self_signed_tls_client_auth":
		credential = map[string]any{"kind": "certificate", "certificate": string(pemOf(c.certificate.Leaf))}
	}
	service := map[string]any{"name": c.id, "authMethods": []string{v.auth}, "binding": v.bound}
	for _, f := range terms {
		f(service)
	}
	c.operate(t, "POST", "/services", service)
	c.operate(t, "POST", "/services/"+c.id+"/credentials", credential)
	c.operate(t, "PUT", "/rules/"+c.id+"/resource", map[string]any{"scopes": []string{scope}})
	c.endpoint = c.discover(t)
	return c
}

func (c *client) operate(t *testing.T, method, path string, body any) {
	t.Helper()
	if _, err := c.w.operate(method, path, body); err != nil {
		t.Fatal(err)
	}
}

// discover is where this client asks for tokens (RFC 8414; RFC 8705, section 5; conditions
// AddMTLSEndpointAliasesToEnvironment, CheckClientCredentialsOnlyServerConfiguration).
func (c *client) discover(t *testing.T) string {
	t.Helper()
	m := metadata(t, c.w)
	endpoint := m.text("token_endpoint")
	if aliases, ok := m.object["mtls_endpoint_aliases"].(map[string]any); ok && c.certificate != nil {
		endpoint, _ = aliases["token_endpoint"].(string)
	}
	if endpoint == "" || m.text("issuer") != issuer {
		t.Fatalf("metadata lacks what every client needs: %s", m.body)
	}
	return endpoint
}

// change is what a module does to the header or the claims of an assertion or a proof.
type change func(header, claims map[string]any)

// tokenSteps are what a module does otherwise when it asks for a token.
type tokenSteps struct {
	authenticate func(form url.Values) // instead of what the client does
	assertion    change
	proof        change
	unbound      bool // no proof, and no certificate where that binds
}

// ask asks for a token, a second time if a nonce is wanted.
func (c *client) ask(t *testing.T, s tokenSteps) answer {
	t.Helper()
	for try := 0; ; try++ {
		a := c.askOnce(t, s)
		if a.text("error") != "use_dpop_nonce" || try == 1 {
			return a
		}
		if a.status != http.StatusBadRequest {
			t.Errorf("use_dpop_nonce came with status %d", a.status)
		}
		c.sawTokenNonce = true
	}
}

func (c *client) askOnce(t *testing.T, s tokenSteps) answer {
	t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {scope}, "resource": {resourceURL}}
	switch {
	case s.authenticate != nil:
		s.authenticate(form)
	case c.auth == privateKeyJWT:
		c.assert(t, form, c.key, s.assertion)
	default:
		form.Set("client_id", c.id) // RFC 8705, section 2
	}
	r, err := http.NewRequest(http.MethodPost, c.endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	if c.bound == "dpop" && !s.unbound {
		header, claims := c.proof(http.MethodPost, c.endpoint, c.tokenNonce)
		if s.proof != nil {
			s.proof(header, claims)
		}
		r.Header.Set("DPoP", c.proofKey.sign(t, header, claims))
	}
	by := c.shows
	if c.bound == "mtls" && s.unbound {
		by = c.bare
	}
	a, err := send(by, r)
	if err != nil {
		t.Fatal(err)
	}
	keepNonce(t, a, &c.tokenNonce)
	return a
}

// assert adds an assertion of c, signed by k (condition CreateClientAuthenticationAssertionClaims,
// and the steps after it).
func (c *client) assert(t *testing.T, form url.Values, k *key, edit change) {
	t.Helper()
	now := time.Now().Unix()
	header := map[string]any{"alg": k.alg, "kid": k.kid}
	claims := map[string]any{"iss": c.id, "sub": c.id, "aud": issuer, "jti": rand.Text(), "iat": now, "exp": now + 60}
	if edit != nil {
		edit(header, claims)
	}
	form.Set("client_assertion", k.sign(t, header, claims))
	form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
}

// proof is a DPoP proof to be (conditions CreateDpopHeader, CreateDpopClaims, SetDpopHtmHtu...,
// SetDpopProofNonce...).
func (c *client) proof(method, at, nonce string) (header, claims map[string]any) {
	header = map[string]any{"typ": "dpop+jwt", "alg": c.proofKey.alg, "jwk": c.proofKey.jwk()}
	claims = map[string]any{"jti": rand.Text(), "htm": method, "htu": at, "iat": time.Now().Unix()}
	if nonce != "" {
		claims["nonce"] = nonce
	}
	return header, claims
}

// keepNonce remembers the nonce to use next (RFC 9449, sections 8 and 9), which has only characters
// of NQCHAR (section 8.1; condition EnsureDpopNonceContainsAllowedCharactersOnly).
func keepNonce(t *testing.T, a answer, nonce *string) {
	t.Helper()
	switch values := a.header.Values("DPoP-Nonce"); len(values) {
	case 0:
		return
	case 1:
		*nonce = values[0]
	default:
		t.Errorf("%d DPoP-Nonce headers: %q", len(values), values)
	}
	for _, c := range *nonce {
		if c != 0x21 && (c < 0x23 || c > 0x5b) && (c < 0x5d || c > 0x7e) {
			t.Errorf("nonce %q has %q", *nonce, c)
		}
	}
}
