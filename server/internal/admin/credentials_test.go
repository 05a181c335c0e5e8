package admin

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/clientauth"
	"github.com/watchword-dev/watchword/server/internal/issuer"
)

// works asks for an access token with a credential, as its service would.
func (s *server) works(credential string) bool {
	_, _, err := s.issuer.AccessToken(s.Context(), &issuer.Proposal{
		Request:   issuer.Request{Endpoint: issuer.AccessTokenEndpoint},
		Presented: clientauth.Presented{Bearer: credential}, Targets: []string{"m2"},
	})
	return err == nil
}

func TestCredentialWorksUntilItIsRevoked(t *testing.T) {
	s := start(t)
	s.services("m1", "m2")
	s.must("PUT", "/rules/m1/m2", `{}`)
	var issued api.IssuedCredential
	a := s.must("POST", "/services/m1/credentials", `{"name":"production"}`)
	a.into(&issued)
	c := issued.Credential
	if a.Code != http.StatusCreated || a.Header().Get("Cache-Control") != "no-store" || a.Header().Get("Location") != "/admin/v1/credentials/"+c.ID {
		t.Errorf("got %d %v", a.Code, a.Header())
	}
	if c.Service != "m1" || c.Kind != "bootstrap" || c.Name != "production" || c.Status != "active" || c.ExpiresAt.Sub(c.CreatedAt) != 90*24*time.Hour || issued.Warning != "" {
		t.Errorf("got %+v", issued)
	}
	if !s.works(issued.Token) {
		t.Fatal("the credential does not work")
	}
	secret := issued.Token[strings.LastIndex(issued.Token, ".")+1:]
	for _, target := range []string{"/credentials", "/credentials/" + c.ID, "/services/m1/credentials", "/changes"} {
		if b := s.must("GET", target, "").Body.String(); strings.Contains(b, secret) || !strings.Contains(b, c.ID) {
			t.Errorf("%s: got %s, want the credential without its secret", target, b)
		}
	}
	var first, again api.Credential
	s.must("POST", "/credentials/"+c.ID+"/revoke", "").into(&first)
	if first.Status != "revoked" || first.RevokedAt == nil {
		t.Errorf("got %+v, want it revoked", first)
	}
	if s.works(issued.Token) {
		t.Error("the revoked credential works")
	}
	s.must("POST", "/credentials/"+c.ID+"/revoke", "").into(&again)
	if !again.RevokedAt.Equal(*first.RevokedAt) {
		t.Errorf("revoking again changed when it was revoked: %v, %v", first, again)
	}
	for _, r := range s.records("") {
		for _, v := range r {
			if text, ok := v.(string); ok && strings.Contains(text, secret) {
				t.Errorf("the audit log has the secret: %v", r)
			}
		}
	}
	if strings.Contains(s.stderr.String(), secret) {
		t.Error("the log has the secret")
	}
}

func TestLifetimeOfACredential(t *testing.T) {
	s := start(t)
	s.services("m1")
	for body, want := range map[string]struct {
		status int
		ttl    time.Duration
		warns  bool
	}{
		``:                          {201, 90 * 24 * time.Hour, false},
		`{}`:                        {201, 90 * 24 * time.Hour, false},
		`{"ttlSeconds":1}`:          {201, time.Second, false},
		`{"ttlSeconds":31536000}`:   {201, 365 * 24 * time.Hour, false},
		`{"ttlSeconds":63072000}`:   {201, 730 * 24 * time.Hour, true},
		`{"ttlSeconds":3155760000}`: {201, 36525 * 24 * time.Hour, true},
		`{"ttlSeconds":3155760001}`: {status: 422},
		`{"ttlSeconds":0}`:          {status: 422},
		`{"ttlSeconds":-1}`:         {status: 422},
		`{"ttlSeconds":1.5}`:        {status: 400},
		`{"ttlSeconds":"1"}`:        {status: 400},
		`{"cidr":"10.0.0.0/8"}`:     {201, 90 * 24 * time.Hour, false},
		`{"cidr":"10.0.0.1/8"}`:     {status: 422},
		`{"cidr":"10.0.0.0"}`:       {status: 422},
		`{"cidr":"everywhere"}`:     {status: 422},
	} {
		a := s.ask("POST", "/services/m1/credentials", body)
		if want.status != 201 {
			a.wantProblem(body, want.status)
			continue
		}
		var issued api.IssuedCredential
		if a.into(&issued); a.Code != 201 || issued.Credential.ExpiresAt.Sub(issued.Credential.CreatedAt) != want.ttl || (issued.Warning != "") != want.warns {
			t.Errorf("%s: got %d %s, want a lifetime of %s, warning: %v", body, a.Code, a.Body, want.ttl, want.warns)
		}
	}
}

func TestCredentialThatEndedIsShownAsExpired(t *testing.T) {
	now := time.Now()
	s := start(t, func(o *Options) { o.Now = func() time.Time { return now } })
	s.services("m1")
	var issued api.IssuedCredential
	s.must("POST", "/services/m1/credentials", `{"ttlSeconds":60}`).into(&issued)
	now = issued.Credential.ExpiresAt
	var c api.Credential
	if s.must("GET", "/credentials/"+issued.Credential.ID, "").into(&c); c.Status != "expired" {
		t.Errorf("got %q, want expired", c.Status)
	}
}

func TestCredentialsOfADeletedServiceAreGone(t *testing.T) {
	s := start(t)
	s.services("m1", "m2")
	var issued api.IssuedCredential
	s.must("POST", "/services/m1/credentials", `{}`).into(&issued)
	s.must("DELETE", "/services/m1", "")
	s.services("m1")
	s.must("PUT", "/rules/m1/m2", `{}`)
	s.ask("GET", "/credentials/"+issued.Credential.ID, "").wantProblem("read", http.StatusNotFound)
	s.ask("POST", "/credentials/"+issued.Credential.ID+"/revoke", "").wantProblem("revoke", http.StatusNotFound)
	if s.works(issued.Token) {
		t.Error("a service made again inherited a credential")
	}
	s.ask("GET", "/services/zz/credentials", "").wantProblem("of nobody", http.StatusNotFound)
	s.ask("POST", "/services/zz/credentials", `{}`).wantProblem("for nobody", http.StatusNotFound)
}

// accessToken is one for m2.
func (s *server) accessToken(credential string) string {
	s.Helper()
	t, _, err := s.issuer.AccessToken(s.Context(), &issuer.Proposal{
		Request:   issuer.Request{Endpoint: issuer.AccessTokenEndpoint},
		Presented: clientauth.Presented{Bearer: credential}, Targets: []string{"m2"},
	})
	if err != nil {
		s.Fatal(err)
	}
	return t.Value
}
