package client_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/client"
	"github.com/watchword-dev/watchword/verify"
)

func claimsOf(t *testing.T, token client.Token) map[string]any {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(strings.Split(token.Reveal(), ".")[1])
	must(t, err)
	var claims map[string]any
	must(t, json.Unmarshal(b, &claims))
	return claims
}

func TestExchangeNamesTheCallerAndTheActorAndIsKeptPerCaller(t *testing.T) {
	s := newServer(t)
	s.AllowExchange("m2", "m3", "read", "write")
	c := newClient(t, s.URL, func(cfg *client.Config) { cfg.Auth = client.ClientSecretBasic("m2", client.Static(s.Secret("m2"))) })
	one, other := s.Token("m1", "m2", "read"), s.Token("m9", "m2")
	first, err := c.Exchange(t.Context(), one, "m3", "write", "read")
	must(t, err)
	claims := claimsOf(t, first)
	if claims["sub"] != "m1" || claims["aud"] != "m3" || fmt.Sprint(claims["act"]) != "map[sub:m2]" || claims["scope"] != "read write" {
		t.Errorf("claims %v", claims)
	}
	for range 3 {
		if again, err := c.Exchange(t.Context(), one, "m3", "read", "write"); err != nil || again.Reveal() != first.Reveal() {
			t.Errorf("the same question: %v, another token: %v", err, again.Reveal() != first.Reveal())
		}
	}
	if s.Requests() != 1 {
		t.Errorf("%d requests, want 1", s.Requests())
	}
	second, err := c.Exchange(t.Context(), other, "m3", "read", "write")
	if err != nil || claimsOf(t, second)["sub"] != "m9" {
		t.Errorf("another caller: %v, %v", claimsOf(t, second), err)
	}
	var denied *client.DeniedError
	if _, err := c.Exchange(t.Context(), one, "m4"); !errors.As(err, &denied) || !denied.Exchange || !strings.Contains(err.Error(), "no rule allows") {
		t.Errorf("no rule: got %v", err)
	}
}

func TestImpersonationIsAskedForAndKeptApart(t *testing.T) {
	s := newServer(t)
	s.AllowExchange("m2", "m3")
	s.AllowImpersonation("m2", "m4")
	c := newClient(t, s.URL, func(cfg *client.Config) { cfg.Credential = client.Static(s.Credential("m2")) }) // at the OAuth token endpoint
	incoming := s.Token("m1", "m2")
	if _, err := c.ExchangeSource(incoming, "m3").Impersonate().Token(t.Context()); err == nil {
		t.Error("no rule allows impersonation, and there is a token")
	}
	for _, impersonate := range []bool{false, true, false} {
		source := c.ExchangeSource(incoming, "m4")
		if impersonate {
			source = source.Impersonate()
		}
		token, err := source.Token(t.Context())
		must(t, err)
		if _, named := claimsOf(t, token)["act"]; named == impersonate {
			t.Errorf("impersonate %v: claims %v", impersonate, claimsOf(t, token))
		}
	}
	if _, err := c.TokenSource("m4").Impersonate().Token(t.Context()); err == nil {
		t.Error("a token of its own can impersonate")
	}
}

func TestIncomingTokenIsTakenFromARequest(t *testing.T) {
	for header, want := range map[string]string{
		"Bearer a.b.c": "a.b.c", "bearer  a.b.c": "a.b.c", "DPoP a.b.c": "a.b.c", "dpop a.b.c": "a.b.c",
		"": "", "Bearer": "", "Bearer ": "", "Basic YTpi": "", "Bearer a b": "", "Bearer a,b": "", "Bearera.b.c": "",
	} {
		r := httptest.NewRequest(http.MethodGet, "/?access_token=x", nil)
		if header != "" {
			r.Header.Set("Authorization", header)
		}
		if got := client.Incoming(r); got != want {
			t.Errorf("%q: got %q, want %q", header, got, want)
		}
		r.Header.Add("Authorization", "Bearer d.e.f")
		if got := client.Incoming(r); header != "" && got != "" {
			t.Errorf("%q and another: got %q", header, got)
		}
	}
}

func TestIncomingTokenOfAnotherProtocolIsCarriedByTheContext(t *testing.T) {
	ctx := client.WithIncoming(t.Context(), "a.b.c")
	r := httptest.NewRequest(http.MethodGet, "/", nil).WithContext(ctx)
	r.Header.Set("Authorization", "Bearer d.e.f")
	if from, of := client.IncomingFrom(ctx), client.Incoming(r); from != "a.b.c" || of != "a.b.c" {
		t.Errorf("got %q from the context and %q of a request with it, want a.b.c", from, of)
	}
	if got := client.IncomingFrom(t.Context()); got != "" {
		t.Errorf("got %q from a context that carries none", got)
	}
}

func TestWithoutAnIncomingTokenNothingIsSent(t *testing.T) {
	s := newServer(t)
	c := newClient(t, s.URL, func(cfg *client.Config) { cfg.Credential = client.Static(s.Credential("m2")) })
	for _, incoming := range []string{client.FromContext, "two words", strings.Repeat("x", 1<<20)} {
		if _, err := c.Exchange(context.Background(), incoming, "m3"); err == nil || strings.Contains(err.Error(), "two words") {
			t.Errorf("%.20q: got %v", incoming, err)
		}
	}
	if s.Requests() != 0 {
		t.Errorf("%d requests", s.Requests())
	}
}

// m1 calls m2, which calls m3 in the name of m1: m3 sees who it is for and through whom.
func TestCallGoesOnInTheCallersName(t *testing.T) {
	s := newServer(t)
	s.Allow("m1", "m2")
	s.AllowExchange("m2", "m3")
	verifier := func(audience string) *verify.Verifier {
		v, err := verify.New(t.Context(), verify.Config{Issuer: s.OAuthIssuer(), Audience: audience, JWKSURL: s.JWKSURL()})
		must(t, err)
		return v
	}
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	m3 := httptest.NewServer(verifier("m3").Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var chain struct {
			Sub string `json:"sub"`
			Act struct {
				Sub string `json:"sub"`
			} `json:"act"`
		}
		if err := verify.ClaimsFrom(r.Context()).Decode(&chain); err != nil {
			t.Error(err)
		}
		_, _ = fmt.Fprintf(w, "%s through %s", chain.Sub, chain.Act.Sub)
	})))
	defer m3.Close()
	c2 := newClient(t, s.URL, func(cfg *client.Config) { cfg.Auth = client.PrivateKeyJWT("m2", client.Key(s.Key("m2"), "")) })
	onward := c2.ExchangeClient(client.FromContext, "m3") // made once
	m2 := httptest.NewServer(verifier("m2").Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if client.Incoming(r) != client.IncomingFrom(r.Context()) {
			t.Error("the middleware has left another token in the context")
		}
		for _, h := range []*http.Client{onward, c2.ExchangeClient(client.Incoming(r), "m3")} {
			req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, m3.URL, nil)
			if err != nil {
				t.Error(err)
				return
			}
			resp, err := h.Do(req)
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.Copy(w, resp.Body)
			_ = resp.Body.Close()
		}
	})))
	defer m2.Close()
	c1 := newClient(t, s.URL, func(cfg *client.Config) { cfg.Auth = client.ClientSecretPost("m1", client.Static(s.Secret("m1"))) })
	resp, err := c1.HTTPClient("m2").Get(m2.URL)
	must(t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if want := strings.Repeat("m1 through m2", 2); err != nil || string(body) != want {
		t.Errorf("got %q, %v; want %q", body, err, want)
	}
	if s.Requests() != 2 {
		t.Errorf("%d tokens, want 2", s.Requests())
	}
}

// The token of this caller has 3 s left, and so has what is got for it.
func TestExchangedTokenLivesNoLongerThanTheServerSays(t *testing.T) {
	s := newServer(t)
	s.AllowExchange("m2", "m3")
	s.SetLifetime(3 * time.Second)
	c := newClient(t, s.URL, func(cfg *client.Config) { cfg.Credential = client.Static(s.Credential("m2")) })
	token, err := c.Exchange(t.Context(), s.Token("m1", "m2"), "m3")
	if err != nil || time.Until(token.Expires()) > 3*time.Second {
		t.Errorf("expires in %v, %v", time.Until(token.Expires()), err)
	}
}
