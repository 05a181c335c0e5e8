package interop

import (
	"crypto/tls"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestOauth4webapi(t *testing.T) {
	for name, nonce := range map[string]string{"no nonce": "false", "with a nonce": "true"} {
		t.Run(name, func(t *testing.T) {
			o := startOAuth(t, "WATCHWORD_OAUTH_DPOP_REQUIRE_NONCE="+nonce)
			env := o.client("CERT_FILE="+o.authority.file("client"), "CERT_KEY_FILE="+o.authority.file("client-key"))
			g := run(t, nodeClient(t, env, "oauth4webapi"))
			o.checkAll(t, g.Tokens, "basic", "post", "privateKeyJwt")
			o.checkBound(t, g)
			o.checkExchanged(t, g)
			o.checkIntrospection(t, g)
			if tries := map[string]int{"false": 1, "true": 2}[nonce]; g.DPoPTries != tries {
				t.Errorf("%d requests for a bound token, want %d", g.DPoPTries, tries)
			}
			if !g.SameMetadata || g.Metadata["token_endpoint"] != o.issuer+"/oauth2/token" {
				t.Errorf("the same under both addresses: %v, %v", g.SameMetadata, g.Metadata)
			}
			if g.Seen.Subject != "m1" || g.AsBearer != "refused" {
				t.Errorf("m2 sees %+v, and a bound token sent as a bearer token is %s", g.Seen, g.AsBearer)
			}
			if g.Signed != g.Introspection {
				t.Errorf("signed introspection: %+v", g.Signed)
			}
		})
	}
}

func TestOpenidClient(t *testing.T) {
	o := startOAuth(t, "WATCHWORD_OAUTH_DPOP_REQUIRE_NONCE=true")
	api := strings.Replace(listening(t, nodeClient(t, o.client(), "express-oauth2-jwt-bearer")), "http:", "https:", 1)
	g := run(t, nodeClient(t, o.client("API_URL="+api+"/hello"), "openid-client"))
	o.checkAll(t, g.Tokens, "basic", "post", "privateKeyJwt")
	o.checkBound(t, g)
	o.checkExchanged(t, g)
	o.checkIntrospection(t, g)
	for _, how := range []string{"bearer", "dpop"} {
		if g.Calls[how] != "Hello to m1!" {
			t.Errorf("a call with a %s token: %q", how, g.Calls[how])
		}
	}
}

// checkBound looks at the tokens that are bound to a key and to a certificate.
func (o *oauth) checkBound(t *testing.T, g got) {
	t.Helper()
	dpop, mtls := g.Tokens["dpop"], g.Tokens["mtls"]
	if c := o.check(t, "dpop", dpop, m2URL); !strings.EqualFold(dpop.TokenType, "DPoP") || c.Confirmation["jkt"] == "" {
		t.Errorf("dpop: type %s, %+v", dpop.TokenType, c)
	}
	if c := o.check(t, "mtls", mtls, m2URL); !strings.EqualFold(mtls.TokenType, "Bearer") || c.Confirmation["x5t#S256"] == "" {
		t.Errorf("mtls: type %s, %+v", mtls.TokenType, c)
	}
}

// checkExchanged looks at the token that m2 got for m3 on behalf of m1 (RFC 8693).
func (o *oauth) checkExchanged(t *testing.T, g got) {
	t.Helper()
	answer := g.Tokens["exchanged"]
	c := o.check(t, "exchanged", answer, m3URL)
	if c.ClientID != "m2" || c.Actor == nil || c.Actor.Subject != "m2" || c.Scope != "read" ||
		answer.IssuedTokenType != "urn:ietf:params:oauth:token-type:access_token" {
		t.Errorf("exchanged: %+v, %+v", answer, c)
	}
}

func TestExpressOAuth2JWTBearer(t *testing.T) {
	o := startOAuth(t)
	s := &service{o, strings.Replace(listening(t, nodeClient(t, o.client(), "express-oauth2-jwt-bearer")), "http:", "https:", 1)}
	s.try(t, "/hello")
	s.mustNotWrite(t)

	// A token bound to a certificate is good for who presents it, and for nobody else (RFC 8705).
	cert, err := tls.LoadX509KeyPair(o.authority.file("client"), o.authority.file("client-key"))
	must(t, err)
	transport := o.http.Transport.(*http.Transport).Clone()
	transport.TLSClientConfig.Certificates = []tls.Certificate{cert}
	defer transport.CloseIdleConnections()
	certified := &oauth{server: o.server, issuer: o.issuer, http: &http.Client{Transport: transport}, secrets: o.secrets}
	bound := certified.certificateToken(t)
	(&service{certified, s.url}).greets(t, "/hello", bound)
	if status, body := s.say(t, "/hello", "Bearer "+bound); status != http.StatusUnauthorized && status != http.StatusBadRequest {
		t.Errorf("without the certificate: %d %s", status, body)
	}
}

// certificateToken gets a token with the certificate that is presented, and nothing else.
func (o *oauth) certificateToken(t *testing.T) string {
	t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {"m1"}, "resource": {m2URL}, "scope": {"read"}}
	answer, err := o.http.PostForm(o.issuer+"/oauth2/token", form)
	must(t, err)
	defer answer.Body.Close()
	var token tokenAnswer
	if err := json.NewDecoder(answer.Body).Decode(&token); err != nil || token.AccessToken == "" {
		t.Fatalf("%s: %v, %+v", answer.Status, err, token)
	}
	return token.AccessToken
}
