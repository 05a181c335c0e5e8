package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// numbered is a source that returns another token each time, and records for which audiences it was asked.
type numbered struct{ audiences []string }

func (n *numbered) Token(_ context.Context, audience string) (string, error) {
	n.audiences = append(n.audiences, audience)
	return fmt.Sprintf("a.b.%d", len(n.audiences)), nil
}

// RFC 7523, section 2.2, and draft-ietf-oauth-spiffe-client-auth-02.
func TestPlatformTokenIsTheAssertionOfItsMethod(t *testing.T) {
	const id = "spiffe://example.org/m1"
	for _, c := range []struct {
		method   func(string, PlatformTokenSource) *Auth
		clientID string
		kind     string
	}{
		{WorkloadJWT, "", assertionType},
		{WorkloadJWT, "m1", assertionType},
		{SPIFFEJWT, "", "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"},
		{SPIFFEJWT, id, "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"},
	} {
		source := &numbered{}
		a := c.method(c.clientID, source)
		for i := range 2 {
			want := url.Values{"client_assertion_type": {c.kind}, "client_assertion": {fmt.Sprintf("a.b.%d", i+1)}}
			if c.clientID != "" {
				want.Set("client_id", c.clientID)
			}
			if r := prove(t, a); r.form.Encode() != want.Encode() || len(r.header) != 0 || r.caller != "" {
				t.Errorf("%s: form %v, header %v; want %v", a.Method(), r.form, r.header, want)
			}
		}
		if want := []string{"https://as.example/x", "https://as.example/x"}; !slices.Equal(source.audiences, want) {
			t.Errorf("%s: asked for the audiences %q, want the issuer each time", a.Method(), source.audiences)
		}
	}
	if r := prove(t, SPIFFEX509(id)); r.form.Encode() != (url.Values{"client_id": {id}}).Encode() {
		t.Errorf("spiffe_x509: form %v", r.form)
	}
}

// A token that the server accepts once must not be sent twice, not even in the request that has the nonce that the
// server required.
func TestPlatformIsAskedForEachRequestToTheServer(t *testing.T) {
	for name, c := range map[string]struct {
		edit   func(*Config, PlatformTokenSource)
		tokens func(*http.Request) string
	}{
		"plain": {func(cfg *Config, p PlatformTokenSource) { cfg.Platform = p }, func(r *http.Request) string {
			return strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		}},
		"oauth": {func(cfg *Config, p PlatformTokenSource) { cfg.Auth = WorkloadJWT("m1", p) }, func(r *http.Request) string {
			return r.FormValue("client_assertion")
		}},
	} {
		var sent []string
		server := roundTripFunc(func(r *http.Request) (*http.Response, error) {
			answer := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Request: r, Body: newBody(`{"access_token":"t","token_type":"DPoP","expires_in":60}`)}
			if r.Method == http.MethodGet {
				answer.Body = newBody(metadataOf("http://localhost:8000", "http://localhost:8000/oauth2/token"))
				return answer, nil
			}
			if sent = append(sent, c.tokens(r)); len(sent) == 1 {
				answer.StatusCode, answer.Body = http.StatusBadRequest, newBody(`{"error":"use_dpop_nonce"}`)
				answer.Header.Set("DPoP-Nonce", "n")
			}
			return answer, nil
		})
		source := &numbered{}
		cl := newClient(t, server, func(cfg *Config) {
			cfg.Credential, cfg.DPoP = nil, &DPoP{}
			c.edit(cfg, source)
		})
		mustToken(t, cl.TokenSource("m2"))
		mustToken(t, cl.TokenSource("m3"))
		if got := strings.Join(sent, " "); got != "a.b.1 a.b.2 a.b.3" {
			t.Errorf("%s: sent %s, want each token once", name, got)
		}
		if got := strings.Join(source.audiences, " "); got != strings.Repeat("http://localhost:8000 ", 2)+"http://localhost:8000" {
			t.Errorf("%s: asked for the audiences %s", name, got)
		}
	}
}

// A server that says that it is another one would get a token with which it could call itself this service there.
func TestNoPlatformTokenForAServerThatNamesAnotherIssuer(t *testing.T) {
	for name, edit := range map[string]func(*Config, PlatformTokenSource){
		"plain": func(cfg *Config, p PlatformTokenSource) { cfg.Platform = p },
		"oauth": func(cfg *Config, p PlatformTokenSource) { cfg.Auth = WorkloadJWT("m1", p) },
	} {
		f := &front{RoundTripper: &fakeServer{ttl: time.Hour}, status: 200, body: metadataOf("https://victim.example", "http://localhost:8000/oauth2/token")}
		source := &numbered{}
		c := newClient(t, f, func(cfg *Config) {
			cfg.Credential = nil
			edit(cfg, source)
		})
		_, err := c.TokenSource("m2").Token(t.Context())
		if _, ok := errors.AsType[*UnavailableError](err); !ok || !strings.Contains(err.Error(), `for issuer "https://victim.example"`) || len(source.audiences) != 0 {
			t.Errorf("%s: got %v, and the platform was asked for %q", name, err, source.audiences)
		}
	}
}

func TestPlatformTokenThatFitsNoHeaderIsNotSent(t *testing.T) {
	for _, text := range []string{"", "hunter2 x", "hunter2\r\nEvil: 1", strings.Repeat("a", maxCredential+1)} {
		for name, endpoint := range endpoints {
			if !strings.HasPrefix(name, "platform") {
				continue
			}
			s := &fakeServer{}
			c := newClient(t, s, func(cfg *Config) { cfg.Credential = Static(text) }, endpoint)
			if _, err := c.TokenSource("m2").Token(t.Context()); err == nil || strings.Contains(err.Error(), "hunter2") || len(s.requests()) > 0 {
				t.Errorf("%s, %.20q: got %v", name, text, err)
			}
		}
	}
}

// A source of the program may have secrets in its fields, so printing a client does not print it.
func TestClientTellsWhereItsPlatformTokensComeFrom(t *testing.T) {
	for want, edit := range map[string]func(*Config){
		"http://localhost:8000 by bootstrap":                                                        func(*Config) {},
		"http://localhost:8000 by workload_jwt with file /x":                                        func(cfg *Config) { cfg.Credential, cfg.Platform = nil, TokenFile("/x") },
		"http://localhost:8000 by spiffe_jwt with GitHub Actions for the audience y":                func(cfg *Config) { cfg.Credential, cfg.Auth = nil, SPIFFEJWT("", ForAudience("y", GitHubActions())) },
		"http://localhost:8000 by workload_jwt with a source of the program":                        func(cfg *Config) { cfg.Credential, cfg.Platform = nil, secretive{"hunter2"} },
		"http://localhost:8000 by workload_jwt with a source of the program for the audience hello": func(cfg *Config) { cfg.Credential, cfg.Platform = nil, ForAudience("hello", secretive{"hunter2"}) },
	} {
		if got := fmt.Sprint(newClient(t, &fakeServer{}, edit)); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

type secretive struct{ secret string }

func (s secretive) Token(context.Context, string) (string, error) { return s.secret, nil }
