package admin

import (
	"net/http"
	"strings"
	"testing"

	"github.com/watchword-dev/watchword/api"
)

func (s *server) keysOf(use, state string) (found []api.Key) {
	s.Helper()
	var list api.KeyList
	s.must("GET", "/keys", "").into(&list)
	for _, k := range list.Keys {
		if k.Use == use && k.State == state {
			found = append(found, k)
		}
	}
	return found
}

func TestKeysAreShownWithoutPrivateHalves(t *testing.T) {
	s := start(t)
	a := s.must("GET", "/keys", "")
	for _, private := range []string{`"d":`, "sealed", "Sealed", `"p":`, `"k":`} {
		if strings.Contains(a.Body.String(), private) {
			t.Errorf("got %s in %s", private, a.Body)
		}
	}
	for _, use := range []string{"access", "credential", "audit"} {
		active := s.keysOf(use, "active")
		if len(active) != 1 || active[0].Public["kid"] != active[0].ID || active[0].Algorithm != "ES256" || active[0].CreatedAt.IsZero() {
			t.Errorf("%s: got %+v, want one active key with its public half", use, active)
		}
	}
}

func TestKeyIsRotatedAndRevoked(t *testing.T) {
	s := start(t)
	old := s.keysOf("access", "active")[0]
	var now api.Key
	s.must("POST", "/keys/rotate", `{"now":true}`).into(&now)
	if now.State != "active" || now.ID == old.ID || s.keysOf("access", "active")[0].ID != now.ID {
		t.Errorf("got %+v, want another active key than %s", now, old.ID)
	}
	var later api.Key
	s.must("POST", "/keys/rotate", "").into(&later)
	if later.State != "next" || !later.SignsFrom.After(later.CreatedAt) {
		t.Errorf("got %+v, want the next key and when it signs", later)
	}
	for range 2 {
		var revoked api.Key
		if s.must("POST", "/keys/"+now.ID+"/revoke", "").into(&revoked); revoked.State != "revoked" || revoked.RevokedAt == nil {
			t.Errorf("got %+v, want it revoked", revoked)
		}
	}
	if active := s.keysOf("access", "active"); len(active) != 1 || active[0].ID == now.ID {
		t.Errorf("got %+v, want another active key", active)
	}
	s.ask("POST", "/keys/rotate", `{"algorithm":"EdDSA"}`).wantProblem("an algorithm without a key", http.StatusNotFound)
	s.ask("POST", "/keys/rotate", `{"algorithm":"HS256"}`).wantProblem("no algorithm", http.StatusUnprocessableEntity)
	s.ask("POST", "/keys/rotate", `{"use":"everything"}`).wantProblem("no use", http.StatusUnprocessableEntity)
	s.ask("POST", "/keys/none/revoke", "").wantProblem("no key", http.StatusNotFound)
}

func TestKeysAreSealedAgain(t *testing.T) {
	s := start(t)
	var r api.Resealed
	if s.must("POST", "/keys/reseal", "").into(&r); r.Resealed != 0 {
		t.Errorf("got %+v under the same sealing key, want none", r)
	}
}

func TestInfoSaysWhatTheServerIs(t *testing.T) {
	s := start(t)
	s.services("m1")
	var i api.Info
	s.must("GET", "/info", "").into(&i)
	if i.Issuer != "http://localhost:8000" || i.PlainIssuer != "auth-server" || i.Database != "sqlite" || i.Revision != s.directory.Snapshot().Revision() || len(i.Algorithms) != 4 {
		t.Errorf("got %+v", i)
	}
}
