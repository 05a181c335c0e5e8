package admin

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/api"
)

// ADM-001.
func TestOnlyTheOperatorTokenOpensTheAPI(t *testing.T) {
	s := start(t)
	s.services("m1", "m2")
	s.must("PUT", "/rules/m1/m2", `{}`)
	var issued api.IssuedCredential
	s.must("POST", "/services/m1/credentials", `{}`).into(&issued)
	access := s.accessToken(issued.Token)
	n := 0
	for name, header := range map[string][]string{
		"no token":              {""},
		"an access token":       {"Bearer " + access},
		"a bootstrap token":     {"Bearer " + issued.Token},
		"garbage":               {"Bearer \xff\x00"},
		"nothing after Bearer":  {"Bearer "},
		"Bearer alone":          {"Bearer"},
		"the token alone":       {testToken},
		"Basic":                 {"Basic " + testToken},
		"the token and more":    {"Bearer " + testToken + "x"},
		"the token cut short":   {"Bearer " + testToken[:len(testToken)-1]},
		"the token in capitals": {"Bearer " + strings.ToUpper(testToken)},
		"two spaces":            {"Bearer  " + testToken},
		"two headers":           {"Bearer " + testToken, "Bearer " + testToken},
		"a long one":            {"Bearer " + strings.Repeat("a", 100_000)},
	} {
		for _, target := range []string{"/services", "/nowhere"} {
			r := s.request("GET", prefix+target, "")
			r.RemoteAddr = fmt.Sprintf("192.0.2.%d:4000", n)
			n++
			r.Header["Authorization"] = header
			if header[0] == "" {
				r.Header.Del("Authorization")
			}
			a := s.do(r)
			a.wantProblem(name, http.StatusUnauthorized)
			if !strings.HasPrefix(a.Header().Get("WWW-Authenticate"), "Bearer ") {
				t.Errorf("%s: got WWW-Authenticate %q", name, a.Header().Get("WWW-Authenticate"))
			}
		}
	}
	if a := s.ask("GET", "/services?access_token="+testToken, "", "Authorization", ""); a.Code != http.StatusUnauthorized {
		t.Errorf("the token in the query: got %d", a.Code)
	}
	if a := s.ask("GET", "/services", "", "Authorization", "bearer "+testToken); a.Code != http.StatusOK {
		t.Errorf("the scheme in lower case: got %d, want 200 (RFC 9110, section 11.1)", a.Code)
	}
}

// ADM-010.
func TestGuessingIsSlowedDownByAddress(t *testing.T) {
	now := time.Now()
	s := start(t, func(o *Options) { o.Now = func() time.Time { return now } })
	guess := func(address string) reply {
		r := s.request("GET", "/admin/v1/services", "", "Authorization", "Bearer guess")
		r.RemoteAddr = address
		return s.do(r)
	}
	got := map[int]int{}
	for i := range 1000 {
		a := guess(fmt.Sprintf("192.0.2.1:%d", 1024+i))
		got[a.Code]++
		if a.Code == http.StatusTooManyRequests {
			a.wantProblem("a guess too many", http.StatusTooManyRequests)
		}
	}
	if got[http.StatusUnauthorized] != GuessBurst || got[http.StatusTooManyRequests] != 1000-GuessBurst {
		t.Errorf("got %v, want %d x 401 and then 429", got, GuessBurst)
	}
	if n := len(s.records("")); n != GuessBurst {
		t.Errorf("got %d audit records of 1,000 guesses, want %d", n, GuessBurst)
	}
	for _, address := range []string{"192.0.2.2:4000", "192.0.2.1:4000"} {
		r := s.request("GET", "/admin/v1/services", "")
		r.RemoteAddr = address
		if a := s.do(r); a.Code != http.StatusOK {
			t.Errorf("the operator at %s: got %d, want 200", address, a.Code)
		}
	}
	now = now.Add(GuessRefill)
	if a := guess("192.0.2.1:4000"); a.Code != http.StatusUnauthorized {
		t.Errorf("after a while: got %d, want 401", a.Code)
	}
}

// ADM-016: what authenticates page tokens is random where nobody gave it.
func TestPageKeyHasNoDefault(t *testing.T) {
	a, b := New(Options{}).(*handlers), New(Options{}).(*handlers)
	if bytes.Equal(a.pages.key, b.pages.key) || len(a.pages.key) != 32 {
		t.Error("two servers have the same page key")
	}
}

// roles are options with a token of its own for the trust operator.
func roles(o *Options) { o.TrustToken = func(token string) bool { return token == trustTestToken } }

const trustTestToken = "0123456789abcdefghijklmnopqrstuvwxyz-trust"

func TestTheTrustOperatorReadsEverythingAndChangesNothingElse(t *testing.T) {
	s := start(t, roles)
	s.services("m1", "m2")
	s.must("POST", "/services/m1/credentials", `{}`)
	as := []string{"Authorization", "Bearer " + trustTestToken}
	for _, target := range []string{"/services", "/services/m1", "/credentials", "/rules", "/changes", "/callmap/export"} {
		s.must("GET", target, "", as...)
	}
	s.must("POST", "/decisions/explain", `{"caller":"m1","target":"m2"}`, as...)
	for _, c := range []struct{ method, target, body string }{
		{"POST", "/services", `{"name":"m3"}`},
		{"PATCH", "/services/m1", `{"disabled":true}`},
		{"DELETE", "/services/m1", ""},
		{"PUT", "/rules/m1/m2", `{}`},
		{"POST", "/services/m1/credentials", `{"kind":"secret"}`},
		{"POST", "/keys/rotate", `{}`},
		{"POST", "/callmap/apply", `{"files":[{"name":"a.yaml","text":"version: 1\nservices: {m3: {}}\n"}]}`},
	} {
		a := s.ask(c.method, c.target, c.body, as...)
		a.wantProblem(c.method+" "+c.target, http.StatusForbidden)
		if !strings.Contains(a.Body.String(), "operator_role_required") {
			t.Errorf("%s %s: got %s", c.method, c.target, a.Body)
		}
		found := s.records(a.Header().Get("X-Request-Id"))
		if len(found) != 1 || found[0]["actor"] != trustOperator || found[0]["reason"] != "operator_role_required" {
			t.Errorf("%s %s: got the records %v", c.method, c.target, found)
		}
	}
	// Paths that are no operations are answered as to the operator.
	s.ask("DELETE", "/nowhere", "", as...).wantProblem("nowhere", http.StatusNotFound)
	// Without the setting, the token is nobody's.
	s = start(t)
	s.ask("GET", "/services", "", as...).wantProblem("without the setting", http.StatusUnauthorized)
}
