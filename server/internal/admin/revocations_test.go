package admin

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/jose"
)

// jti of a token, and its end.
func (s *server) claims(token string) *jose.Claims {
	s.Helper()
	parsed, err := jose.Parse(token)
	if err != nil {
		s.Fatal(err)
	}
	c, err := jose.ParseClaims(parsed.Payload)
	if err != nil {
		s.Fatal(err)
	}
	return c
}

func TestTokenIsRevokedByItsIDOrByShowingIt(t *testing.T) {
	s := start(t)
	s.services("m1", "m2")
	s.must("PUT", "/rules/m1/m2", `{}`)
	var issued api.IssuedCredential
	s.must("POST", "/services/m1/credentials", `{}`).into(&issued)
	shown, named := s.accessToken(issued.Token), s.accessToken(issued.Token)
	for _, c := range []struct{ body, jti string }{
		{`{"token":"` + shown + `"}`, s.claims(shown).ID},
		{`{"jti":"` + s.claims(named).ID + `","expiresAt":"` + s.claims(named).Expiry.UTC().Format(time.RFC3339) + `"}`, s.claims(named).ID},
	} {
		if s.directory.Snapshot().Denied(c.jti) {
			t.Fatalf("%s is denied before it is revoked", c.jti)
		}
		var first, again, read api.Revocation
		s.must("POST", "/revocations", c.body).into(&first)
		if !s.directory.Snapshot().Denied(c.jti) || first.ID != c.jti || first.Kind != "token" {
			t.Errorf("got %+v, want %s denied", first, c.jti)
		}
		if left := first.Until.Sub(s.claims(shown).Expiry); left < 0 || left > 2*time.Minute {
			t.Errorf("kept until %s, want shortly after the token's end", first.Until)
		}
		s.must("POST", "/revocations", c.body).into(&again)
		if s.must("GET", "/revocations/"+c.jti, "").into(&read); again != first || read != first {
			t.Errorf("got %+v and %+v, want %+v again", again, read, first)
		}
	}
	if !s.works(issued.Token) {
		t.Error("the credential was revoked with its tokens")
	}
	// The service is gone, and so is all it ever got.
	var svc api.Service
	s.must("GET", "/services/m1", "").into(&svc)
	s.must("DELETE", "/services/m1", "")
	var all, page api.RevocationList
	if s.must("GET", "/revocations", "").into(&all); len(all.Revocations) != 3 || all.Revocations[2].ID != svc.UID || all.Revocations[2].Kind != "service" {
		t.Errorf("got %+v, want two tokens and a service", all)
	}
	if s.must("GET", "/revocations?limit=2", "").into(&page); len(page.Revocations) != 2 || page.NextPageToken == "" {
		t.Fatalf("got %+v, want a page of two", page)
	}
	s.must("GET", "/revocations?limit=2&pageToken="+page.NextPageToken, "").into(&page)
	if len(page.Revocations) != 1 || page.Revocations[0].ID != svc.UID {
		t.Errorf("got %+v, want the rest", page)
	}
	// All of it is recorded, and no token is.
	recorded := s.stderr.String() + s.must("GET", "/changes", "").Body.String()
	actions := map[any]int{}
	for _, r := range s.records("") {
		b, _ := json.Marshal(r)
		recorded += string(b)
		actions[r["action"]]++
	}
	if actions["token.revoke"] != 4 || actions["revocation.list"] != 3 || actions["revocation.read"] != 2 {
		t.Errorf("got %v", actions)
	}
	if signature := shown[strings.LastIndex(shown, ".")+1:]; strings.Contains(recorded, signature) || strings.Contains(recorded, shown[:60]) {
		t.Error("the token that was shown is recorded")
	}
	if !strings.Contains(recorded, s.claims(shown).ID) {
		t.Error("the audit log does not say which token was revoked")
	}
}

func TestWhatIsNoTokenCannotBeRevoked(t *testing.T) {
	s := start(t)
	s.services("m1", "m2")
	s.must("PUT", "/rules/m1/m2", `{}`)
	var issued api.IssuedCredential
	s.must("POST", "/services/m1/credentials", `{}`).into(&issued)
	token := s.accessToken(issued.Token)
	forged := token[:len(token)-6] + "AAAAAA"
	jti := s.claims(token).ID
	for name, body := range map[string]string{
		"nothing":             `{}`,
		"both":                `{"jti":"` + jti + `","token":"` + token + `"}`,
		"a token with an end": `{"token":"` + token + `","expiresAt":"2999-01-01T00:00:00Z"}`,
		"no token":            `{"token":"hunter2"}`,
		"a forged one":        `{"token":"` + forged + `"}`,
		"a credential":        `{"token":"` + issued.Token + `"}`,
		"a credential's id":   `{"jti":"` + issued.Credential.ID + `"}`,
		"a service":           `{"jti":"svc_00112233445566778899aabbccddeeff"}`,
		"a name":              `{"jti":"m1"}`,
		"upper case":          `{"jti":"` + strings.Repeat("A", 32) + `"}`,
		"the past":            `{"jti":"` + jti + `","expiresAt":"2001-01-01T00:00:00Z"}`,
	} {
		a := s.ask("POST", "/revocations", body)
		a.wantProblem(name, http.StatusUnprocessableEntity)
		if strings.Contains(a.Body.String(), "hunter2") || strings.Contains(a.Body.String(), token[:40]) {
			t.Errorf("%s: the answer repeats the token", name)
		}
	}
	if got := s.must("GET", "/revocations", "").Body.String(); got != "{\"revocations\":[]}\n" {
		t.Errorf("got %s, want nothing revoked", got)
	}
	for _, id := range []string{jti, "m1", "svc_1", strings.Repeat("0", 32)} {
		s.ask("GET", "/revocations/"+id, "").wantProblem(id, http.StatusNotFound)
	}
}
