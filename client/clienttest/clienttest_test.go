package clienttest_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/client"
	"github.com/watchword-dev/watchword/client/clienttest"
	"github.com/watchword-dev/watchword/internal/dpop"
	"github.com/watchword-dev/watchword/internal/jose"
)

func newClient(t *testing.T, s *clienttest.Server, name string) *client.Client {
	t.Helper()
	c, err := client.New(client.Config{Server: s.URL, Credential: client.Static(s.Credential(name)), Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestTokensAreRealAndCredentialsAreNot(t *testing.T) {
	s := clienttest.NewServer()
	defer s.Close()
	s.Allow("m1", "m2", "read", "write")
	s.SetLifetime(2 * time.Minute)
	token, err := newClient(t, s, "m1").TokenSource("m2", "read").Token(t.Context())
	must(t, err)
	resp, err := http.Get(s.JWKSURL())
	must(t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	must(t, err)
	keys, err := jose.ParseKeySet(body)
	must(t, err)
	parsed, err := jose.Parse(token.Reveal())
	must(t, err)
	if err := parsed.Verify(keys, []jose.Algorithm{jose.ES256}); err != nil || parsed.Type != "at+jwt" {
		t.Errorf("got type %q, %v", parsed.Type, err)
	}
	claims, err := jose.ParseClaims(parsed.Payload)
	if err != nil || claims.Issuer != clienttest.Issuer || claims.Subject != "m1" || claims.Audience[0] != "m2" ||
		claims.Scope != "read" || claims.ID == "" || claims.Expiry.Sub(claims.IssuedAt) != 2*time.Minute {
		t.Errorf("got %+v, %v", claims, err)
	}
	credential, err := jose.Parse(s.Credential("m1"))
	must(t, err)
	if err := credential.Verify(keys, []jose.Algorithm{jose.ES256}); !errors.Is(err, jose.ErrUnknownKey) {
		t.Errorf("a bootstrap credential under the published keys: got %v, want ErrUnknownKey", err)
	}
}

func TestWhatIsNotAllowedIsRefused(t *testing.T) {
	s, other := clienttest.NewServer(), clienttest.NewServer()
	defer s.Close()
	defer other.Close()
	s.Allow("m1", "m2", "read")
	s.Allow("m1", "m4")
	s.Disallow("m1", "m4")
	for _, c := range []struct {
		credential, target string
		scopes             []string
		code               string
	}{
		{s.Credential("m1"), "m3", nil, "access_denied"},
		{s.Credential("m1"), "m4", nil, "access_denied"},
		{s.Credential("m1"), "m2", []string{"read", "write"}, "access_denied"},
		{s.Credential("m2"), "m1", nil, "access_denied"},
		{other.Credential("m1"), "m2", nil, "invalid_token"},
		{s.Token("m1", clienttest.Issuer), "m2", nil, "invalid_token"},
		{"garbage", "m2", nil, "invalid_token"},
	} {
		cl, err := client.New(client.Config{Server: s.URL, Credential: client.Static(c.credential)})
		must(t, err)
		_, err = cl.TokenSource(c.target, c.scopes...).Token(t.Context())
		if d, ok := errors.AsType[*client.DeniedError](err); !ok || d.Code != c.code || d.Status != http.StatusUnauthorized || len(d.DecisionID) != 32 {
			t.Errorf("%s %v: got %v, want %s with a decision id", c.target, c.scopes, err, c.code)
		}
		_ = cl.Close()
	}
	resp, err := http.Post(s.URL+"/accesstoken", "application/json", strings.NewReader(`{"target":"m2"}`))
	must(t, err)
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("no credential: got %d, want 401", resp.StatusCode)
	}
}

func TestServerThatIsAwayComesBack(t *testing.T) {
	s := clienttest.NewServer()
	defer s.Close()
	s.Allow("m1", "m2")
	s.SetAway(true)
	var u *client.UnavailableError
	if _, err := newClient(t, s, "m1").TokenSource("m2").Token(t.Context()); !errors.As(err, &u) {
		t.Errorf("got %v, want an UnavailableError", err)
	}
	s.SetAway(false)
	if _, err := newClient(t, s, "m1").TokenSource("m2").Token(t.Context()); err != nil {
		t.Error(err)
	}
	if n := s.Requests(); n != 1 {
		t.Errorf("%d requests were answered, want 1", n)
	}
}

// A proof that is used twice, or an assertion, is refused: as Watchword does.
func TestAssertionsAndProofsAreGoodOnce(t *testing.T) {
	s := clienttest.NewServer()
	defer s.Close()
	s.Allow("m1", "m2")
	signer, err := jose.SignerOf("", s.Key("m1"))
	must(t, err)
	assertion, err := signer.Sign("client-authentication+jwt", fmt.Appendf(nil, `{"iss":"m1","sub":"m1","aud":%q,"exp":%d,"jti":"once"}`, s.URL, time.Now().Unix()+60))
	must(t, err)
	proof, err := dpop.NewProof(signer, http.MethodPost, s.URL+"/oauth2/token", "", "", time.Now())
	must(t, err)
	for _, try := range []struct {
		auth url.Values
		dpop string
		want string
	}{
		{url.Values{"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {assertion}}, "", `"token_type":"Bearer"`},
		{url.Values{"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {assertion}}, "", "invalid_client"},
		{url.Values{"client_id": {"m1"}, "client_secret": {s.Secret("m1")}}, proof, `"token_type":"DPoP"`},
		{url.Values{"client_id": {"m1"}, "client_secret": {s.Secret("m1")}}, proof, "invalid_dpop_proof"},
		{url.Values{"client_id": {"m1"}, "client_secret": {s.Secret("m2")}}, "", "invalid_client"},
	} {
		try.auth.Set("grant_type", "client_credentials")
		try.auth.Set("audience", "m2")
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/oauth2/token", strings.NewReader(try.auth.Encode()))
		must(t, err)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if try.dpop != "" {
			req.Header.Set("DPoP", try.dpop)
		}
		resp, err := http.DefaultClient.Do(req)
		must(t, err)
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || !strings.Contains(string(body), try.want) {
			t.Errorf("got %s, %v; want %s", body, err, try.want)
		}
	}
}

// must ends the test if something failed that has to succeed.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
