package token

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/watchword-dev/watchword/internal/jose"
)

// m1's token went to m2, which exchanged it, and then to m3, which exchanged that.
func TestWhatATokenHangsOnIsToldByItsPlace(t *testing.T) {
	claims := &jose.Claims{
		ID: "jti", Subject: "m1", Actors: []string{"m3", "m2"},
		Deps: []string{"uid1", "cred1", "trust_1", "jti1", "uid2", "cred2", "jti2", "uid3", "cred3", "trust_3"},
	}
	for id, want := range map[string]struct{ kind, name string }{
		"jti": {"token", ""}, "uid1": {"service", "m1"}, "cred1": {"credential", "m1"}, "trust_1": {"trust", ""}, "trust_3": {"trust", ""},
		"jti1": {"token", "m2"}, "uid2": {"service", "m2"}, "cred2": {"credential", "m2"},
		"jti2": {"token", "m3"}, "uid3": {"service", "m3"}, "cred3": {"credential", "m3"},
	} {
		if got := roleOf(claims, id); got.kind != want.kind || got.name != want.name || got.what == "" {
			t.Errorf("%s: got %+v, want %+v", id, got, want)
		}
	}
	// Who impersonates is not among the actors: then nobody is named, rather than the wrong one.
	claims.Actors = []string{"m3"}
	for _, id := range []string{"uid2", "cred2", "uid3", "cred3"} {
		if got := roleOf(claims, id); got.name != "" {
			t.Errorf("%s: got %q, want no name", id, got.name)
		}
	}
	claims.Actors, claims.Deps = nil, []string{"uid1", "cred1", "odd"}
	if got := roleOf(claims, "odd"); got.name != "" {
		t.Errorf("got %+v", got)
	}
}

// F14: a server that cannot answer now is not the wrong one.
func TestInspectionAdvisesByTheAnswer(t *testing.T) {
	for status, names := range map[int]bool{404: true, 500: false, 503: false} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		_, err := fetchKeys(t.Context(), s.URL)
		s.Close()
		if got := adviceOn(err); err == nil || strings.Contains(got, "--url") != names || got == "" {
			t.Errorf("%d: got %v, %q", status, err, got)
		}
	}
}
